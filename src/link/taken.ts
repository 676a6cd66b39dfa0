import type { Duplex } from 'node:stream';

/** Changes when the system takes bytes from the socket; what is only added to its buffer doesn't count. Inside one large write it moves where the handle tells how much is left of it. */
export const takenFrom = (socket: Duplex & { readonly bytesWritten?: number; readonly _handle?: { readonly writeQueueSize?: unknown } | null }): number => {
  const queued = socket._handle?.writeQueueSize;
  return (socket.bytesWritten ?? 0) - socket.writableLength - (typeof queued === 'number' ? queued : 0);
};
