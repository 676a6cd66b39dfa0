import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';

/** Interval at which a socket's reader is checked, in milliseconds. */
const PROBE_MS = 100;

/** A private part of Node's TCP sockets. */
interface TcpHandle {
  open(fd: number): number;
}

/**
 * @returns a socket that owns and reads a descriptor of any kind. @throws if Node's internals differ from those
 *   of versions 20 to 26
 */
const readAsTcp = (fd: number): Socket => {
  // `connect` creates the handle at once; it would connect only in the next turn.
  const first = new Socket().connect({ host: '127.0.0.1', port: 1 });
  const { _handle } = first as unknown as { readonly _handle: { readonly constructor: new (kind: number) => TcpHandle } };
  first.destroy();
  const handle = new _handle.constructor(0);
  if (handle.open(fd) !== 0) throw new Error('not opened');
  return new Socket({ handle, readable: true, writable: false } as object);
};

/**
 * Waits for an error on a pipe's write end: the kernel's sign that the last reader has gone. Node only watches
 * descriptors that it reads, and refuses to read one opened for writing. It doesn't check TCP sockets, so the
 * descriptor is opened as one. The read then fails with EBADF.
 */
const watchPipe = (fd: number, onLeft: () => void): (() => void) => {
  let own: number;
  try {
    // Opens another descriptor of the same pipe: libuv watches `fd` itself for room.
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

/**
 * Writes nothing at regular intervals: that fails if the reader has gone, and has no effect otherwise. Reading
 * would steal bytes from other readers.
 */
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
 * Calls back once when the reader of a pipe, FIFO or stream socket has gone, without writing to it. Works only
 * on Linux, and not for another user's pipe; elsewhere the next write fails.
 * @returns a function that stops watching; idempotent
 */
export const watchReader = (stream: Writable & { readonly isTTY?: boolean; readonly fd?: number }, onLeft: () => void): (() => void) => {
  const { fd, isTTY } = stream;
  if (process.platform !== 'linux' || fd === undefined || isTTY === true || !(stream instanceof Socket)) return () => undefined;
  const stats = fstatSync(fd);
  if (stats.isFIFO()) return watchPipe(fd, onLeft);
  return stats.isSocket() ? watchSocket(fd, onLeft) : () => undefined;
};
