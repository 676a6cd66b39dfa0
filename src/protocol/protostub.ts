import type { Address } from './address.js';
import type { Clock } from './clock.js';
import type { IceServer, IceTransportPolicy } from './ice.js';
import type { Message, Request, Response } from './message.js';

/**
 * The interface between a protostub and its sandbox. A stub is one ES module whose default export is an
 * `Activate`. Everything that it may use is handed in.
 * @see docs/protocol.md, "Protostubs"
 */
export interface StubBus {
  /**
   * Hands a message to the runtime. `onResponse` gets every response to its id, provisional ones included.
   * @returns a promise under backpressure: a stub that can slow its source down waits for it
   */
  postMessage(message: Message | StubRequest, onResponse?: (response: Response) => void): void | Promise<void>;
  /**
   * Listens for messages to one address, or with `'*'` for all other messages that the runtime gives this stub
   * to carry. If the listener returns a promise, the runtime holds further messages back until it settles.
   */
  addListener(address: '*' | Address, listener: (message: Message) => void | Promise<void>): void;
  /**
   * Opens a port: a channel for the messages of one connection, for a stub with several connections. `address`
   * lies below the stub's own. The port tells the runtime which connection a message came over, and has flow
   * control of its own.
   */
  openPort(address: Address): StubPort;
}

export interface StubPort {
  /** Hands the runtime a message that came over this connection. @returns as `postMessage` */
  post(message: Message): void | Promise<void>;
  /** Sets the only listener for messages to be carried over this connection. */
  onMessage(listener: (message: Message) => void | Promise<void>): void;
  close(): void;
}

/** A request that a stub posts. The bus fills in a missing `id`. */
export type StubRequest = Omit<Request, 'id'> & { readonly id?: Request['id'] };

export interface StubConfig {
  /** URL of the message node; absent for P2P stubs. */
  readonly url?: string;
  readonly runtimeURL: Address;
  /** Only for the P2P requester: the runtime to connect to, and its handler stub. */
  readonly remoteRuntimeURL?: Address;
  readonly p2pHandler?: Address;
  /** The servers known at the deployment. Later ones come as `update`s (docs/protocol.md, STB-6). */
  readonly iceServers?: readonly IceServer[];
  /** The policy that the stub's WebRTC calls can't exceed. @default 'all' */
  readonly iceTransportPolicy?: IceTransportPolicy;
  readonly [setting: string]: unknown;
}

export interface StubInstance {
  /** Closes everything that the stub has open. The sandbox calls it before it forgets the stub. Idempotent. */
  close?(): void | Promise<void>;
}

export type Activate = (url: Address, bus: StubBus, config: StubConfig, sandbox: StubSandbox) => { readonly name: string; readonly instance: StubInstance };

/** The objects that the sandbox hands in. A capability is absent unless the descriptor's constraints were granted. */
export interface StubSandbox {
  /** Creates a connection to the runtime's sync manager on behalf of this stub. */
  createSyncher(): Syncher;
  readonly webrtc?: WebRtcEngine;
  readonly WebSocket?: typeof WebSocketLike;
  readonly TcpSocket?: typeof TcpSocketLike;
  /** The web standard's `fetch`, limited to this stub's permitted servers. */
  readonly fetch?: typeof globalThis.fetch;
  readonly clock: Clock;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

/** The part of the web standard's `WebSocket` that stubs use. */
export declare class WebSocketLike {
  constructor(url: string, protocols?: string | string[]);
  readonly readyState: number;
  readonly bufferedAmount: number;
  onopen: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: { message?: string }) => void) | null;
  send(data: string | Uint8Array): void;
  close(code?: number, reason?: string): void;
}

/** A TCP connection, modelled on `WebSocket`: `new TcpSocket('tcp://host:port')`. No web standard exists for it. */
export declare class TcpSocketLike {
  constructor(url: string);
  /** Bytes that the system hasn't taken yet. */
  readonly bufferedAmount: number;
  onopen: (() => void) | null;
  onmessage: ((event: { data: Uint8Array }) => void) | null;
  /** Called once, whichever side ended the connection. */
  onclose: ((event: { reason: string }) => void) | null;
  send(data: string | Uint8Array): void;
  /** Stops reading, until `resume`. */
  pause(): void;
  resume(): void;
  /** Sends the accepted bytes, then ends. */
  close(): void;
}

// --- data synchronisation -------------------------------------------------------------------------------------

/** One change of a data object. @see docs/protocol.md, "Data objects" */
export interface DataChange {
  /** Path of the changed attribute, segments joined by dots: `a.b.0`. */
  readonly attribute: string;
  readonly attributeType?: 'object' | 'array';
  /** Absent: sets the attribute to `value`. For arrays, `value` is the list of added or removed items. */
  readonly operation?: 'add' | 'remove';
  readonly value?: unknown;
  readonly version: number;
}

