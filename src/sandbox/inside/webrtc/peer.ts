import type { DataChannel, PeerConnection } from 'node-datachannel';
import { ProtoflyError, type CandidatePair, type WebRtcEvents, type WebRtcPeer } from '../../../protocol/index.js';
import { candidatesOf, cleanDescription, MAX_REMOTE_CANDIDATES, midOf, usableCandidate, withoutCandidates } from './sdp.js';

/** Bytes buffered in the library above which `send` returns false, and below which `onDrain` is called. */
const HIGH_WATER = 512 * 1024;
const LOW_WATER = 128 * 1024;
/** Maximum size of a sent frame, even if the other side takes more, in bytes. */
const MAX_FRAME = 64 * 1024;

type Candidate = Parameters<WebRtcPeer['addCandidate']>[0];
type Log = (level: 'debug' | 'info' | 'warn', text: string) => void;
type State = 'setting-up' | 'open' | 'closed';

const textOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));

const formatEnd = ({ address, port, type }: { address: string; port: number; type: string }): string =>
  `${address.includes(':') ? `[${address}]` : address}:${String(port)} ${type}`;

/**
 * A peer connection and its channel. The library closes both when their wrappers are garbage-collected. So a
 * peer keeps them, and the engine keeps the peer, until it is closed.
 */
export class NativePeer implements WebRtcPeer {
  readonly #connection: PeerConnection;
  readonly #events: WebRtcEvents;
  readonly #log: Log;
  readonly #onEnd: () => void;
  readonly #relayOnly: boolean;
  readonly #early: Candidate[] = [];
  #channel: DataChannel | undefined;
  /** True once remote candidates may go to the library. */
  #described = false;
  readonly #taken = new Set<string>();
  #state: State = 'setting-up';
  #maxFrame = MAX_FRAME;
  #full = false;

