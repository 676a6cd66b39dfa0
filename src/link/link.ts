import type { Clock, Backpressure, ProtoflyError } from '../protocol/index.js';

/**
 * The Link port: an ordered, reliable, two-way stream of items to exactly one other party. Items are messages
 * unless stated otherwise. A link knows no addresses.
 */

/**
 * Why a link ended. `gone`: the other side vanished or broke the framing. `closed`: either side closed it in
 * order.
 */
export interface LinkEnd {
  readonly how: 'closed' | 'gone';
  readonly reason: string;
}

export interface Link<T> {
  /** Name for logs: what this link is and where it leads. */
  readonly name: string;
  /** Resolves once, when the link has ended. Never rejects. */
  readonly closed: Promise<LinkEnd>;
  /**
   * Sends one item after all items sent before. Delivery isn't confirmed: items sent shortly before the other
   * side vanished may be lost.
   * @returns backpressure. A sender that ignores it is still bounded: beyond `maxBuffered` the link ends as
   *   `gone`.
   * @throws ProtoflyError `E_LINK_CLOSED` after the end, `E_TOO_LARGE` for an item above the limit (the link
   *   stays)
   */
  send(item: T): Backpressure;
  /**
   * Sets the only receiver. Before that nothing is read, so the other side's end goes unnoticed too. While the
   * receiver's promise is pending, it gets no more items, and soon nothing more is read: the other side then
   * feels the backpressure. If the receiver throws, that item is dropped and the error goes to `onReject`.
   */
  receive(receiver: (item: T) => Backpressure): void;
  /** Sends accepted items, as far as the other side takes them within `lingerMs`, then ends. Idempotent. */
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
  /**
   * Queued bytes above which the link ends, if its sender ignores backpressure; must exceed `maxFrame`.
   * @default 64 MiB
   */
  readonly maxBuffered?: number;
  /** Maximum time for the last writes of `close`, in milliseconds. @default 2000 */
  readonly lingerMs?: number;
  /** @default systemClock */
  readonly clock?: Clock;
  /**
   * Called with the length of each incoming frame, in UTF-16 code units, before it is decoded.
   * @returns backpressure: no more frames are read until it settles
   * @throws ProtoflyError that drops the frame
   */
  readonly admit?: (length: number) => Backpressure;
  /** Called for each dropped incoming frame. `text` is the frame, if available, so that it can be answered. */
  readonly onReject?: (error: ProtoflyError, text?: string) => void;
}

export const LINK_DEFAULTS = { highWater: 256 * 1024, maxBuffered: 64 * 1024 * 1024, lingerMs: 2000 } as const;

/** Converts items to and from text frames. */
export interface Codec<T> {
  encode(item: T): string;
  /** @throws ProtoflyError */
  decode(text: string): T;
}
