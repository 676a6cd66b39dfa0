import type { DomainInfo } from '../../../protocol/descriptor.js';

/** The loader's view of domains. */
export interface DomainsPort {
  /**
   * Returns a domain's description, or the last known one if the domain is away.
   * @throws ProtoflyError `E_UNREACHABLE`, `E_DESCRIPTOR`
   */
  info(domain: string): Promise<DomainInfo>;
  /** Returns the base URL of a domain, without a slash at its end. */
  base(domain: string): string;
  /** Returns the `fetch` for a domain's documents. It throws ProtoflyError `E_PRIVATE` where that is not allowed. */
  fetchFor(domain: string): typeof fetch;
}

export type Log = (level: 'debug' | 'info' | 'warn', text: string) => void;
