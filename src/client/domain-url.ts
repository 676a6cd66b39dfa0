import { domainUrlOf } from '../protocol/index.js';

/** Where a domain is looked for that isn't told otherwise: what `domain start` listens on. */
export const DEFAULT_DOMAIN = 'localhost:9090';

/**
 * The base URL behind what a person typed: a name, `host:port` or URL.
 * @param domains base URLs by name
 * @throws ProtoflyError `E_USAGE`
 */
export const domainUrl = (typed: string, domains: Readonly<Record<string, string>>): { readonly name?: string; readonly url: string } => {
  const known = domains[typed.toLowerCase()];
  if (known !== undefined) return { name: typed.toLowerCase(), url: domainUrlOf(known) };
  if (typed.includes('://')) return { url: domainUrlOf(typed) };
  if (/^(?:\[[0-9a-f:.]+\]|[^:/]+):\d+$/i.test(typed)) return { url: domainUrlOf(`http://${typed}`) };
  if (typed === 'localhost') return { url: `http://${DEFAULT_DOMAIN}` };
  return { name: typed.toLowerCase(), url: domainUrlOf(`https://${typed}`) };
};
