import { lstat, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { answerable, asProtoflyError, fieldsOf, NAMELESS, namesResponse, ProtoflyError, refuse, systemClock, type Clock, type Message } from '../../protocol/index.js';
import { messageCodec } from '../codec.js';
import type { Link, LinkInit } from '../link.js';
import { streamLink } from '../stream/index.js';
import { openSocket } from './connect.js';
import { socketAddress } from './path.js';

export interface ListenInit extends LinkInit {
  /** Called when the socket is bound, before a connection is accepted. If it throws, the socket is closed again. */
  readonly onListening?: () => void;
  /** Decides about each new socket, which is paused. The socket becomes a link when `enter` is called. */
  readonly check?: (socket: Socket, enter: () => void) => void;
  /** Called with errors thrown by `onLink` and with connections that couldn't be accepted. */
  readonly onError?: (error: ProtoflyError) => void;
}

export interface SocketServer {
  readonly path: string;
  /** The links that are open now. */
  readonly links: ReadonlySet<Link<Message>>;
  /** Accepts no more connections, closes every link, and removes the socket. Idempotent. */
  close(reason?: string): Promise<void>;
}

/** Answers a malformed frame where possible, so that the program's author sees the mistake. */
const answerRejected = (link: Link<Message>, error: ProtoflyError, text: string | undefined): void => {
  const fields = text === undefined ? {} : fieldsOf(text);
  if (namesResponse(fields)) return;
  try {
    void link.send(refuse(answerable(fields) ?? NAMELESS, error));
  } catch (thrown) {
    // The link has ended: nobody to answer.
    if (asProtoflyError(thrown).code !== 'E_LINK_CLOSED') throw thrown;
  }
};

const taken = (path: string): ProtoflyError => new ProtoflyError('E_CONFLICT', `another process already listens at ${path}`);
const codeOf = (thrown: unknown): string => String((thrown as NodeJS.ErrnoException | undefined)?.code);

const isAnswered = async (path: string): Promise<boolean> => {
  try {
    (await openSocket(path)).destroy();
    return true;
  } catch (thrown) {
    if (thrown instanceof ProtoflyError && thrown.code === 'E_NOT_RUNNING') return false;
    throw thrown;
  }
};

/** Age in milliseconds after which a lock counts as abandoned. The work under it takes milliseconds. */
const LOCK_MS = 10_000;

/**
 * Replaces a socket on which nobody listens any more. Only the holder of the lock removes a socket. Otherwise
 * one of two processes that repair at once could remove the socket that the other has just made.
 * @throws ProtoflyError `E_CONFLICT`
 */
const repair = async (path: string, clock: Clock, rebind: () => Promise<void>): Promise<void> => {
  const lock = `${path}.lock`;
  try {
    await writeFile(lock, '', { flag: 'wx', mode: 0o600 });
  } catch (thrown) {
    if (codeOf(thrown) !== 'EEXIST') throw thrown;
    const left = await lstat(lock).catch(() => undefined);
    if (left === undefined || clock.date() - left.mtimeMs < LOCK_MS) throw taken(path);
    await rm(lock, { force: true });
    return repair(path, clock, rebind);
  }
  try {
    const found = await lstat(path).catch(() => undefined);
    if (found?.isSocket() === false) throw new ProtoflyError('E_CONFLICT', `can't listen at ${path}: another file is there, and it isn't a socket`);
    if (await isAnswered(path)) throw taken(path);
    await rm(path, { force: true });
    await rebind();
  } finally {
    await rm(lock, { force: true });
  }
};

/** Binds with mode 0600 from the first moment: the socket is created within this call, under the changed umask. */
const bind = (server: Server, address: string, onListening: () => void): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject);
    server.once('listening', () => {
      server.off('error', reject);
      try {
        onListening();
        resolve();
      } catch (thrown) {
        server.close();
        reject(asProtoflyError(thrown));
      }
    });
    if (process.platform === 'win32') {
      server.listen(address);
      return;
    }
    const mask = process.umask(0o177);
    try {
      server.listen(address);
    } finally {
      process.umask(mask);
    }
  });

const bindOrRepair = async (server: Server, path: string, { clock = systemClock, onListening = () => undefined }: ListenInit): Promise<void> => {
  const address = socketAddress(path);
  const refused = (cause: unknown): ProtoflyError => {
    if (cause instanceof ProtoflyError) return cause;
    return codeOf(cause) === 'EADDRINUSE' ? taken(path) : new ProtoflyError('E_PLATFORM', `can't listen at ${path}: ${asProtoflyError(cause).message}`, { cause });
  };
  try {
    await bind(server, address, onListening);
  } catch (cause) {
    if (codeOf(cause) !== 'EADDRINUSE' || process.platform === 'win32') throw refused(cause);
    await repair(path, clock, () => bind(server, address, onListening)).catch((thrown: unknown) => { throw refused(thrown); });
  }
};

/**
 * Listens on a local socket that only this user can reach. Replaces a socket left behind by a process that is
 * gone. Answers malformed frames with an error.
 * @param onLink gets each new link; nothing is read from it until it calls `receive`
 * @throws ProtoflyError `E_CONFLICT` if another process listens there, `E_USAGE` for a path that is too long,
 *   `E_PLATFORM`
 */
export const listenSocket = async (path: string, onLink: (link: Link<Message>) => void, init: ListenInit = {}): Promise<SocketServer> => {
  const links = new Set<Link<Message>>();
  let count = 0;
  const accept = (socket: Socket): void => {
    const made: Link<Message> = streamLink({ readable: socket, writable: socket }, messageCodec, {
      ...init,
      name: `${init.name ?? `socket ${path}`}#${String(++count)}`,
      onReject: (error, text) => {
        init.onReject?.(error, text);
        answerRejected(made, error, text);
      },
    });
    links.add(made);
    void made.closed.then(() => links.delete(made));
    try {
      onLink(made);
    } catch (thrown) {
      init.onError?.(asProtoflyError(thrown));
      void made.close('refused');
    }
  };
  const { check = (_socket: Socket, enter: () => void) => { enter(); } } = init;
  const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) => { check(socket, () => { accept(socket); }); });
  await bindOrRepair(server, path, init);
  server.on('error', (error) => { init.onError?.(asProtoflyError(error)); });
  let closing: Promise<void> | undefined;
  const close = async (reason: string): Promise<void> => {
    const ended = new Promise<void>((resolve) => { server.close(() => { resolve(); }); });
    await Promise.all([...links].map((each) => each.close(reason)));
    await ended;
  };
  return { path, links, close: (reason = 'the server ends') => (closing ??= close(reason)) };
};
