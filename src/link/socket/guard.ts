import { isUtf8 } from 'node:buffer';
import type { Socket } from 'node:net';
import { answerable, asProtoflyError, decodeMessage, fieldsOf, NAMELESS, ProtoflyError, refuse, SESSION, type Clock, type Message, type Request, type Timer } from '../../protocol/index.js';
import type { SocketToken } from './token.js';

export interface GuardComponents {
  readonly token: SocketToken;
  readonly clock: Clock;
}

export interface GuardInit {
  /** Longest first line of a connection, in bytes. @default 4096 */
  readonly maxOpenBytes?: number;
  /** Time for a connection to send its first line, in milliseconds. @default 5000 */
  readonly openMs?: number;
  /** Most connections without a session. One more ends the oldest of them. @default 128 */
  readonly maxUnopened?: number;
  readonly onRefuse?: (error: ProtoflyError) => void;
}

const GUARD_DEFAULTS = { maxOpenBytes: 4096, openMs: 5000, maxUnopened: 128 } as const;

/** Time in which the other side of a refused connection can read why, in milliseconds. */
const PARTING_MS = 500;
const FEED = 0x0a;

type Visit = { readonly at: 'reading'; readonly bytes: Buffer; readonly timer: Timer } | { readonly at: 'parting'; readonly timer: Timer };

/**
 * Reads the first line of each connection to a control socket, and lets those through that open a session with the
 * token. Others are told why, and closed. Until then, a connection costs one short line and a timer.
 */
export class SocketGuard {
  readonly #components: GuardComponents;
  readonly #init: Required<Omit<GuardInit, 'onRefuse'>> & Pick<GuardInit, 'onRefuse'>;
  /** Connections without a session, the oldest first. */
  readonly #visits = new Map<Socket, Visit>();
  #refused = 0;

  constructor(components: GuardComponents, init: GuardInit = {}) {
    this.#components = components;
    this.#init = { ...GUARD_DEFAULTS, ...init };
  }

  /** Number of connections that were refused since the start. */
  get refused(): number {
    return this.#refused;
  }

  /** Calls `enter` once the paused socket has opened in order. Nothing has been taken from the socket then. */
  check(socket: Socket, enter: () => void): void {
    while (this.#visits.size >= this.#init.maxUnopened) this.#evict();
    const timer = this.#components.clock.setTimeout(() => {
      this.#refuse(socket, new ProtoflyError('E_TIMEOUT', `no session was opened within ${String(this.#init.openMs)} ms`));
    }, this.#init.openMs);
    this.#visits.set(socket, { at: 'reading', bytes: Buffer.alloc(0), timer });
    const onData = (chunk: Buffer): void => {
      const visit = this.#visits.get(socket);
      if (visit?.at !== 'reading') return;
      const bytes = Buffer.concat([visit.bytes, chunk]);
      const feed = bytes.indexOf(FEED);
      if ((feed < 0 ? bytes.length : feed) > this.#init.maxOpenBytes) {
        this.#refuse(socket, new ProtoflyError('E_TOO_LARGE', `the first line is longer than ${String(this.#init.maxOpenBytes)} bytes`, { hint: 'open a session first: docs/control.md' }));
      } else if (feed < 0) {
        this.#visits.set(socket, { ...visit, bytes });
      } else if (this.#isAdmitted(socket, bytes.subarray(0, feed))) {
        this.#visits.delete(socket);
        visit.timer.cancel();
        socket.pause().off('data', onData).off('end', onEnd).off('close', onClose).off('error', onError);
        socket.unshift(bytes);
        enter();
      }
    };
    const onEnd = (): void => {
      const visit = this.#visits.get(socket);
      if (visit?.at === 'reading' && visit.bytes.length > 0) this.#refuse(socket, new ProtoflyError('E_MESSAGE', 'the first line isn\'t complete'));
      else socket.destroy();
    };
    const onClose = (): void => { this.#forget(socket); };
    const onError = (): void => { socket.destroy(); };
    socket.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onError).resume();
  }

  /** Ends all connections without a session. */
  close(): void {
    for (const socket of [...this.#visits.keys()]) {
      this.#forget(socket);
      socket.destroy();
    }
  }

  #isAdmitted(socket: Socket, line: Buffer): boolean {
    const text = line.toString('utf8');
    try {
      if (!isUtf8(line)) throw new ProtoflyError('E_MESSAGE', 'the first line isn\'t UTF-8');
      const message = decodeMessage(text);
      const objection = this.#objection(message);
      if (objection !== undefined) throw objection;
      return true;
    } catch (thrown) {
      this.#refuse(socket, asProtoflyError(thrown), answerable(fieldsOf(text)));
      return false;
    }
  }

  #objection(message: Message): ProtoflyError | undefined {
    const hint = `send the line of ${this.#components.token.path} as body.value.token of the open: docs/control.md`;
    if (message.type !== 'open' || message.to !== SESSION) return new ProtoflyError('E_UNAUTHENTICATED', 'the first message is an open to mn:/session', { hint });
    const token = (message.body?.value as { readonly token?: unknown } | null | undefined)?.token;
    if (token === undefined) return new ProtoflyError('E_UNAUTHENTICATED', 'the open has no token', { hint });
    if (typeof token !== 'string' || !this.#components.token.matches(token)) return new ProtoflyError('E_UNAUTHENTICATED', 'the token of the open is wrong: it changes at each start', { hint });
    return undefined;
  }

  /** Answers, then reads and drops what still comes: a socket closed with unread bytes may lose the answer. */
  #refuse(socket: Socket, error: ProtoflyError, request: Request = NAMELESS): void {
    const visit = this.#visits.get(socket);
    if (visit === undefined) return;
    visit.timer.cancel();
    this.#refused += 1;
    this.#init.onRefuse?.(error);
    this.#visits.set(socket, { at: 'parting', timer: this.#components.clock.setTimeout(() => { socket.destroy(); }, PARTING_MS) });
    socket.end(`${JSON.stringify(refuse(request, error))}\n\n`);
  }

  #evict(): void {
    const [socket, visit] = [...this.#visits.entries()][0]!;
    if (visit.at === 'reading') this.#refuse(socket, new ProtoflyError('E_TOO_MANY', `more than ${String(this.#init.maxUnopened)} connections have opened no session`));
    this.#forget(socket);
    socket.destroySoon();
  }

  #forget(socket: Socket): void {
    this.#visits.get(socket)?.timer.cancel();
    this.#visits.delete(socket);
  }
}
