import type { ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { MAX_MESSAGE_BYTES, ProtoflyError } from '../../protocol/index.js';
import type { Codec, Link, LinkInit } from '../link.js';
import { streamLink } from '../stream/index.js';

/** The link's file descriptor in the child. stdout and stderr stay free for accidental output. */
const LINK_FD = 3;
/** The `stdio` option for `spawn` that creates the link's pipe. */
export const LINK_STDIO = ['ignore', 'pipe', 'pipe', 'pipe'] as const;

/** The largest message plus the mux's prefix. */
const MAX_FRAME = MAX_MESSAGE_BYTES + 64;

const explain = (child: ChildProcess): string | undefined => {
  if (child.signalCode !== null) return `the process was ended by ${child.signalCode}`;
  return child.exitCode === null ? undefined : `the process exited with code ${String(child.exitCode)}`;
};

/**
 * Creates the parent's side of the pipe to a child started with `stdio: LINK_STDIO`. Ending the link doesn't
 * end the child, but the child's end ends the link.
 * @throws ProtoflyError `E_USAGE` if the child has no such pipe
 */
export const processLink = <T>(child: ChildProcess, codec: Codec<T>, init: LinkInit = {}): Link<T> => {
  const stream = child.stdio[LINK_FD];
  if (!(stream instanceof Duplex)) throw new ProtoflyError('E_USAGE', `the process was started without a pipe at descriptor ${String(LINK_FD)}`);
  stream.allowHalfOpen = true;
  return streamLink({ readable: stream, writable: stream, explain: () => explain(child) }, codec, { maxFrame: MAX_FRAME, name: `process ${String(child.pid)}`, ...init });
};

/**
 * Creates the child's side of the pipe. It keeps the process alive until the link has ended. Call it once.
 * @throws ProtoflyError `E_USAGE` in a process that wasn't started with such a pipe
 */
export const parentLink = <T>(codec: Codec<T>, init: LinkInit = {}): Link<T> => {
  try {
    const socket = new Socket({ fd: LINK_FD, readable: true, writable: true, allowHalfOpen: true });
    return streamLink({ readable: socket, writable: socket }, codec, { maxFrame: MAX_FRAME, name: 'parent process', ...init });
  } catch (cause) {
    throw new ProtoflyError('E_USAGE', `this process has no pipe to a parent at descriptor ${String(LINK_FD)}`, { cause });
  }
};
