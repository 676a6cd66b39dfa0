import { ProtoflyError } from '../../../../protocol/index.js';
import type { StubContext } from '../../../contract/stub.js';
import { cleanDescription, usableCandidate, type ConnectionConfig, type PlatformChannel, type PlatformConnection } from '../../webrtc/index.js';
import { hostCall, objectIn, Open } from '../host-call.js';
import type { CallGroup, Tell } from './group.js';

const MAX_CONNECTIONS = 256;
const MAX_CHANNELS = 64;

interface Connection {
  readonly platform: PlatformConnection;
  readonly channels: Open<PlatformChannel>;
  /** Numbers channels that the other side opens; the stub numbers its own from 1 upwards. */
  lastIncoming: number;
}

export interface PeerConnectionCallsComponents {
  readonly create: (config: ConnectionConfig) => PlatformConnection;
  readonly tell: Tell;
}

const STATES = ['connectionState', 'iceConnectionState', 'iceGatheringState', 'signalingState'] as const;

/** The web standard's RTCPeerConnection for one stub. */
export class PeerConnectionCalls implements CallGroup {
  readonly #components: PeerConnectionCallsComponents;
  readonly #relayOnly: boolean;
  readonly #connections = new Open<Connection>('peer connections', MAX_CONNECTIONS);
  readonly calls;

