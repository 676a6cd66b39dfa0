/**
 * The border between the interpreter's realm and the code around it. Only strings, numbers and copied bytes cross
 * it. Both sides use these types; `prelude/` runs inside, everything else outside.
 */
export type Value = string | number | Uint8Array | undefined;

export type SocketKind = 'websocket' | 'tcp';

/** The functions that the realm may call. They throw errors whose `name` is a ProtoflyError's code. */
export interface HostCalls {
  /** The stub is active, or can't be activated. */
  started(name: string): void;
  refused(why: string): void;
  /** The stub has closed what it had, after `close`. */
  closed(): void;
  log(level: string, text: string): void;
  /** Reports an error that nobody in the realm handled. */
  fault(text: string): void;

  /** Sends a message on a channel: 0 is the stub's own, others are ports. @returns 0, or a ticket that is told as `drained` */
  send(channel: number, text: string): number;
  /** Settles backpressure that `message` answered. */
  taken(ticket: number): void;
  /** @returns the port's channel */
  openPort(address: string): number;
  /** Starts the delivery of a port's messages. */
  listen(channel: number): void;
  closePort(channel: number): void;

  setTimer(id: number, milliseconds: number): void;
  clearTimer(id: number): void;
  now(): number;

  random(bytes: number): Uint8Array;
  /** @returns the parts of the URL as JSON, or an empty text for an invalid one */
  parseUrl(text: string, base: string): string;
  /** Sets one part of a URL. @returns as `parseUrl` */
  changeUrl(href: string, part: string, value: string): string;
  encode(text: string): Uint8Array;
  decode(bytes: ArrayBuffer, label: string, isFatal: number, keepsMark: number): string;
  toBase64(bytes: ArrayBuffer): string;
  fromBase64(text: string): Uint8Array;

  openSocket(id: number, kind: string, url: string, protocols: string): void;
  sendText(id: number, text: string): void;
  sendBytes(id: number, bytes: ArrayBuffer): void;
  closeSocket(id: number, code: number, reason: string): void;
  pauseSocket(id: number, isPaused: number): void;
  bufferedAmount(id: number): number;

  /** @param request JSON of `FetchRequest` */
  fetch(id: number, request: string, body: ArrayBuffer): void;
  /** Asks for the next piece of the body, told as `fetch-piece`. */
  readBody(id: number): void;
  abortFetch(id: number): void;

  offer(id: number, init: string): void;
  answer(id: number, init: string): void;
  /** @param call JSON of the method's arguments */
  peer(id: number, method: string, call: string): string;
  /** @returns 1 if the peer takes more, 0 under backpressure */
  sendPeerText(id: number, text: string): number;
  sendPeerBytes(id: number, bytes: ArrayBuffer): number;

  /** @param config JSON of an RTCConfiguration */
  openConnection(id: number, config: string): void;
  connection(id: number, ticket: number, method: string, call: string): string;
  channelText(id: number, channel: number, text: string): void;
  channelBytes(id: number, channel: number, bytes: ArrayBuffer): void;
}

/** The events that the realm is told, with their arguments. */
export interface GuestEvents {
  /** Begins the activation. @param grants JSON of `Grants` */
  start: [grants: string];
  close: [];
  /** @returns 0, or a ticket for `taken` */
  message: [channel: number, text: string];
  drained: [ticket: number];
  'channel-closed': [channel: number, how: string, reason: string];
  timer: [id: number];
  socket: [id: number, event: string, detail: string];
  'socket-bytes': [id: number, bytes: Uint8Array];
  'fetch-head': [id: number, head: string];
  'fetch-piece': [id: number, bytes: Uint8Array];
  'fetch-end': [id: number];
  'fetch-failed': [id: number, code: string, message: string];
  'peer-ready': [id: number, sdp: string];
  'peer-failed': [id: number, code: string, message: string];
  peer: [id: number, event: string, detail: string];
  'peer-bytes': [id: number, bytes: Uint8Array];
  'connection-answer': [id: number, ticket: number, value: string];
  'connection-refused': [id: number, ticket: number, name: string, message: string];
  connection: [id: number, event: string, detail: string];
  channel: [id: number, channel: number, event: string, detail: string];
  'channel-bytes': [id: number, channel: number, bytes: Uint8Array];
}

export interface Grants {
  readonly url: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly capabilities: readonly string[];
}

export interface FetchRequest {
  readonly url: string;
  readonly method: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly redirect: 'follow' | 'manual' | 'error';
  readonly hasBody: boolean;
}

export interface FetchHead {
  readonly status: number;
  readonly statusText: string;
  readonly url: string;
  readonly redirected: boolean;
  readonly headers: readonly (readonly [string, string])[];
}
