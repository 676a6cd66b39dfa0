import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { ProtoflyError, systemClock, type ErrorCode, type Message } from '../../protocol/index.js';
import { messageCodec } from '../codec.js';
import type { Link, LinkInit } from '../link.js';
import { streamLink } from '../stream/index.js';
import { socketAddress } from './path.js';

export interface ConnectInit extends LinkInit {
  /** Aborts connecting. @default none */
  readonly signal?: AbortSignal;
}

const CODES: Readonly<Record<string, ErrorCode>> = { ECONNREFUSED: 'E_NOT_RUNNING', ENOENT: 'E_NOT_RUNNING', ENOTSOCK: 'E_NOT_RUNNING', EACCES: 'E_REFUSED', EPERM: 'E_REFUSED' };

const connectError = (path: string, cause: NodeJS.ErrnoException): ProtoflyError => {
  const code = CODES[cause.code ?? ''] ?? 'E_UNREACHABLE';
  if (code === 'E_NOT_RUNNING') return new ProtoflyError(code, `nobody listens at ${path}`, { cause });
  return new ProtoflyError(code, `can't connect to ${path}: ${cause.message}`, { cause });
};

/**
 * While the socket's backlog is full, connecting is retried: for this long and at this interval, in
 * milliseconds.
 */
const CROWDED_MS = 5000;
const AGAIN_MS = 10;

/** Opens a socket. @throws ProtoflyError as `connectSocket` */
export const openSocket = async (path: string, signal?: AbortSignal): Promise<Socket> => {
  for (const end = systemClock.now() + CROWDED_MS; ; ) {
    try {
      return await openOnce(path, signal);
    } catch (thrown) {
      const { code } = (thrown as { readonly cause?: NodeJS.ErrnoException }).cause ?? {};
      if (code !== 'EAGAIN' || systemClock.now() >= end) throw thrown;
    }
    // Not the clock's timer: during this pause nothing else may keep the process alive.
    await pause(AGAIN_MS);
  }
};

const openOnce = (path: string, signal?: AbortSignal): Promise<Socket> => {
  const address = socketAddress(path);
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      socket.destroy();
      reject(new ProtoflyError('E_ABORTED', `connecting to ${path} was given up`, { cause: signal?.reason }));
    };
    const socket = connect({ path: address, allowHalfOpen: true });
    const fail = (cause: Error): void => {
      signal?.removeEventListener('abort', abort);
      reject(connectError(path, cause));
    };
    socket.once('error', fail);
    socket.once('connect', () => {
      signal?.removeEventListener('abort', abort);
      socket.off('error', fail);
      resolve(socket.pause());
    });
    signal?.addEventListener('abort', abort, { once: true });
    if (signal?.aborted === true) abort();
  });
};

/**
 * Connects to a local socket.
 * @throws ProtoflyError `E_NOT_RUNNING` if nobody listens there, `E_REFUSED`, `E_UNREACHABLE`, `E_ABORTED`,
 *   `E_USAGE` for a path that is too long
 */
export const connectSocket = async (path: string, init: ConnectInit = {}): Promise<Link<Message>> => {
  const socket = await openSocket(path, init.signal);
  return streamLink({ readable: socket, writable: socket }, messageCodec, { name: `socket ${path}`, ...init });
};
