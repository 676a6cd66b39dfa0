import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';

/** How often a socket is asked whether its reader is there, in milliseconds. */
const PROBE_MS = 100;

/** The part of a TCP socket that Node keeps to itself. */
interface TcpHandle {
  open(fd: number): number;
}

/** @returns a socket that owns and reads a descriptor of any kind. @throws where Node's inside isn't what it was from 20 to 26 */
const readAsTcp = (fd: number): Socket => {
  // It has a handle from here on, and would connect in the next turn only.
  const first = new Socket().connect({ host: '127.0.0.1', port: 1 });
  const { _handle } = first as unknown as { readonly _handle: { readonly constructor: new (kind: number) => TcpHandle } };
  first.destroy();
  const handle = new _handle.constructor(0);
  if (handle.open(fd) !== 0) throw new Error('not opened');
  return new Socket({ handle, readable: true, writable: false } as object);
};

/**
 * Waits for an error on a pipe's write end, which is how the kernel tells that the last reader has gone. Node watches
 * descriptors only to read them, and refuses that for one that is open for writing; as a TCP socket it doesn't look.
 * The read then fails with EBADF.
 */
const watchPipe = (fd: number, onLeft: () => void): (() => void) => {
  let own: number;
  try {
    // Another descriptor of the same pipe: `fd` itself is watched for room.
    own = openSync(`/proc/self/fd/${String(fd)}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENXIO') setImmediate(onLeft);
    return () => undefined;
  }
  try {
    const socket = readAsTcp(own).unref();
    socket.on('error', (error: NodeJS.ErrnoException) => { if (error.code === 'EBADF') onLeft(); });
    return () => { socket.destroy(); };
  } catch {
    closeSync(own);
    return () => undefined;
  }
};

/** A write of nothing fails when there is nobody to read; otherwise it does nothing. Reading would take what others are to get. */
const watchSocket = (fd: number, onLeft: () => void): (() => void) => {
  const nothing = Buffer.alloc(0);
  const timer = setInterval(() => {
    try {
      writeSync(fd, nothing);
    } catch (thrown) {
      const { code } = thrown as NodeJS.ErrnoException;
      if (code === 'EAGAIN') return;
      clearInterval(timer);
      if (code === 'EPIPE' || code === 'ECONNRESET') onLeft();
    }
  }, PROBE_MS).unref();
  return () => { clearInterval(timer); };
};

/**
 * Calls back once when the reader of a pipe, FIFO or stream socket has gone, without writing to it. On Linux only, and
 * not for a pipe that belongs to another user: elsewhere the next write tells.
 * @returns ends it; idempotent
 */
export const watchReader = (stream: Writable & { readonly isTTY?: boolean; readonly fd?: number }, onLeft: () => void): (() => void) => {
  const { fd, isTTY } = stream;
  if (process.platform !== 'linux' || fd === undefined || isTTY === true || !(stream instanceof Socket)) return () => undefined;
  const stats = fstatSync(fd);
  if (stats.isFIFO()) return watchPipe(fd, onLeft);
  return stats.isSocket() ? watchSocket(fd, onLeft) : () => undefined;
};