/** The writer's side of a data object. */
export interface DataReporter {
  readonly url: Address;
  readonly data: Readonly<Record<string, unknown>>;
  /** Applies a change here and sends it to every observer. */
  update(change: Omit<DataChange, 'version'>): void;
  /** Deletes the object and notifies observers. */
  delete(): Promise<void>;
}

/** A reader's side of a data object. */
export interface DataObserver {
  readonly url: Address;
  readonly data: Readonly<Record<string, unknown>>;
  onChange(listener: (change: DataChange) => void): void;
  onDelete(listener: () => void): void;
  unsubscribe(): void;
}

/** An invitation to observe. Exactly one of `accept` and `refuse` answers it. Unanswered, it is refused after a while. */
export interface Invitation {
  readonly url: Address;
  readonly schema: string;
  /** The reporter. */
  readonly source: Address;
  /** The object as it was when the invitation was sent. */
  readonly value: Readonly<Record<string, unknown>>;
  accept(): Promise<DataObserver>;
  refuse(code: number, reason: string): void;
}

export interface Syncher {
  /**
   * Creates a data object and invites its observers. `onAnswer` gets each observer's answer.
   * @throws ProtoflyError with the code of the domain's refusal
   */
  create(
    schema: string,
    observers: readonly Address[],
    value: Readonly<Record<string, unknown>>,
    onAnswer?: (observer: Address, code: number, description?: string) => void,
  ): Promise<DataReporter>;
  /** Observes an object by address. @throws ProtoflyError `E_REFUSED`, `E_NOT_FOUND`, `E_TIMEOUT` */
  subscribe(schema: string, url: Address): Promise<DataObserver>;
  onInvitation(listener: (invitation: Invitation) => void): void;
  close(): Promise<void>;
}

// --- WebRTC ---------------------------------------------------------------------------------------------------

/** A candidate pair in use. */
export interface CandidatePair {
  readonly local: string;
  readonly remote: string;
}

/**
 * One peer connection with one ordered, reliable data channel. Callbacks are never called after `close`, and
 * never from within a method call.
 */
export interface WebRtcPeer {
  /** Adds a remote candidate. Candidates that come before the remote description wait for it. */
  addCandidate(candidate: { readonly candidate: string; readonly sdpMid: string }): void;
  /**
   * Starts trying the remote candidates, because the other side has our answer. A peer that answers a non-eager
   * offer holds them back until this call, or for a short while. Idempotent.
   */
  proceed(): void;
  /** Applies the answer to our offer. @throws ProtoflyError `E_MESSAGE` if it can't be used */
  setAnswer(sdp: string): void;
  /**
   * Sends one frame; the caller may reuse its bytes afterwards. False under backpressure: wait for `onDrain`.
   * @throws ProtoflyError `E_LINK_CLOSED`
   */
  send(frame: string | Uint8Array): boolean;
  /** The largest frame that the other side takes, in bytes. */
  readonly maxFrame: number;
  readonly pair: CandidatePair | undefined;
  close(): void;
}

export interface WebRtcEvents {
  onCandidate(candidate: { readonly candidate: string; readonly sdpMid: string }): void;
  onOpen(): void;
  onFrame(frame: string | Uint8Array): void;
  onDrain(): void;
  /** Called once, whichever side closed it. `failed`: it was never open, or ICE gave up. */
  onClose(reason: { readonly failed: boolean; readonly description: string }): void;
}

export interface WebRtcEngine {
  /**
   * Creates an offer; resolves with a description that holds the host candidates. With an eager offer, this
   * side is the DTLS client and the other side checks at once. That connects within milliseconds, but
   * occasionally fails on a busy machine.
   */
  offer(init: { readonly iceServers: readonly IceServer[]; readonly iceTransportPolicy?: IceTransportPolicy; readonly label: string; readonly eager: boolean }, events: WebRtcEvents): Promise<{ peer: WebRtcPeer; sdp: string }>;
  /** Answers an offer. @throws ProtoflyError `E_MESSAGE` if the offer can't be used */
  answer(init: { readonly iceServers: readonly IceServer[]; readonly iceTransportPolicy?: IceTransportPolicy; readonly sdp: string }, events: WebRtcEvents): Promise<{ peer: WebRtcPeer; sdp: string }>;
}

/** The capabilities that a stub may be granted beyond its bus. */
export const CAPABILITIES = ['webrtc', 'websocket', 'http', 'tcp'] as const;
export type Capability = (typeof CAPABILITIES)[number];

/**
 * The stubs that a runtime deploys. `any`: stubs signed by any domain's publisher, whose key is trusted on
 * first use. `trusted`: only stubs of publishers that a person has added, and of the runtime's own domain.
 * `built-in`: only stubs of the installation.
 */
export const ALLOWANCES = ['any', 'trusted', 'built-in'] as const;
export type Allowance = (typeof ALLOWANCES)[number];
