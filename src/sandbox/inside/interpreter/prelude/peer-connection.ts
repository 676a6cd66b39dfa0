import { Event, EventTarget } from './events.js';
import { bytesIn, counter, host } from './host.js';

type Handler = ((event: Event) => void) | null;
interface Description { readonly type: string; readonly sdp: string }

interface State {
  readonly connectionState: string;
  readonly iceConnectionState: string;
  readonly iceGatheringState: string;
  readonly signalingState: string;
  readonly localDescription: Description | null;
  readonly remoteDescription: Description | null;
}

/** A class whose objects are made of plain properties, like RTCSessionDescription. */
class RTCSessionDescription {
  readonly type: string;
  readonly sdp: string;

  constructor({ type, sdp = '' }: { readonly type: string; readonly sdp?: string }) {
    this.type = type;
    this.sdp = sdp;
  }

  toJSON(): Description { return { type: this.type, sdp: this.sdp }; }
}

class RTCIceCandidate {
  readonly candidate: string;
  readonly sdpMid: string | null;
  readonly sdpMLineIndex: number | null;

  constructor({ candidate = '', sdpMid = null, sdpMLineIndex = null }: { readonly candidate?: string; readonly sdpMid?: string | null; readonly sdpMLineIndex?: number | null }) {
    this.candidate = candidate;
    this.sdpMid = sdpMid;
    this.sdpMLineIndex = sdpMLineIndex;
  }

  toJSON(): object { return { candidate: this.candidate, sdpMid: this.sdpMid, sdpMLineIndex: this.sdpMLineIndex }; }
}

class RTCDataChannel extends EventTarget {
  readonly label: string;
  binaryType = 'arraybuffer';
  bufferedAmountLowThreshold = 0;
  onopen: Handler = null;
  onmessage: Handler = null;
  onclose: Handler = null;
  onerror: Handler = null;
  onbufferedamountlow: Handler = null;
  readonly #connection: number;
  readonly #channel: number;
  #readyState: string;

  constructor(connection: number, channel: number, label: string, readyState: string) {
    super();
    this.#connection = connection;
    this.#channel = channel;
    this.label = label;
    this.#readyState = readyState;
  }

