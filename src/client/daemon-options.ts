import type { Acceptance, Address, Allowance, Capability, IceTransportPolicy } from '../protocol/index.js';

/**
 * The options of the daemon processes. A daemon takes them as one JSON object, its only argument. The first line that
 * it prints on stdout is a `ReadyLine`. Types only: the daemons import them from here.
 */
export interface DaemonPaths {
  /** Folder of the state. It is created if missing. */
  readonly state: string;
  /** Path of the socket that programs connect to. */
  readonly socket: string;
  /** Path of the log. @default stderr */
  readonly log?: string;
}

interface DaemonOptions {
  readonly paths: DaemonPaths;
  /**
   * True if stdin is a lifeline: the daemon stops when stdin ends, unless it has received a byte before.
   * @default false
   */
  readonly lifeline?: boolean;
}

export interface RuntimeDaemonOptions extends DaemonOptions {
  readonly profile: string;
  /** The domain to join. */
  readonly domain: {
    /** @default the name that the server answers */
    readonly name?: string;
    /** Base URL, for example `http://localhost:9090`. */
    readonly url: string;
  };
  /** Base URLs of further domains, by name. */
  readonly domains: Readonly<Record<string, string>>;
  /** The user's name within the domain, for example `alice`. */
  readonly user: string;
  /** Path of the folder with the keys of this account's users. */
  readonly userKeys: string;
  readonly p2p: boolean;
  /** URLs of STUN and TURN servers in addition to the domain's. @default none */
  readonly iceServers?: readonly string[];
  /** Path of the file with `username:password` for the TURN servers in `iceServers`. @default none */
  readonly turnCredentials?: string;
  /** @default 'all' */
  readonly iceTransportPolicy?: IceTransportPolicy;
  /** Id of a publisher key of the domain to trust. @default the first key that the domain shows */
  readonly trust?: string;
  /** The protostubs to deploy, and the capabilities that they may be granted. @default the runtime's defaults */
  readonly stubs?: {
    readonly allow?: Allowance;
    readonly capabilities?: readonly Capability[];
  };
  /** The people whose messages, direct connections and pings are taken. @default 'anyone' for each */
  readonly accept?: Acceptance;
  /** The window of one sender to one receiver, in bytes. @default the runtime's default */
  readonly window?: number;
}

/** The secrets with which a runtime is let in. They are passed as JSON in the variable `PROTOFLY_JOIN`, because others can read arguments. */
export interface Joining {
  /** The token of an invitation. */
  readonly invite?: string;
  /** The user's name for this machine. @default its host name */
  readonly device?: string;
  /** The content of a device code. */
  readonly code?: { readonly runtime: Address; readonly secret: string; readonly userKey: string };
}

/** The protocols between clients and a message node. */
export type MessageNodeProtocol = 'websocket' | 'rest';

export interface DomainDaemonOptions extends DaemonOptions {
  readonly name: string;
  /** Port 0 chooses a free port. */
  readonly listen: { readonly host: string; readonly port: number };
  /** The URL at which clients reach the server. @default the address that it listens on */
  readonly publicUrl?: string;
  /** Origins of the web pages that may open sessions; `*` for all. @default none but the server's own */
  readonly allowOrigins?: readonly string[];
  /** True to let in runtimes whose URL names no key. @default false */
  readonly allowUnauthenticated?: boolean;
  /** @default 'open' on the loopback interface, else 'invite' */
  readonly admission?: 'open' | 'invite';
  /** True to let in the runtimes of other domains, although users have to be invited. @default false */
  readonly allowVisitors?: boolean;
  /** Paths of PEM files. @default no TLS */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** URLs of the domain's STUN and TURN servers. @default none */
  readonly iceServers?: readonly string[];
  /** Path of the file with the secret shared with the TURN servers. @default the variable PROTOFLY_TURN_SECRET */
  readonly turnSecretFile?: string;
  /** The protocols of the message node. The stub of the first is the domain's default. @default all */
  readonly protocols?: readonly MessageNodeProtocol[];
}

export type ReadyLine =
  | { readonly ready: true; readonly socket: string; readonly pid: number; readonly [field: string]: unknown }
  | { readonly error: { readonly code: string; readonly message: string; readonly hint?: string } };

/** A task of the doctor that runs in its own process. The process takes it as JSON, its only argument. */
export type DoctorTask =
  /** Loads the WebRTC library. */
  | { readonly what: 'webrtc' }
  /** Creates a store in a folder, and removes it again. */
  | { readonly what: 'store'; readonly folder: string }
  /** Asks STUN and TURN servers. */
  | { readonly what: 'network'; readonly servers: readonly string[] };