  constructor(components: PeerConnectionCallsComponents, { relayOnly = false }: Pick<StubContext, 'relayOnly'>) {
    this.#components = components;
    this.#relayOnly = relayOnly;
    this.calls = {
      openConnection: hostCall(['number', 'text'], (id, text) => { this.#open(id, objectIn(text)); }),
      connection: hostCall(['number', 'number', 'text', 'text'], (id, ticket, method, call) => this.#call(id, ticket, method, objectIn(call))),
      channelText: hostCall(['number', 'number', 'text'], (id, channel, text) => { this.#channel(id, channel).send(text); }),
      channelBytes: hostCall(['number', 'number', 'bytes'], (id, channel, bytes) => { this.#channel(id, channel).send(bytes as Uint8Array<ArrayBuffer>); }),
    };
  }

  close(): void {
    for (const { platform } of this.#connections.takeAll()) platform.close();
  }

  #open(id: number, { iceServers, iceTransportPolicy }: Readonly<Record<string, unknown>>): void {
    this.#connections.checkRoom(id);
    const platform = this.#components.create({
      ...(Array.isArray(iceServers) ? { iceServers: iceServers as NonNullable<ConnectionConfig['iceServers']> } : {}),
      iceTransportPolicy: this.#relayOnly || iceTransportPolicy === 'relay' ? 'relay' : 'all',
    });
    const connection: Connection = { platform, channels: new Open('data channels', MAX_CHANNELS), lastIncoming: 0 };
    this.#connections.add(id, connection);
    const tell = (event: string, detail: Readonly<Record<string, unknown>> = {}): void => {
      this.#soon('connection', id, event, JSON.stringify({ ...stateOf(platform), ...detail }));
    };
    for (const event of ['connectionstatechange', 'iceconnectionstatechange', 'icegatheringstatechange', 'signalingstatechange', 'negotiationneeded']) {
      platform.addEventListener(event, () => { tell(event); });
    }
    platform.addEventListener('icecandidate', (event) => {
      const { candidate } = event as unknown as { readonly candidate: { readonly candidate: string; readonly sdpMid: string | null; readonly sdpMLineIndex: number | null } | null };
      tell('icecandidate', { candidate: candidate === null ? null : { candidate: candidate.candidate, sdpMid: candidate.sdpMid, sdpMLineIndex: candidate.sdpMLineIndex } });
    });
    platform.addEventListener('datachannel', (event) => {
      const { channel } = event as unknown as { readonly channel: PlatformChannel };
      const number = -(++connection.lastIncoming);
      try {
        connection.channels.add(number, channel);
        tell('datachannel', { channel: number, label: channel.label, readyState: channel.readyState });
        this.#watch(id, number, connection, channel);
      } catch {
        channel.close();
      }
    });
  }

  #watch(id: number, number: number, { channels }: Connection, channel: PlatformChannel): void {
    channel.binaryType = 'arraybuffer';
    const tell = (event: string, detail = ''): void => { this.#soon('channel', id, number, event, detail); };
    channel.addEventListener('open', () => { tell('open'); });
    channel.addEventListener('bufferedamountlow', () => { tell('bufferedamountlow'); });
    channel.addEventListener('error', () => { tell('error'); });
    channel.addEventListener('close', () => {
      channels.delete(number);
      tell('close');
    });
    channel.addEventListener('message', (event) => {
      const { data } = event as unknown as { readonly data: unknown };
      if (typeof data === 'string') tell('message', data);
      else if (data instanceof ArrayBuffer) this.#soon('channel-bytes', id, number, new Uint8Array(data));
      else if (ArrayBuffer.isView(data)) this.#soon('channel-bytes', id, number, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    });
  }

  #get(id: number): Connection {
    const connection = this.#connections.get(id);
    if (connection === undefined) throw new ProtoflyError('E_LINK_CLOSED', 'the connection is closed');
    return connection;
  }

  #channel(id: number, number: number): PlatformChannel {
    const channel = this.#get(id).channels.get(number);
    if (channel === undefined) throw new ProtoflyError('E_LINK_CLOSED', 'the data channel is closed');
    return channel;
  }

  #call(id: number, ticket: number, method: string, call: Readonly<Record<string, unknown>>): string {
    switch (method) {
      case 'close':
        this.#connections.delete(id)?.platform.close();
        return '';
      case 'createDataChannel': return this.#createChannel(id, Number(call['channel']), call);
      case 'closeChannel':
        this.#get(id).channels.get(Number(call['channel']))?.close();
        return '';
      case 'bufferedAmount': return String(this.#channel(id, Number(call['channel'])).bufferedAmount);
      default:
        this.#answer(id, ticket, this.#ask(this.#get(id).platform, method, call));
        return '';
    }
  }

  #createChannel(id: number, number: number, { label, ordered, maxRetransmits, maxPacketLifeTime }: Readonly<Record<string, unknown>>): string {
    const connection = this.#get(id);
    connection.channels.checkRoom(number);
    const channel = connection.platform.createDataChannel(String(label), {
      ...(typeof ordered === 'boolean' ? { ordered } : {}),
      ...(typeof maxRetransmits === 'number' ? { maxRetransmits } : {}),
      ...(typeof maxPacketLifeTime === 'number' ? { maxPacketLifeTime } : {}),
    });
    connection.channels.add(number, channel);
    this.#watch(id, number, connection, channel);
    return '';
  }

  async #ask(platform: PlatformConnection, method: string, call: Readonly<Record<string, unknown>>): Promise<unknown> {
    const description = { type: String(call['type']) as 'offer' | 'answer', sdp: String(call['sdp']) };
    switch (method) {
      case 'createOffer': return descriptionOf(await platform.createOffer());
      case 'createAnswer': return descriptionOf(await platform.createAnswer());
      case 'setLocalDescription': return platform.setLocalDescription(typeof call['type'] === 'string' ? description : undefined as unknown as typeof description);
      case 'setRemoteDescription': return platform.setRemoteDescription({ ...description, sdp: cleanDescription(description.sdp, this.#relayOnly) });
      case 'addIceCandidate': return this.#addCandidate(platform, String(call['candidate']), String(call['sdpMid'] ?? '0'));
      default: throw new ProtoflyError('E_USAGE', `a peer connection has no method ${method.slice(0, 40)}`);
    }
  }

  /** Leaves out candidates that the other side must not have tried, like those with host names. */
  async #addCandidate(platform: PlatformConnection, line: string, sdpMid: string): Promise<void> {
    const candidate = usableCandidate(line, this.#relayOnly);
    if (candidate !== undefined) await platform.addIceCandidate({ candidate, sdpMid });
  }

  #answer(id: number, ticket: number, promise: Promise<unknown>): void {
    const state = (): object => {
      const connection = this.#connections.get(id);
      return connection === undefined ? {} : stateOf(connection.platform);
    };
    promise.then(
      (value) => { this.#soon('connection-answer', id, ticket, JSON.stringify({ state: state(), value: value ?? null })); },
      (thrown: unknown) => {
        const { name, message } = thrown instanceof Error ? thrown : new Error(String(thrown));
        this.#soon('connection-refused', id, ticket, name, message);
      },
    );
  }

  /** Tells the realm after the current turn: the library also calls back from within its methods. */
  readonly #soon: Tell = (event, ...values) => {
    queueMicrotask(() => { this.#components.tell(event, ...values); });
    return 0;
  };
}

const descriptionOf = (description: { readonly type?: unknown; readonly sdp?: unknown } | null | undefined): unknown =>
  (description === null || description === undefined ? null : { type: description.type, sdp: description.sdp });

const stateOf = (platform: PlatformConnection): Record<string, unknown> => ({
  ...Object.fromEntries(STATES.map((name) => [name, platform[name]])),
  localDescription: descriptionOf(platform.localDescription),
  remoteDescription: descriptionOf(platform.remoteDescription),
});
