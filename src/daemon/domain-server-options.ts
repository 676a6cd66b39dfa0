import type { MessageNodeProtocol } from '../client/daemon-options.js';

/**
 * The options of a domain server's process, its only argument, as one JSON object. Its only line on stdout is a
 * `ReadyLine` (runtime-options.ts) with its `url`, or the error that ended it. Types only.
 */
export interface DomainServerOptions {
  /** The domain's name. */
  readonly name: string;
  /** Port 0 chooses a free port. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly paths: {
    /** Folder of the state, with the publisher key in `publisher-key.json`. It is created if missing. */
    readonly state: string;
    /** Path of the control socket. */
    readonly socket: string;
    /** Path of the log. @default stderr */
    readonly log?: string;
  };
  /** The URL at which clients reach the server. @default the address that it listens on */
  readonly publicUrl?: string;
  /** Origins of the web pages that may open sessions; `*` for all. @default none but the server's own */
  readonly allowOrigins?: readonly string[];
  /** Paths of PEM files. @default no TLS */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** URLs of the domain's STUN and TURN servers. @default none */
  readonly iceServers?: readonly string[];
  /** Path of the file with the secret shared with the TURN servers. @default the variable PROTOFLY_TURN_SECRET */
  readonly turnSecretFile?: string;
  /** The protocols of the message node. The stub of the first is the domain's default. @default all */
  readonly protocols?: readonly MessageNodeProtocol[];
  /** A folder of built stubs. @default the one in this package */
  readonly catalogueDir?: string;
  /**
   * True if stdin is a lifeline: the daemon stops when stdin ends, unless it has received a byte before.
   * @default false
   */
  readonly lifeline?: boolean;
  /** Time after which a session without its runtime ends, in milliseconds. @default 60_000 */
  readonly sessionTtlMs?: number;
}
