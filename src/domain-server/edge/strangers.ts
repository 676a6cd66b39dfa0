import type { Socket } from 'node:net';

/** Bytes that a client may send before it has a session, framing and one read ahead included. */
const MOST = 128 * 1024;

/**
 * Watches a connection until its client has a session.
 * @param socket paused, so that nothing is missed
 * @param onExceeded called once if the client sends too much before
 */
export const limitStranger = (socket: Socket, isMember: () => boolean, onExceeded: () => void): void => {
  const start = socket.bytesRead;
  const onData = (): void => {
    const exceeds = socket.bytesRead - start > MOST;
    if (!exceeds && !isMember()) return;
    socket.off('data', onData);
    if (!isMember()) onExceeded();
  };
  socket.on('data', onData);
};
