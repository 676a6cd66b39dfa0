import { DrainSignal } from '../../kit/drain-signal.js';
import type { Clock, Message, Backpressure } from '../../protocol/index.js';
import type { HealthReport } from './health.js';

export type Log = (level: 'debug' | 'info' | 'warn', text: string) => void;

/** The surroundings of a framing. */
export interface FramingComponents {
  readonly clock: Clock;
  readonly log: Log;
  /**
   * Sends one frame; its bytes may be reused when it returns. False: send no more until `drained`. May throw if
   * the channel is gone.
   */
  readonly sendFrame: (frame: string | Uint8Array) => boolean;
  /** Maximum size of a frame that the other side takes, in bytes. */
  readonly maxFrame: number;
  /** Hands a received message to the runtime. */
  readonly deliver: (message: Message) => Backpressure;
  /** Called once, when the other side has said goodbye. No new messages can be sent; accepted ones still are. */
  readonly onLeaving: (reason: string) => void;
  /** Called when the other side's health or the round trip changes. */
  readonly onHealth: (report: HealthReport) => void;
  /** Called once, when the framing has ended: the other side broke its rules, fell silent, or has gone. */
  readonly onEnd: (reason: string) => void;
}

export interface FramingStats {
  sent: number;
  received: number;
  /** Malformed incoming messages that were dropped. */
  rejected: number;
}

export interface Stopped {
  readonly unsent: readonly Message[];
  readonly delivered: Promise<void>;
}

/** Carries messages over the frames of one data channel. */
export interface Framing {
  /**
   * Sends one message. Messages with the same sender and receiver stay in order.
   * @throws ProtoflyError `E_TOO_LARGE`, `E_LINK_CLOSED`, `E_TOO_MANY` if the sender ignores backpressure
   */
  send(message: Message): Backpressure;
  /** Handles a received frame. Never throws. */
  receive(frame: string | Uint8Array): void;
  /** The channel takes frames again. */
  drained(): void;
  /** Pings the other side at once; does nothing in a framing without pings. */
  probe(patienceMs: number): void;
  /**
   * Sends accepted messages and confirms their arrival, as far as possible within `lingerMs`. Idempotent.
   * @returns true if the other side has everything
   */
  finish(lingerMs: number): Promise<boolean>;
  /** Stops. @returns accepted messages that weren't sent, and a promise that resolves when all received ones are delivered */
  stop(): Stopped;
  readonly stats: Readonly<FramingStats>;
}

/** Accepted bytes above which backpressure begins, and at which it ends. */
const HIGH_WATER = 256 * 1024;
const LOW_WATER = 64 * 1024;
/** Maximum of queued bytes, for a sender that ignores backpressure. */
export const MAX_QUEUED = 64 * 1024 * 1024;

/** Backpressure of a channel's send queue, by the bytes that are queued. */
export class QueueBackpressure {
  readonly #drained = new DrainSignal();

  /** Returns a promise while `queued` is too much. */
  check(queued: number): Backpressure {
    return queued < HIGH_WATER ? undefined : this.#drained.wait();
  }

  /** Ends the backpressure when `queued` is low again. */
  release(queued: number): void {
    if (queued <= LOW_WATER) this.#drained.release();
  }
}
