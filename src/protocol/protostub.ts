import type { Address } from './address.js';
import type { Clock } from './clock.js';
import type { IceServer, IceTransportPolicy } from './ice.js';
import type { Message, Request, Response } from './message.js';

/**
 * The convention between a protostub and the sandbox that it runs in. A stub is one ES module whose default
 * export is an `Activate`; everything that it may touch is handed in.
 * @see docs/protocol.md, "Protostubs"
 */
export interface StubBus {
  /**
   * Hands a message to the runtime. `onResponse` gets every response to its id, provisional ones included.
   * @returns a promise while the runtime is congested: a stub that can slow its source down waits for it
   */
  postMessage(message: Message | StubRequest, onResponse?: (response: Response) => void): void | Promise<void>;
  /**
   * Listens to what comes for one address, or with `'*'` to everything else that the runtime gives this stub to carry.
   * A listener that returns a promise isn't given more until it settles; the runtime waits with what follows.
   */
  addListener(address: '*' | Address, listener: (message: Message) => void | Promise<void>): void;
  /**
   * Opens a way of its own for what is carried over one connection of a stub that has several. `address` lies below
   * the stub's own. The runtime knows by the port which connection a message came in on, and each port has its own
   * flow control. A stub with one connection doesn't need it.
   */
  openPort(address: Address): StubPort;
}

export interface StubPort {
  /** Hands a message that came in over this connection to the runtime. @returns as `postMessage` */
  post(message: Message): void | Promise<void>;
  /** Sets the one listener for what is to be carried over this connection. */
  onMessage(listener: (message: Message) => void | Promise<void>): void;
  close(): void;
}

/** A request as a stub posts it: the bus fills in `id` when it is absent. */
export type StubRequest = Omit<Request, 'id'> & { readonly id?: Request['id'] };

export interface StubConfig {
  /** Of the message node; absent for P2P stubs. */
  readonly url?: string;
  readonly runtimeURL: Address;
  /** P2P requester only: the runtime to connect to, and its handler stub. */
  readonly remoteRuntimeURL?: Address;
  readonly p2pHandler?: Address;
  /** As known at the deployment; later ones come as `update`s (docs/protocol.md, STB-6). */
  readonly iceServers?: readonly IceServer[];
  /** What a stub asks of WebRTC can't go beyond it. @default 'all' */
  readonly iceTransportPolicy?: IceTransportPolicy;
  readonly [setting: string]: unknown;
}

export interface StubInstance {
  /** Ends what the stub has open. The sandbox calls it before it forgets the stub. Idempotent. */
  close?(): void | Promise<void>;
}

export type Activate = (url: Address, bus: StubBus, config: StubConfig, sandbox: StubSandbox) => { readonly name: string; readonly instance: StubInstance };

/** What the sandbox hands in. A capability is absent where the descriptor's constraints weren't granted. */
export interface StubSandbox {
  /** A connection to the runtime's sync manager on behalf of this stub. */
  createSyncher(): Syncher;
  readonly webrtc?: WebRtcEngine;
  readonly WebSocket?: typeof WebSocketLike;
  readonly TcpSocket?: typeof TcpSocketLike;
  /** The web standard's, kept to where this stub may go. */
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

/** A TCP connection, in the manner of `WebSocket`: `new TcpSocket('tcp://host:port')`. There is no web standard for it. */
export declare class TcpSocketLike {
  constructor(url: string);
  /** Bytes that the system hasn't taken yet. */
  readonly bufferedAmount: number;
  onopen: (() => void) | null;
  onmessage: ((event: { data: Uint8Array }) => void) | null;
  /** Once, whoever ended it. */
  onclose: ((event: { reason: string }) => void) | null;
  send(data: string | Uint8Array): void;
  /** Stops reading, until `resume`. */
  pause(): void;
  resume(): void;
  /** Sends what was accepted, then ends. */
  close(): void;
}

// --- data synchronisation -------------------------------------------------------------------------------------

/** One change of a data object. @see docs/protocol.md, "Data objects" */
export interface DataChange {
  /** Path of the changed attribute, segments joined by dots: `a.b.0`. */
  readonly attribute: string;
  readonly attributeType?: 'object' | 'array';
  /** Absent: the attribute is set to `value`. For arrays `value` is the list of items that come or go. */
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
  /** Ends the object; observers are told. */
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

/** An invitation to observe. Exactly one of `accept` and `refuse` answers it; with neither it is refused after a while. */
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
   * Makes a data object and invites its observers.
   * `onAnswer` is told what each invited one answered. @throws ProtoflyError as the domain refuses
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
 * One peer connection with one ordered, reliable data channel. Callbacks are never called after `close`,
 * and never from inside a call of a method.
 */
export interface WebRtcPeer {
  /** Adds a remote candidate; ones that come before the remote description wait for it. */
  addCandidate(candidate: { readonly candidate: string; readonly sdpMid: string }): void;
  /**
   * The other side has our answer, so its candidates may be tried. A peer that answers an offer that isn't eager keeps
   * them until it is told, or for a short while. Idempotent.
   */
  proceed(): void;
  /** Takes the answer to our offer. @throws ProtoflyError `E_MESSAGE` when it can't be used */
  setAnswer(sdp: string): void;
  /** Sends one frame; its bytes may be used again afterwards. False: more is buffered than is good; wait for `onDrain`. @throws ProtoflyError `E_LINK_CLOSED` */
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
  /** Once, whoever closed it. `failed`: it was never open, or ICE gave up. */
  onClose(reason: { readonly failed: boolean; readonly description: string }): void;
}

export interface WebRtcEngine {
  /**
   * Offers: resolves with a description that holds the host candidates. An eager offer makes its side the DTLS client
   * and has the other side check at once: it connects within milliseconds, but now and then fails on a busy machine.
   */
  offer(init: { readonly iceServers: readonly IceServer[]; readonly iceTransportPolicy?: IceTransportPolicy; readonly label: string; readonly eager: boolean }, events: WebRtcEvents): Promise<{ peer: WebRtcPeer; sdp: string }>;
  /** Answers an offer. @throws ProtoflyError `E_MESSAGE` when the offer can't be used */
  answer(init: { readonly iceServers: readonly IceServer[]; readonly iceTransportPolicy?: IceTransportPolicy; readonly sdp: string }, events: WebRtcEvents): Promise<{ peer: WebRtcPeer; sdp: string }>;
}

/** The capabilities that a stub may be granted beyond its bus. */
export const CAPABILITIES = ['webrtc', 'websocket', 'http', 'tcp'] as const;
export type Capability = (typeof CAPABILITIES)[number];

/**
 * The stubs that a runtime deploys. `any`: stubs that a domain's publisher has signed, whose key is believed at first sight;
 * `trusted`: only those of publishers that a person has added, and of the runtime's own domain; `built-in`: only those of
 * the installation.
 */
export const ALLOWANCES = ['any', 'trusted', 'built-in'] as const;
export type Allowance = (typeof ALLOWANCES)[number];