  /**
   * @param init.onEnd called when the library has released everything of this peer
   * @param init.relayOnly accepts only relay candidates of the other side: the library itself filters only our
   *   own
   */
  constructor(connection: PeerConnection, init: { readonly events: WebRtcEvents; readonly log: Log; readonly relayOnly: boolean; readonly onEnd: () => void }) {
    this.#connection = connection;
    this.#events = init.events;
    this.#log = init.log;
    this.#onEnd = init.onEnd;
    this.#relayOnly = init.relayOnly;
    connection.onStateChange((state) => {
      if (state === 'failed') this.#end(true, 'no path to the other side');
      else if (state === 'disconnected' || state === 'closed') this.#end(this.#state !== 'open', 'the connection ended');
    });
    connection.onDataChannel((channel) => {
      this.#guard(() => {
        if (this.#channel === undefined && this.#state !== 'closed') this.#adopt(channel);
        else channel.close();
      });
    });
  }

  /** Creates the channel, on the offerer's side. The answerer adopts the first one that comes. */
  openChannel(label: string): void {
    this.#adopt(this.#connection.createDataChannel(label));
  }

  /**
   * Applies an offer; its candidates wait for `proceed`. The order in which the two sides connect matters to
   * the library:
   * - Eager offer: the answerer checks at once, so it is connected before the offerer has the answer. The
   *   offerer connects as soon as it gets the answer. Both then have DTLS, and the offerer, as DTLS client,
   *   begins. That takes milliseconds. But the offerer's DTLS thread may see our certificate before the library
   *   has stored the answer to compare it with. It then refuses the certificate.
   * - Other offer: the answerer waits for `proceed`, so this can't happen. The library then paces its checks,
   *   which costs 50 ms. The answerer is the DTLS client: otherwise the first packet is lost and repeated after
   *   a second.
   * @throws ProtoflyError `E_MESSAGE`
   */
  setOffer(sdp: string): void {
    this.#early.unshift(...candidatesOf(sdp).map((candidate) => ({ candidate, sdpMid: midOf(sdp) })));
    this.#setRemote(withoutCandidates(sdp), 'offer');
  }

  proceed(): void {
    this.#described = true;
    for (const candidate of this.#early.splice(0)) this.addCandidate(candidate);
  }

  /** Returns a function that reports local candidates, except those in `known`. */
  trickle(known: readonly string[]): (candidate: string, mid: string) => void {
    const said = new Set(known);
    return (candidate, mid) => {
      const text = candidate.replace(/^a=/, '');
      if (said.has(text)) return;
      said.add(text);
      this.#tell(() => { this.#events.onCandidate({ candidate: text, sdpMid: mid }); });
    };
  }

  addCandidate({ candidate, sdpMid }: Candidate): void {
    if (this.#state === 'closed') return;
    const usable = usableCandidate(candidate, this.#relayOnly);
    if (usable === undefined || this.#taken.has(usable) || this.#taken.size >= MAX_REMOTE_CANDIDATES) return;
    if (!this.#described) {
      if (this.#early.length < MAX_REMOTE_CANDIDATES) this.#early.push({ candidate, sdpMid });
      return;
    }
    this.#taken.add(usable);
    this.#guard(() => { this.#connection.addRemoteCandidate(usable, sdpMid); });
  }

  setAnswer(sdp: string): void {
    if (this.#described || this.#state === 'closed') return;
    const clean = cleanDescription(sdp, this.#relayOnly);
    this.#setRemote(clean, 'answer');
    for (const candidate of candidatesOf(clean)) this.#taken.add(candidate);
    this.proceed();
  }

  send(frame: string | Uint8Array): boolean {
    const channel = this.#channel;
    if (this.#state !== 'open' || channel === undefined) throw new ProtoflyError('E_LINK_CLOSED', 'the data channel is not open');
    try {
      // The library returns whether the frame was buffered, which is no failure.
      if (typeof frame === 'string') channel.sendMessage(frame);
      else channel.sendMessageBinary(frame);
      this.#full = channel.bufferedAmount() > HIGH_WATER;
    } catch (cause) {
      throw new ProtoflyError('E_LINK_CLOSED', `the data channel refused the message: ${textOf(cause)}`, { cause });
    }
    return !this.#full;
  }

  get maxFrame(): number {
    return this.#maxFrame;
  }

  get pair(): CandidatePair | undefined {
    if (this.#state !== 'open') return undefined;
    try {
      const pair = this.#connection.getSelectedCandidatePair();
      return pair === null ? undefined : { local: formatEnd(pair.local), remote: formatEnd(pair.remote) };
    } catch {
      return undefined;
    }
  }

  /**
   * Blocks this thread for good if the library is in a deadlock. The guard then ends this process, and stubs are deployed
   * anew. Otherwise every connection of this process would stay frozen. In libdatachannel 0.24.5 a set-up over a relay
   * can cause that (fixed by its pull request 1630).
   */
  testForDeadlock(): void {
    if (this.#state === 'setting-up') this.#guard(() => { this.#connection.getSelectedCandidatePair(); });
  }

  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#guard(() => { this.#channel?.close(); });
    this.#guard(() => { this.#connection.close(); });
    this.#onEnd();
  }

  /** @throws ProtoflyError `E_MESSAGE` */
  #setRemote(sdp: string, type: 'offer' | 'answer'): void {
    if (this.#state === 'closed') return;
    try {
      this.#connection.setRemoteDescription(sdp, type);
    } catch (cause) {
      throw new ProtoflyError('E_MESSAGE', `bad session description: ${textOf(cause)}`, { cause });
    }
  }

  #adopt(channel: DataChannel): void {
    this.#channel = channel;
    channel.onOpen(() => { this.#open(channel); });
    channel.onMessage((data) => {
      this.#tell(() => { this.#events.onFrame(typeof data === 'string' ? data : data instanceof ArrayBuffer ? new Uint8Array(data) : data); });
    });
    channel.onBufferedAmountLow(() => {
      if (!this.#full) return;
      this.#full = false;
      this.#tell(() => { this.#events.onDrain(); });
    });
    channel.onError((error) => { this.#log('info', `data channel: ${error}`); });
    channel.onClosed(() => { this.#end(this.#state !== 'open', 'the other side closed the data channel'); });
    if (channel.isOpen()) queueMicrotask(() => { this.#guard(() => { this.#open(channel); }); });
  }

  #open(channel: DataChannel): void {
    if (this.#state !== 'setting-up') return;
    this.#guard(() => {
      channel.setBufferedAmountLowThreshold(LOW_WATER);
      this.#maxFrame = Math.max(1, Math.min(MAX_FRAME, channel.maxMessageSize()));
      this.#state = 'open';
    });
    this.#tell(() => { this.#events.onOpen(); });
  }

  #end(failed: boolean, description: string): void {
    if (this.#state === 'closed') return;
    this.close();
    try {
      this.#events.onClose({ failed, description });
    } catch (thrown) {
      this.#log('warn', `WebRTC callback: ${textOf(thrown)}`);
    }
  }

  /** Calls a listener. An error thrown out of a callback of the library would end the process. */
  #tell(run: () => void): void {
    if (this.#state !== 'closed') this.#guard(run);
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (thrown) {
      this.#log('warn', `WebRTC: ${textOf(thrown)}`);
    }
  }
}
