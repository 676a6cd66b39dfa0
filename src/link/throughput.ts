import type { Duplex } from 'node:stream';

/** The slowest network assumed, in bytes per millisecond: 64 KiB per second. */
const SLOWEST = (64 * 1024) / 1000;
/** Upper bound of the estimate, in milliseconds. The buffers along the network path hold some 5 MiB at most. */
const MOST_MS = 80_000;

/** Estimates how long the bytes in flight may still take to arrive, from the speed of the bytes before them. */
export class ThroughputEstimator {
  #arrived: number;
  #at: number;
  #speed = SLOWEST;

  /** @param sent bytes sent so far; they don't count */
  constructor(sent: number, now: number) {
    this.#arrived = sent;
    this.#at = now;
  }

  /** Records that the first `bytes` bytes of all that was sent have arrived. */
  arrived(bytes: number, now: number): void {
    if (now > this.#at) this.#speed = Math.max((bytes - this.#arrived) / (now - this.#at), SLOWEST);
    this.#arrived = bytes;
    this.#at = now;
  }

  /** Returns how long the bytes in flight may take, in milliseconds. @param sent total of bytes sent */
  inFlightMs(sent: number): number {
    return Math.min((sent - this.#arrived) / this.#speed, MOST_MS);
  }
}

/**
 * Counts the bytes that the system has taken from the socket, without those in the socket's own buffer. It
 * moves within one large write if the handle reports how much of that write is left.
 */
export const takenFrom = (socket: Duplex & { readonly bytesWritten?: number; readonly _handle?: { readonly writeQueueSize?: unknown } | null }): number => {
  const queued = socket._handle?.writeQueueSize;
  return (socket.bytesWritten ?? 0) - socket.writableLength - (typeof queued === 'number' ? queued : 0);
};
