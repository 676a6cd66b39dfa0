import type { MessageNodeProtocol } from '../client/daemon-options.js';

/**
 * What the domain server's process is started with: one JSON object as its only argument. Its first and only line on
 * stdout is a `ReadyLine` (runtime-options.ts) with its `url`, or the error because of which it ends. Types only.
 */
export interface DomainServerOptions {
  /** The domain's name. */
  readonly name: string;
  /** Port 0 takes a free one. */
  readonly listen: { readonly host: string; readonly port: number };
  readonly paths: {
    /** Folder of the state, with the publisher key in `publisher-key.json`; made when it isn't there. */
    readonly state: string;
    /** Where it is asked and stopped. */
    readonly socket: string;
    /** Where the log goes; absent: to stderr. */
    readonly log?: string;
  };
  /** Paths of PEM files. */
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly iceServers?: readonly string[];
  /** Path of the file with what TURN servers check credentials with. Where it isn't given: PROTOFLY_TURN_SECRET. */
  readonly turnSecretFile?: string;
  /** How clients may speak to the message node; the first one's stub is the domain's own. @default all */
  readonly protocols?: readonly MessageNodeProtocol[];
  /** A folder of built stubs. @default the one that came with this program */
  readonly catalogueDir?: string;
  /** Whether stdin ends with the process that started this one, which is then told to end. A byte lets go of it. @default false */
  readonly lifeline?: boolean;
  /** How long a session waits for its runtime. @default 60_000 */
  readonly sessionTtlMs?: number;
}
