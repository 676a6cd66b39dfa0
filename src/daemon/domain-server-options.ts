import type { DomainDaemonOptions } from '../client/daemon-options.js';

/** The options of a domain server's process: those of the command, and what only tests set. */
export interface DomainServerOptions extends DomainDaemonOptions {
  /** A folder of built stubs. @default the one in this package */
  readonly catalogueDir?: string;
  /** Time after which a session without its runtime ends, in milliseconds. @default 60_000 */
  readonly sessionTtlMs?: number;
}
