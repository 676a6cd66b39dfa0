import type { Duplex } from 'node:stream';

/** The slowest path that is reckoned with, in bytes a millisecond: 64 KiB a second. */
const SLOWEST = (64 * 1024) / 1000;
/** The buffers on the way hold some 5 MiB at most. */
const MOST_MS = 80_000;

/**
 * How long what is under way to the other side may still take: what isn't known to have arrived, at the speed at which
 * what came before it did.
 */
export class ThroughputEstimator {
  #arrived: number;
  #at: number;
  #speed = SLOWEST;

  /** @param sent the bytes that don't count, because they were sent before */
  constructor(sent: number, now: number) {
    this.#arrived = sent;
    this.#at = now;
  }

  /** Of all that was sent, the first so many bytes have arrived. */
  arrived(bytes: number, now: number): void {
    if (now > this.#at) this.#speed = Math.max((bytes - this.#arrived) / (now - this.#at), SLOWEST);
    this.#arrived = bytes;
    this.#at = now;
  }

  /** @param sent all the bytes that were sent. @returns milliseconds */
  underWay(sent: number): number {
    return Math.min((sent - this.#arrived) / this.#speed, MOST_MS);
  }
}

/** Changes when the system takes bytes from the socket; what is only added to its buffer doesn't count. Inside one large write it moves where the handle tells how much is left of it. */
export const takenFrom = (socket: Duplex & { readonly bytesWritten?: number; readonly _handle?: { readonly writeQueueSize?: unknown } | null }): number => {
  const queued = socket._handle?.writeQueueSize;
  return (socket.bytesWritten ?? 0) - socket.writableLength - (typeof queued === 'number' ? queued : 0);
};