  get readyState(): string { return this.#readyState; }
  get bufferedAmount(): number { return this.#readyState === 'open' ? Number(this.#call('bufferedAmount')) : 0; }

  send(data: unknown): void {
    const bytes = bytesIn(data);
    if (bytes === undefined) host.channelText(this.#connection, this.#channel, String(data));
    else host.channelBytes(this.#connection, this.#channel, bytes);
  }

  close(): void {
    if (this.#readyState === 'closed') return;
    this.#readyState = 'closing';
    this.#call('closeChannel');
  }

  /** Takes an event from outside. */
  static take(channel: RTCDataChannel, event: string, data: unknown): void {
    if (event === 'open') channel.#readyState = 'open';
    if (event === 'close') channel.#readyState = 'closed';
    channel.dispatchEvent(new Event(event, event === 'message' ? { data } : {}));
  }

  #call(method: string): string { return host.connection(this.#connection, 0, method, JSON.stringify({ channel: this.#channel })); }
}
const takeChannelEvent = RTCDataChannel.take;
delete (RTCDataChannel as { take?: unknown }).take;

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (thrown: unknown) => void;
}

interface Inner {
  readonly connection: RTCPeerConnection;
  readonly channels: Map<number, RTCDataChannel>;
  readonly waiting: Map<number, Waiting>;
  state: State;
}

const connections = new Map<number, Inner>();
const nextId = counter();
const NEW: State = { connectionState: 'new', iceConnectionState: 'new', iceGatheringState: 'new', signalingState: 'stable', localDescription: null, remoteDescription: null };

/** The web's RTCPeerConnection, for data channels. */
class RTCPeerConnection extends EventTarget {
  onicecandidate: Handler = null;
  ondatachannel: Handler = null;
  onconnectionstatechange: Handler = null;
  oniceconnectionstatechange: Handler = null;
  onicegatheringstatechange: Handler = null;
  onsignalingstatechange: Handler = null;
  onnegotiationneeded: Handler = null;
  readonly #id = nextId();
  readonly #nextTicket = counter();
  readonly #nextChannel = counter();
  readonly #inner: Inner = { connection: this, channels: new Map(), waiting: new Map(), state: NEW };

  constructor(config: object = {}) {
    super();
    host.openConnection(this.#id, JSON.stringify(config));
    connections.set(this.#id, this.#inner);
  }

  get connectionState(): string { return this.#inner.state.connectionState; }
  get iceConnectionState(): string { return this.#inner.state.iceConnectionState; }
  get iceGatheringState(): string { return this.#inner.state.iceGatheringState; }
  get signalingState(): string { return this.#inner.state.signalingState; }
  get localDescription(): Description | null { return this.#inner.state.localDescription; }
  get remoteDescription(): Description | null { return this.#inner.state.remoteDescription; }

  createOffer(): Promise<unknown> { return this.#ask('createOffer'); }
  createAnswer(): Promise<unknown> { return this.#ask('createAnswer'); }
  setLocalDescription(description: object = {}): Promise<unknown> { return this.#ask('setLocalDescription', description); }
  setRemoteDescription(description: object): Promise<unknown> { return this.#ask('setRemoteDescription', description); }
  addIceCandidate(candidate: object | null = null): Promise<unknown> {
    return candidate === null || (candidate as { readonly candidate?: string }).candidate === '' ? Promise.resolve() : this.#ask('addIceCandidate', candidate);
  }

  createDataChannel(label: unknown, options: object = {}): RTCDataChannel {
    const number = this.#nextChannel();
    host.connection(this.#id, 0, 'createDataChannel', JSON.stringify({ ...options, label: String(label), channel: number }));
    const channel = new RTCDataChannel(this.#id, number, String(label), 'connecting');
    this.#inner.channels.set(number, channel);
    return channel;
  }

  close(): void {
    connections.delete(this.#id);
    this.#inner.state = { ...this.#inner.state, connectionState: 'closed', iceConnectionState: 'closed', signalingState: 'closed' };
    host.connection(this.#id, 0, 'close', '{}');
  }

  #ask(method: string, args: object = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const ticket = this.#nextTicket();
      host.connection(this.#id, ticket, method, JSON.stringify(args));
      this.#inner.waiting.set(ticket, { resolve, reject });
    });
  }
}

const take = (id: number, ticket: number): Waiting | undefined => {
  const waiting = connections.get(id)?.waiting;
  const found = waiting?.get(ticket);
  waiting?.delete(ticket);
  return found;
};

export const onConnectionAnswer = (id: number, ticket: number, text: string): void => {
  const { state, value } = JSON.parse(text) as { readonly state: State; readonly value: unknown };
  const inner = connections.get(id);
  if (inner !== undefined) inner.state = { ...inner.state, ...state };
  take(id, ticket)?.resolve(value ?? undefined);
};

export const onConnectionRefused = (id: number, ticket: number, name: string, message: string): void => { take(id, ticket)?.reject(Object.assign(new Error(message), { name })); };

export const onConnection = (id: number, event: string, text: string): void => {
  const inner = connections.get(id);
  if (inner === undefined) return;
  const { candidate, channel: number, label, readyState, ...state } = JSON.parse(text) as State & { readonly candidate?: object | null; readonly channel?: number; readonly label?: string; readonly readyState?: string };
  inner.state = { ...inner.state, ...state };
  if (event === 'icecandidate') inner.connection.dispatchEvent(new Event(event, { candidate: candidate === null || candidate === undefined ? null : new RTCIceCandidate(candidate) }));
  else if (event === 'datachannel' && number !== undefined) {
    const channel = new RTCDataChannel(id, number, label ?? '', readyState ?? 'connecting');
    inner.channels.set(number, channel);
    inner.connection.dispatchEvent(new Event(event, { channel }));
  } else inner.connection.dispatchEvent(new Event(event));
};

export const onChannel = (id: number, number: number, event: string, detail: string): void => {
  const channels = connections.get(id)?.channels;
  const channel = channels?.get(number);
  if (event === 'close') channels?.delete(number);
  if (channel !== undefined) takeChannelEvent(channel, event, detail);
};

export const onChannelBytes = (id: number, number: number, bytes: ArrayBuffer): void => {
  const channel = connections.get(id)?.channels.get(number);
  if (channel !== undefined) takeChannelEvent(channel, 'message', bytes);
};

export const rtcGlobals = { RTCPeerConnection, RTCSessionDescription, RTCIceCandidate, RTCDataChannel };
