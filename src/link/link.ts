import type { Clock, Backpressure, ProtoflyError } from '../protocol/index.js';

/**
 * The Link port: an ordered, reliable, two-way stream of items (messages, unless said otherwise) to exactly one
 * other party. It says nothing of addresses.
 */

/** Why a link ended. `gone`: the other side vanished or broke the framing; `closed`: either side closed it in order. */
export interface LinkEnd {
  readonly how: 'closed' | 'gone';
  readonly reason: string;
}

export interface Link<T> {
  /** For logs: what this link is and where it leads. */
  readonly name: string;
  /** Resolves once, when the link is of no more use. Never rejects. */
  readonly closed: Promise<LinkEnd>;
  /**
   * Sends one item, after all items sent before. Delivery isn't confirmed: what was sent shortly before the other
   * side vanished may be lost.
   * @returns backpressure; a sender that doesn't wait is still bounded: beyond `maxBuffered` the link ends as `gone`
   * @throws ProtoflyError `E_LINK_CLOSED` after the end, `E_TOO_LARGE` for an item above the limit (the link stays)
   */
  send(item: T): Backpressure;
  /**
   * Sets the one receiver; nothing is read before, so that the other side's end isn't noticed before either. While the receiver's promise is pending nothing more is
   * given to it, and before long nothing more is read, so that the other side feels the backpressure.
   * What a receiver throws costs that item only and goes to `onReject`.
   */
  receive(receiver: (item: T) => Backpressure): void;
  /** Sends what was accepted, as far as the other side takes it within `lingerMs`, then ends. Idempotent. */
  close(reason?: string): Promise<void>;
  readonly stats: Readonly<LinkStats>;
}

export interface LinkStats {
  sent: number;
  received: number;
  /** Incoming frames that were dropped: malformed, too large, or refused by the receiver. */
  rejected: number;
}

export interface LinkInit {
  /** @default 'link' */
  readonly name?: string;
  /** Largest frame in either direction, in bytes. @default MAX_MESSAGE_BYTES */
  readonly maxFrame?: number;
  /** Where `send` starts to return a promise, in bytes. @default 256 KiB */
  readonly highWater?: number;
  /** Where a link whose sender doesn't listen ends, in bytes; above `maxFrame`. @default 64 MiB */
  readonly maxBuffered?: number;
  /** @default 2000 */
  readonly lingerMs?: number;
  /** @default systemClock */
  readonly clock?: Clock;
  /** Is told of each dropped incoming frame; `text` is the frame where it is at hand, so that it can be answered. */
  readonly onReject?: (error: ProtoflyError, text?: string) => void;
}

export const LINK_DEFAULTS = { highWater: 256 * 1024, maxBuffered: 64 * 1024 * 1024, lingerMs: 2000 } as const;

/** How items become frames of text. */
export interface Codec<T> {
  encode(item: T): string;
  /** @throws ProtoflyError */
  decode(text: string): T;
}
