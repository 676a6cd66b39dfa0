import { domainUrlOf } from '../protocol/index.js';

/** The default domain: the address on which `domain start` listens by default. */
export const DEFAULT_DOMAIN = 'localhost:9090';

/**
 * Returns the base URL for user input: a name, `host:port` or URL.
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
