import type { Allowance, Capability, IceTransportPolicy } from '../protocol/index.js';

/**
 * How the daemons' processes are started: one JSON object as their only argument. The first line that one prints on
 * stdout is a `ReadyLine`. Types only: the daemons take them from here.
 */
export interface DaemonPaths {
  /** Folder of the state; made when it isn't there. */
  readonly state: string;
  /** Where programs connect. */
  readonly socket: string;
  /** Where the log goes; absent: to stderr. */
  readonly log?: string;
}

interface DaemonOptions {
  readonly paths: DaemonPaths;
  /** Whether stdin ends with the process that started this one, which is then told to end. A byte lets go of it. @default false */
  readonly lifeline?: boolean;
}

export interface RuntimeDaemonOptions extends DaemonOptions {
  readonly profile: string;
  /** The domain to join. Its name is what its server says where none is given. */
  readonly domain: {
    readonly name?: string;
    /** Base URL, for example `http://localhost:9090`. */
    readonly url: string;
  };
  /** Base URLs of further domains, by name. */
  readonly domains: Readonly<Record<string, string>>;
  /** The user's name within the domain, for example `alice`. */
  readonly user: string;
  readonly p2p: boolean;
  readonly iceServers?: readonly string[];
  /** Path of the file with `username:password` for the TURN servers among them. */
  readonly turnCredentials?: string;
  readonly iceTransportPolicy?: IceTransportPolicy;
  /** Id of a publisher key of the domain that is to be believed. */
  readonly trust?: string;
  /** Whose protostubs are deployed, and what they may be granted; the runtime's defaults where nothing is said. */
  readonly stubs?: {
    readonly allow?: Allowance;
    readonly capabilities?: readonly Capability[];
  };
  /** How much one sender may have under way to one receiver, in bytes; the runtime's default where nothing is said. */
  readonly window?: number;
}

/** How clients may speak to a message node. */
export type MessageNodeProtocol = 'websocket' | 'rest';

export interface DomainDaemonOptions extends DaemonOptions {
  readonly name: string;
  /** Port 0 takes a free one. */
  readonly listen: { readonly host: string; readonly port: number };
  /** Paths of PEM files. */
  readonly tls?: { readonly cert: string; readonly key: string };
  readonly iceServers?: readonly string[];
  /** Path of the file with what TURN servers check credentials with. Where it isn't given: PROTOFLY_TURN_SECRET. */
  readonly turnSecretFile?: string;
  /** The first one's stub is the domain's own. @default all */
  readonly protocols?: readonly MessageNodeProtocol[];
}

export type ReadyLine =
  | { readonly ready: true; readonly socket: string; readonly pid: number; readonly [field: string]: unknown }
  | { readonly error: { readonly code: string; readonly message: string; readonly hint?: string } };

/** One thing that is tried in a process of its own: its only argument, as JSON. */
export type DoctorTask =
  /** Loads the WebRTC library. */
  | { readonly what: 'webrtc' }
  /** Makes a store in a folder, and removes it again. */
  | { readonly what: 'store'; readonly folder: string }
  /** Asks STUN and TURN servers. */
  | { readonly what: 'network'; readonly servers: readonly string[] };
