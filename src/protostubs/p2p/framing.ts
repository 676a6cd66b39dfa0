import { DrainSignal } from '../../kit/drain-signal.js';
import type { Clock, Message, Backpressure } from '../../protocol/index.js';
import type { HealthReport } from './health.js';

export type Log = (level: 'debug' | 'info' | 'warn', text: string) => void;

/** What a framing works with. */
export interface FramingComponents {
  readonly clock: Clock;
  readonly log: Log;
  /** Sends one frame; the bytes may be used again when it returns. False: no more until `drained`. It may throw when the channel is gone. */
  readonly sendFrame: (frame: string | Uint8Array) => boolean;
  /** The largest frame that the other side takes, in bytes. */
  readonly maxFrame: number;
  /** Hands a message that came in to the runtime. */
  readonly deliver: (message: Message) => Backpressure;
  /** Once: the other side has said goodbye. Nothing more can be sent; what was accepted still is. */
  readonly onLeaving: (reason: string) => void;
  /** How the other side is, by its signs of life: when that changes, and when the round trip does. */
  readonly onHealth: (report: HealthReport) => void;
  /** Once: the framing is of no more use, because the other side broke its rules, fell silent, or has gone. */
  readonly onEnd: (reason: string) => void;
}

export interface FramingStats {
  sent: number;
  received: number;
  /** Incoming messages that were dropped because they are malformed. */
  rejected: number;
}

export interface Stopped {
  readonly unsent: readonly Message[];
  readonly delivered: Promise<void>;
}

/** Messages over the frames of one data channel. */
export interface Framing {
  /**
   * Sends one message. Messages with the same sender and receiver stay in order.
   * @throws ProtoflyError `E_TOO_LARGE`, `E_LINK_CLOSED`, `E_TOO_MANY` when the sender doesn't heed the backpressure
   */
  send(message: Message): Backpressure;
  /** A frame came. Never throws. */
  receive(frame: string | Uint8Array): void;
  /** The channel takes frames again. */
  drained(): void;
  /** Asks the other side at once for a sign of life; a framing without pings has none. */
  probe(patienceMs: number): void;
  /**
   * Sends what was accepted and makes sure that it has arrived, as far as that works within `lingerMs`.
   * Resolves with whether the other side has everything. Idempotent.
   */
  finish(lingerMs: number): Promise<boolean>;
  /** Stops. @returns the messages that were accepted and not sent, and a promise for when all that has come is delivered */
  stop(): Stopped;
  readonly stats: Readonly<FramingStats>;
}

/** How many bytes of accepted messages may wait before `send` tells of backpressure, and below which that is over. */
export const HIGH_WATER = 256 * 1024;
export const LOW_WATER = 64 * 1024;
/** What a sender that doesn't heed the backpressure may pile up at most, in bytes. */
export const MAX_QUEUED = 64 * 1024 * 1024;

/** Backpressure of a channel's send queue, by the bytes that are queued. */
export class QueueBackpressure {
  readonly #drained = new DrainSignal();

  /** Returns a promise while `queued` is too much. */
  check(queued: number): Backpressure {
    return queued < HIGH_WATER ? undefined : this.#drained.wait();
  }

  /** Ends the backpressure if `queued` is little again. */
  release(queued: number): void {
    if (queued <= LOW_WATER) this.#drained.release();
  }
}
