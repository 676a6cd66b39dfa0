import type { DomainInfo } from '../../../protocol/descriptor.js';

/** What the loader needs to know of domains. */
export interface DomainsPort {
  /** What a domain says of itself; what was learned earlier where it is away. @throws ProtoflyError `E_UNREACHABLE`, `E_DESCRIPTOR` */
  info(domain: string): Promise<DomainInfo>;
  /** Base URL, without a slash at its end. */
  base(domain: string): string;
}

export type Log = (level: 'debug' | 'info' | 'warn', text: string) => void;
