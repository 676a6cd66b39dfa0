import {
  CHANNEL_LABEL, FRAMINGS, ProtoflyError, asProtoflyError, isIceCandidate,
  type CandidatePair, type Clock, type ConnectionValue, type Framing as FramingName, type IceCandidate, type IceServer, type Message, type Timer, type WebRtcEngine,
  type Backpressure, type WebRtcEvents, type WebRtcPeer,
} from '../../protocol/index.js';
import type { Framing, FramingComponents, Log } from './framing.js';
import type { HealthReport } from './health.js';
import { ProtoflyFraming } from './protofly-framing.js';
import { RethinkFraming } from './rethink-framing.js';

export interface ControllerComponents {
  readonly engine: WebRtcEngine;
  readonly clock: Clock;
  readonly log: Log;
}

/** Facts about a connection that becomes live. */
export interface LiveDetails {
  readonly pair?: CandidatePair;
  readonly setupMs: number;
  readonly generation: number;
  readonly framing: FramingName;
  /** Absent if the framing has no pings. */
  readonly health?: HealthReport['health'];
}

export interface ConnectionEnd {
  /** True if it was never live. */
  readonly failed: boolean;
  /** True if one side said goodbye. */
  readonly orderly: boolean;
  readonly reason: string;
  /** Settles when all messages that came over it have been taken. */
  readonly delivered: Promise<void>;
}

export interface ControllerInit {
  readonly iceServers: readonly IceServer[];
  readonly generation: number;
  /** True to offer eagerly. @default false */
  readonly eager?: boolean;
  /** Timeout of the set-up, in milliseconds. @default 15_000 */
  readonly setupMs?: number;
  readonly deliver: (message: Message) => Backpressure;
  /** Called with a local candidate that isn't in the description. */
  readonly onCandidate: (candidate: IceCandidate) => void;
  readonly onLive: (details: LiveDetails) => void;
  /** Called with changes of the other side's health while the connection is live. */
  readonly onHealth: (report: HealthReport) => void;
  /** Called once, when the connection carries nothing more. */
  readonly onEnd: (end: ConnectionEnd) => void;
  /** Called with an accepted message that couldn't be sent. */
  readonly onUnsent: (message: Message, reason: string) => void;
}

/** Maximum time for an orderly close, in milliseconds. */
const LINGER_MS = 2000;
/** Minimum frame size, in bytes: control records and the smallest batch fit. A peer that takes less isn't one of ours. */
const MIN_FRAME = 1024;

type State =
  | { readonly name: 'setting-up' }
  | { readonly name: 'live'; readonly framing: Framing }
  /** We said goodbye; `done` settles when the other side has everything. */
  | { readonly name: 'closing'; readonly framing: Framing; readonly reason: string; readonly done: Promise<void> }
  /** The other side said goodbye; `onEnd` has been called. `told` resolves its `delivered`. */
  | { readonly name: 'leaving'; readonly framing: Framing; readonly told: () => void }
  | { readonly name: 'ended' };

/** Chooses the best framing that both sides support. A side that names none uses the oldest. */
export const chooseFraming = (offered: readonly string[] | undefined): FramingName => FRAMINGS.find((name) => offered?.includes(name)) ?? 'rethink/1';

/** Returns the candidates in a description, in the form of a Connection object. */
export const candidatesIn = (sdp: string): IceCandidate[] => {
  const sdpMid = /^a=mid:(\S+)/m.exec(sdp)?.[1] ?? '0';
  return [...sdp.matchAll(/^a=(candidate:[^\r\n]+)/gm)].map(([, candidate = '']) => ({ candidate, sdpMid, sdpMLineIndex: 0 }));
};

/**
 * One P2P connection from the first description to its end: a peer, a framing on its channel, and the rules of
 * set-up and goodbye. The stub carries the descriptions to the other side. A controller is used once: after its
 * end, a new one with a higher generation follows.
 */
export class ConnectionController {
  readonly #components: ControllerComponents;
  readonly #init: ControllerInit;
  readonly #started: number;
  readonly #timer: Timer;
  #state: State = { name: 'setting-up' };
  #peer: WebRtcPeer | undefined;
  #framing: FramingName | undefined;
  #early: IceCandidate[] = [];
  #health: HealthReport['health'] = 'good';
  #proceeds = false;

