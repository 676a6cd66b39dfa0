import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { Clock, Timer } from '../../protocol/index.js';
import { ThroughputEstimator } from '../throughput.js';
import { takenFrom } from '../throughput.js';

/** In milliseconds. */
export interface KeepAliveTimes {
  /** Between pings while nothing is sent. */
  readonly everyMs: number;
  /** How long nothing may come after something was sent, before the other side is asked. */
  readonly waitMs: number;
  /** How long the answer may take then, beside what is under way before the question. */
  readonly answerMs: number;
}

export type Vigil =
  /** Nothing was sent since something was heard. `missed`: pings since then. */
  | { readonly name: 'calm'; readonly read: number; readonly missed: number }
  /** Something was sent, and nothing was heard since; asked: nor since a ping. Silence counts from `since`. */
  | { readonly name: 'waiting' | 'asked'; readonly since: number; readonly read: number; readonly taken: number }
  | { readonly name: 'gone' };

interface Seen {
  readonly now: number;
  /** Bytes that have come. */
  readonly read: number;
  /** Bytes that the system has taken. */
  readonly taken: number;
}

export type VigilEvent =
  | { readonly kind: 'sent' } & Seen
  | {
    readonly kind: 'look';
    /** How much later than it was due. */
    readonly lateMs: number;
    /** Whether this side reads what comes. */
    readonly reading: boolean;
    /** Whether the system has yet to take something. */
    readonly pending: boolean;
    /** How long what is under way may take. */
    readonly underWayMs: number;
  } & Seen;

export interface VigilStep {
  readonly vigil: Vigil;
  readonly ping?: boolean;
  /** When to look again; absent: as it was. */
  readonly lookMs?: number;
}

const MAX_MISSED = 2;
/** A timer that is so much later than it was due says that this process itself stood still. */
const LATE_MS = 50;
/** How often time is looked at while an answer is awaited. */
const TICKS = 4;
/** From here on it is worth a ping to learn how much of what is under way has arrived. */
const MUCH_MS = 1000;

/**
 * What follows from what was seen of a connection. Silence counts while something was sent that nothing came after, while
 * this side reads, and while the system takes nothing of what waits for it: it has room again only when the other side's
 * system has taken something.
 */
export const nextVigil = (vigil: Vigil, event: VigilEvent, { everyMs, waitMs, answerMs }: KeepAliveTimes): VigilStep => {
  if (vigil.name === 'gone') return { vigil };
  const { now, read, taken } = event;
  const heard = read !== vigil.read;
  if (event.kind === 'sent') {
    if (vigil.name !== 'calm' && !heard) return { vigil };
    return { vigil: { name: 'waiting', since: now, read, taken }, ...(vigil.name === 'calm' ? { lookMs: waitMs } : {}) };
  }
  if (vigil.name === 'calm') {
    const missed = heard || !event.reading ? 0 : vigil.missed;
    return missed >= MAX_MISSED ? { vigil: { name: 'gone' } } : { vigil: { name: 'calm', read, missed: missed + 1 }, ping: true, lookMs: everyMs };
  }
  const ping = event.underWayMs > MUCH_MS;
  if (heard) return { vigil: { name: 'calm', read, missed: 0 }, ping, lookMs: everyMs };
  const moves = !event.reading || (event.pending && taken !== vigil.taken);
  const since = moves ? now : Math.min(now, vigil.since + (Math.abs(event.lateMs) > LATE_MS ? event.lateMs : 0));
  const silentMs = now - since;
  if (vigil.name === 'asked') {
    const leftMs = answerMs + event.underWayMs - silentMs;
    return leftMs > 0 ? { vigil: { ...vigil, since, taken }, lookMs: Math.min(Math.ceil(leftMs), answerMs / TICKS) } : { vigil: { name: 'gone' } };
  }
  if (silentMs < waitMs) return { vigil: { ...vigil, since, taken }, ping, lookMs: waitMs - silentMs };
  return { vigil: { name: 'asked', since: now, read, taken }, ping: true, lookMs: answerMs / TICKS };
};

export interface KeepAliveComponents {
  readonly ws: WebSocket;
  /** Below `ws`. */
  readonly socket: Socket;
  readonly clock: Clock;
  /** The other side is gone. Called once, and nothing after it. */
  readonly onSilence: () => void;
}

/**
 * Whether the other side of a WebSocket is there. It is pinged now and then, and asked within seconds when something was
 * sent that nothing comes after. Whatever comes from it counts as an answer, pieces of frames included.
 */
export class KeepAlive {
  readonly #components: KeepAliveComponents;
  readonly #times: KeepAliveTimes;
  readonly #pace: ThroughputEstimator;
  readonly #onPong = (): void => { this.#ponged(); };
  #vigil: Vigil;
  #timer: Timer | undefined;
  #due = 0;
  /** How much had been sent before the ping that isn't answered yet. */
  #asked: number | undefined;

  constructor(components: KeepAliveComponents, times: KeepAliveTimes) {
    const { ws, socket, clock } = components;
    this.#components = components;
    this.#times = times;
    this.#pace = new ThroughputEstimator(socket.bytesWritten, clock.now());
    this.#vigil = { name: 'calm', read: socket.bytesRead, missed: 0 };
    this.#arm(times.everyMs);
    ws.on('pong', this.#onPong);
  }

  /** Something was sent that isn't a ping. */
  sent(): void {
    const { socket, clock } = this.#components;
    const vigil = this.#vigil;
    const read = socket.bytesRead;
    if (vigil.name === 'gone' || (vigil.name !== 'calm' && vigil.read === read)) return;
    this.#follow(nextVigil(vigil, { kind: 'sent', now: clock.now(), read, taken: takenFrom(socket) }, this.#times));
  }

  /** Idempotent. */
  stop(): void {
    this.#vigil = { name: 'gone' };
    this.#timer?.cancel();
    this.#components.ws.off('pong', this.#onPong);
  }

  #arm(milliseconds: number): void {
    const { clock } = this.#components;
    this.#timer?.cancel();
    this.#due = clock.now() + milliseconds;
    this.#timer = clock.setTimeout(() => { this.#look(); }, milliseconds);
  }

  #look(): void {
    const { ws, socket, clock } = this.#components;
    const now = clock.now();
    const taken = takenFrom(socket);
    this.#follow(nextVigil(this.#vigil, {
      kind: 'look', now, taken,
      lateMs: now - this.#due,
      read: socket.bytesRead,
      reading: !ws.isPaused,
      pending: taken < socket.bytesWritten,
      underWayMs: this.#pace.underWay(socket.bytesWritten),
    }, this.#times));
  }

  #follow({ vigil, ping = false, lookMs }: VigilStep): void {
    this.#vigil = vigil;
    if (vigil.name === 'gone') {
      this.stop();
      this.#components.onSilence();
      return;
    }
    if (ping) this.#ping();
    if (lookMs !== undefined) this.#arm(lookMs);
  }

  /** One at a time: so its pong tells what has arrived. */
  #ping(): void {
    const { ws, socket } = this.#components;
    if (ws.readyState !== ws.OPEN || this.#asked !== undefined) return;
    this.#asked = socket.bytesWritten;
    ws.ping();
  }

  /** What went before the ping has arrived. */
  #ponged(): void {
    if (this.#asked === undefined) return;
    this.#pace.arrived(this.#asked, this.#components.clock.now());
    this.#asked = undefined;
  }
}
