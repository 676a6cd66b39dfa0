/**
 * Returns a `fetch` that also trusts certificate authorities of the user's own. It follows no redirections.
 * @param authorities certificates, PEM
 */
export const fetchTrusting = async (authorities: string): Promise<typeof globalThis.fetch> => {
  const [{ fetchWith }, { rootCertificates }] = await Promise.all([import('./client.js'), import('node:tls')]);
  return fetchWith({ ca: [...rootCertificates, authorities] });
};
