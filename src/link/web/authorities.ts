import { rootCertificates } from 'node:tls';

/**
 * Returns a `fetch` that also trusts certificate authorities of the user's own. It follows no redirections.
 * @param authorities certificates, PEM
 */
export const fetchTrusting = async (authorities: string): Promise<typeof globalThis.fetch> =>
  (await import('./client.js')).fetchWith({ ca: [...rootCertificates, authorities] });