  constructor(components: ControllerComponents, init: ControllerInit) {
    this.#components = components;
    this.#init = init;
    this.#started = components.clock.now();
    const setupMs = init.setupMs ?? 15_000;
    this.#timer = components.clock.setTimeout(() => {
      if (this.#state.name === 'setting-up') this.#end(`not connected within ${String(setupMs)} ms`);
    }, setupMs);
  }

  get isLive(): boolean {
    return this.#state.name === 'live';
  }

  /** True if the other side has been silent for too long. */
  get isSuspect(): boolean {
    return this.#health === 'suspect';
  }

  get hasEnded(): boolean {
    return this.#state.name === 'ended' || this.#state.name === 'leaving';
  }

  /** @returns the offer's description @throws ProtoflyError */
  offer(): Promise<string> {
    return this.#make(() => this.#components.engine.offer({ iceServers: this.#init.iceServers, label: CHANNEL_LABEL, eager: this.#init.eager ?? false }, this.#events));
  }

  /** @returns the answer's description @throws ProtoflyError `E_MESSAGE` if the offer can't be used */
  answer(offer: ConnectionValue): Promise<string> {
    if (offer.connectionDescription.type !== 'offer') throw new ProtoflyError('E_MESSAGE', 'not an offer');
    this.#framing = chooseFraming(offer.framings);
    this.addCandidates(offer.iceCandidates);
    return this.#make(() => this.#components.engine.answer({ iceServers: this.#init.iceServers, sdp: offer.connectionDescription.sdp }, this.#events));
  }

  /** Applies the answer to our offer. A bad answer ends the set-up. */
  setAnswer(answer: ConnectionValue): void {
    if (this.#state.name !== 'setting-up' || this.#framing !== undefined) return;
    if (answer.connectionDescription.type !== 'answer') {
      this.#end('the other side sent something that is no answer');
      return;
    }
    this.#framing = chooseFraming(answer.framings);
    try {
      this.#peer?.setAnswer(answer.connectionDescription.sdp);
      this.addCandidates(answer.iceCandidates);
    } catch (thrown) {
      this.#end(asProtoflyError(thrown).message);
    }
  }

  /** Continues the set-up, because the other side has our answer. Idempotent. */
  proceed(): void {
    this.#proceeds = true;
    if (this.#state.name === 'setting-up') this.#peer?.proceed();
  }

  /** Adds received candidates, and ignores invalid ones. */
  addCandidates(candidates: unknown): void {
    if (!Array.isArray(candidates) || this.#state.name !== 'setting-up') return;
    const good = candidates.slice(0, 200).filter(isIceCandidate);
    if (this.#peer === undefined) this.#early.push(...good.slice(0, Math.max(0, 200 - this.#early.length)));
    // A candidate without a mid belongs to the only section.
    else for (const { candidate, sdpMid } of good) this.#peer.addCandidate({ candidate, sdpMid: (sdpMid as string | undefined) ?? '0' });
  }

  /** @throws ProtoflyError `E_LINK_CLOSED` if the connection isn't live, `E_TOO_LARGE`, `E_TOO_MANY` */
  send(message: Message): Backpressure {
    if (this.#state.name !== 'live') throw new ProtoflyError('E_LINK_CLOSED', 'the P2P connection is not live');
    return this.#state.framing.send(message);
  }

  /** Pings the other side at once, because there is reason to doubt. `onHealth` reports the result. */
  probe(patienceMs: number): void {
    if (this.#state.name === 'live') this.#state.framing.probe(patienceMs);
  }

  /** Closes in order: accepted messages still arrive, as far as possible. Idempotent. */
  async close(reason: string): Promise<void> {
    const state = this.#state;
    if (state.name === 'closing') return state.done;
    if (state.name === 'leaving') return;
    if (state.name !== 'live') {
      this.#end(reason);
      return;
    }
    const { framing } = state;
    const done = framing.finish(LINGER_MS).then((complete) => {
      if (!complete) this.#components.log('debug', 'closed without the goodbye of the other side');
      this.#end(reason);
    });
    this.#state = { name: 'closing', framing, reason, done };
    return done;
  }

  /**
   * Handles the end of the other side's Connection object. With `protofly/1`, an orderly end begins with a
   * goodbye, so without one the other stub is gone. With `rethink/1`, which has no goodbye, the end counts as
   * orderly.
   */
  abandoned(reason: string): void {
    if (this.#state.name === 'live' && this.#framing === 'rethink/1') void this.close(reason);
    else if (this.#state.name === 'live' || this.#state.name === 'setting-up') this.#end(reason);
  }

  /** Ends the connection at once. Idempotent. */
  fail(reason: string): void {
    this.#end(reason);
  }

  async #make(start: () => Promise<{ peer: WebRtcPeer; sdp: string }>): Promise<string> {
    try {
      const { peer, sdp } = await start();
      if (this.#state.name !== 'setting-up') {
        peer.close();
        throw new ProtoflyError('E_LINK_CLOSED', 'the set-up has been given up');
      }
      this.#peer = peer;
      this.addCandidates(this.#early.splice(0));
      if (this.#proceeds) peer.proceed();
      return sdp;
    } catch (thrown) {
      const error = asProtoflyError(thrown);
      this.#end(error.message);
      throw error;
    }
  }

  readonly #events: WebRtcEvents = {
    onCandidate: ({ candidate, sdpMid }) => {
      if (this.#state.name === 'setting-up') this.#init.onCandidate({ candidate, sdpMid, sdpMLineIndex: 0 });
    },
    onOpen: () => { this.#open(); },
    onFrame: (frame) => {
      const state = this.#state;
      if ('framing' in state) state.framing.receive(frame);
    },
    onDrain: () => {
      const state = this.#state;
      if ('framing' in state) state.framing.drained();
    },
    onClose: ({ description }) => { this.#end(this.#state.name === 'closing' ? this.#state.reason : description); },
  };

  #open(): void {
    const peer = this.#peer;
    const framing = this.#framing;
    if (this.#state.name !== 'setting-up' || peer === undefined || framing === undefined) return;
    if (peer.maxFrame < MIN_FRAME) {
      this.#end(`the other side takes frames of ${String(peer.maxFrame)} bytes only`);
      return;
    }
    this.#timer.cancel();
    const { clock, log } = this.#components;
    const components: FramingComponents = {
      clock, log,
      maxFrame: peer.maxFrame,
      sendFrame: (frame) => peer.send(frame),
      deliver: this.#init.deliver,
      onLeaving: (reason) => { this.#leave(reason); },
      onHealth: (report) => {
        this.#health = report.health;
        if (this.#state.name === 'live') this.#init.onHealth(report);
      },
      onEnd: (reason) => { this.#end(reason); },
    };
    this.#state = { name: 'live', framing: framing === 'protofly/1' ? new ProtoflyFraming(components) : new RethinkFraming(components) };
    const { pair } = peer;
    this.#init.onLive({ ...(pair === undefined ? {} : { pair }), setupMs: clock.now() - this.#started, generation: this.#init.generation, framing, ...(framing === 'protofly/1' ? { health: 'good' } : {}) });
  }

  /** Handles the other side's goodbye: no new messages are sent, but accepted ones still are. */
  #leave(reason: string): void {
    if (this.#state.name !== 'live') return;
    let told: () => void = () => undefined;
    const delivered = new Promise<void>((resolve) => { told = resolve; });
    this.#state = { name: 'leaving', framing: this.#state.framing, told };
    this.#init.onEnd({ failed: false, orderly: true, reason, delivered });
  }

  #end(reason: string): void {
    const state = this.#state;
    if (state.name === 'ended') return;
    this.#state = { name: 'ended' };
    this.#timer.cancel();
    const { unsent, delivered } = 'framing' in state ? state.framing.stop() : { unsent: [], delivered: Promise.resolve() };
    this.#peer?.close();
    for (const message of unsent) this.#init.onUnsent(message, reason);
    if (state.name === 'leaving') void delivered.then(state.told);
    else this.#init.onEnd({ failed: state.name === 'setting-up', orderly: state.name === 'closing', reason, delivered });
  }
}
