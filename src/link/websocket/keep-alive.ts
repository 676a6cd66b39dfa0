import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { Clock, Timer } from '../../protocol/index.js';
import { ThroughputEstimator } from '../throughput.js';
import { takenFrom } from '../throughput.js';

/** Durations in milliseconds. */
export interface KeepAliveTimes {
  /** Interval between pings while nothing is sent. */
  readonly everyMs: number;
  /** Time without incoming bytes after a send, before a ping. */
  readonly waitMs: number;
  /** Time for the answer to that ping, in addition to the time for bytes already in flight. */
  readonly answerMs: number;
}

export type KeepAliveState =
  /** Idle: the last bytes were incoming. `missed` counts the pings since then. */
  | { readonly name: 'calm'; readonly read: number; readonly missed: number }
  /** Silent since `since`: the last send (`waiting`), or the ping that followed it (`asked`). */
  | { readonly name: 'waiting' | 'asked'; readonly since: number; readonly read: number; readonly taken: number }
  | { readonly name: 'gone' };

interface Seen {
  readonly now: number;
  /** Total of bytes received. */
  readonly read: number;
  /** Total of bytes that the system has taken from the socket. */
  readonly taken: number;
}

export type VigilEvent =
  | { readonly kind: 'sent' } & Seen
  | {
    readonly kind: 'look';
    /** Delay of the timer, in milliseconds. */
    readonly lateMs: number;
    /** True if this side reads incoming data. */
    readonly reading: boolean;
    /** True if the system hasn't taken all bytes yet. */
    readonly pending: boolean;
    /** Estimated time for the bytes in flight, in milliseconds. */
    readonly inFlightMs: number;
  } & Seen;

export interface VigilStep {
  readonly vigil: KeepAliveState;
  readonly ping?: boolean;
  /** Delay until the next check, in milliseconds; absent: unchanged. */
  readonly lookMs?: number;
}

const MAX_MISSED = 2;
/** A timer delayed by more than this means that this process itself was suspended, in milliseconds. */
const LATE_MS = 50;
/** Number of checks while an answer is awaited. */
const TICKS = 4;
/** Above this estimate of bytes in flight, a ping is sent to learn how many have arrived, in milliseconds. */
const MUCH_MS = 1000;

/**
 * Computes the next state from what was observed. Silence counts only while nothing has come since the last
 * send, this side reads, and the system takes no pending bytes. The system takes more only if the other side's
 * system has taken some.
 */
export const nextKeepAlive = (vigil: KeepAliveState, event: VigilEvent, { everyMs, waitMs, answerMs }: KeepAliveTimes): VigilStep => {
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
  const ping = event.inFlightMs > MUCH_MS;
  if (heard) return { vigil: { name: 'calm', read, missed: 0 }, ping, lookMs: everyMs };
  const moves = !event.reading || (event.pending && taken !== vigil.taken);
  const since = moves ? now : Math.min(now, vigil.since + (Math.abs(event.lateMs) > LATE_MS ? event.lateMs : 0));
  const silentMs = now - since;
  if (vigil.name === 'asked') {
    const leftMs = answerMs + event.inFlightMs - silentMs;
    return leftMs > 0 ? { vigil: { ...vigil, since, taken }, lookMs: Math.min(Math.ceil(leftMs), answerMs / TICKS) } : { vigil: { name: 'gone' } };
  }
  if (silentMs < waitMs) return { vigil: { ...vigil, since, taken }, ping, lookMs: waitMs - silentMs };
  return { vigil: { name: 'asked', since: now, read, taken }, ping: true, lookMs: answerMs / TICKS };
};

export interface KeepAliveComponents {
  readonly ws: WebSocket;
  /** The TCP socket below `ws`. */
  readonly socket: Socket;
  readonly clock: Clock;
  /** Called once, and last, when the other side is gone. */
  readonly onSilence: () => void;
}

/**
 * Detects that the other side of a WebSocket has gone. Pings it at intervals, and within seconds if nothing
 * arrives after a send. Any incoming bytes count as an answer, even parts of frames.
 */
export class KeepAlive {
  readonly #components: KeepAliveComponents;
  readonly #times: KeepAliveTimes;
  readonly #pace: ThroughputEstimator;
  readonly #onPong = (): void => { this.#ponged(); };
  #vigil: KeepAliveState;
  #timer: Timer | undefined;
  #due = 0;
  /** Bytes sent before the ping that isn't answered yet. */
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

  /** Call after sending anything but a ping. */
  sent(): void {
    const { socket, clock } = this.#components;
    const vigil = this.#vigil;
    const read = socket.bytesRead;
    if (vigil.name === 'gone' || (vigil.name !== 'calm' && vigil.read === read)) return;
    this.#follow(nextKeepAlive(vigil, { kind: 'sent', now: clock.now(), read, taken: takenFrom(socket) }, this.#times));
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
    this.#follow(nextKeepAlive(this.#vigil, {
      kind: 'look', now, taken,
      lateMs: now - this.#due,
      read: socket.bytesRead,
      reading: !ws.isPaused,
      pending: taken < socket.bytesWritten,
      inFlightMs: this.#pace.inFlightMs(socket.bytesWritten),
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

  /** Sends a ping unless one is unanswered. One at a time, so that its pong tells which bytes have arrived. */
  #ping(): void {
    const { ws, socket } = this.#components;
    if (ws.readyState !== ws.OPEN || this.#asked !== undefined) return;
    this.#asked = socket.bytesWritten;
    ws.ping();
  }

  /** Records that all bytes sent before the ping have arrived. */
  #ponged(): void {
    if (this.#asked === undefined) return;
    this.#pace.arrived(this.#asked, this.#components.clock.now());
    this.#asked = undefined;
  }
}
