import { DrainSignal } from '../../../kit/drain-signal.js';
import { Pace } from '../../../kit/pace.js';
import type { Link, LinkInit } from '../../../link/link.js';
import {
  answerable, fieldsOf, isAddress, namesResponse, parseAddress, refuse, respond, SESSION, UNNAMED_CLIENT, ProtoflyError, type Clock, type Message, type Request, type Response, type Backpressure,
} from '../../../protocol/index.js';
import type { SessionLink, Session } from './session.js';

export interface ClientInit extends Required<Pick<LinkInit, 'onReject' | 'admit'>> {
  /** True once the client has opened a session. */
  readonly isMember: () => boolean;
}

/** Creates a client's link with the given callbacks. */
export type MakeLink = (init: ClientInit) => SessionLink;

/** The cost of an invalid frame, compared to a valid one of as many bytes. */
const REJECTED = 64 * 1024;

export interface ConnectionEvents {
  onMessage(connection: Connection, message: Message): Backpressure;
  onReject(error: ProtoflyError): void;
  onClosed(connection: Connection): void;
}

export interface ConnectionInit {
  readonly openMs: number;
  readonly maxWork: number;
  /** @see NodeLimits.strangerBytes */
  readonly strangerBytes: number;
  /** @see NodeLimits.bytesPerSecond */
  readonly bytesPerSecond: number;
}

/** One link of a client, and the session opened on it, if any. */
export class Connection implements SessionLink {
  readonly link: Link<Message>;
  readonly taken: () => number;
  readonly leftovers: SessionLink['leftovers'];
  readonly holder: string | undefined;
  readonly #events: ConnectionEvents;
  readonly #init: ConnectionInit;
  #session: Session | undefined;
  #work = 0;
  #isClosed = false;
  readonly #drained = new DrainSignal();
  readonly #pace: Pace;

  constructor({ clock, events, makeLink }: { clock: Clock; events: ConnectionEvents; makeLink: MakeLink }, init: ConnectionInit) {
    this.#events = events;
    this.#init = init;
    this.#pace = new Pace({ clock }, { perSecond: init.bytesPerSecond });
    const { link, taken, leftovers, holder } = makeLink({
      onReject: (error, text) => { this.#reject(error, text); },
      admit: (length) => this.#admit(length),
      isMember: () => this.#session !== undefined,
    });
    this.link = link;
    this.taken = taken;
    this.leftovers = leftovers;
    this.holder = holder;
    const timer = clock.setTimeout(() => { if (this.#session === undefined) void this.link.close('no session was opened'); }, init.openMs);
    void this.link.closed.then(() => {
      timer.cancel();
      this.#isClosed = true;
      events.onClosed(this);
    });
    this.link.receive((message) => events.onMessage(this, message));
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  get session(): Session | undefined {
    return this.#session;
  }

  /** The session of this connection. Undefined once another connection has taken it over. */
  get current(): Session | undefined {
    return this.#session?.link === this.link ? this.#session : undefined;
  }

  bind(session: Session | undefined): void {
    this.#session = session;
  }

  /** Sends a response on this link. It is lost if the link is closed or can't carry it. */
  answer(response: Response): Backpressure {
    try {
      // Sent through the session, so that a client that doesn't read its responses counts as stalled, too.
      return this.current?.flowing === true ? this.current.deliver(response) : this.link.send(response);
    } catch (thrown) {
      if (thrown instanceof ProtoflyError && thrown.code === 'E_TOO_LARGE') {
        return this.answer({ id: response.id, type: 'response', from: response.from, to: response.to, body: { code: 413, description: thrown.message, error: thrown.code } });
      }
      return undefined;
    }
  }

  /** Counts the requests in progress for this client. @returns backpressure if there are many */
  track(work: Promise<void>): Backpressure {
    this.#work += 1;
    void work.finally(() => {
      this.#work -= 1;
      if (this.#work < this.#init.maxWork) this.#drained.release();
    });
    return this.#work < this.#init.maxWork ? undefined : this.#drained.wait();
  }

  /** Charges the sender for copies of a message, as if it had sent each of them. @returns backpressure */
  charge(bytes: number): Backpressure {
    return this.#pace.take(bytes);
  }

  #admit(length: number): Backpressure {
    const { strangerBytes } = this.#init;
    if (this.#session === undefined && length > strangerBytes) throw new ProtoflyError('E_TOO_LARGE', `before a session is open, a frame has at most ${String(strangerBytes)} bytes`);
    return this.#pace.take(length);
  }

  /** Answers an invalid frame, if its sender can be told from it. Responses are not answered. */
  #reject(error: ProtoflyError, text?: string): void {
    this.#events.onReject(error);
    void this.#pace.take(REJECTED);
    const fields = text === undefined ? {} : fieldsOf(text);
    if (namesResponse(fields)) return;
    const request = answerable(fields) ?? this.#guess(fields);
    const refusal = error.status >= 500 ? new ProtoflyError('E_INTERNAL', 'this message could not be handled', { cause: error }) : error;
    void this.answer(refuse(request, refusal));
  }

  /** Reconstructs a request from the usable ones of its fields. */
  #guess({ id, from, to }: Record<string, unknown>): Request {
    return {
      id: typeof id === 'string' && id.length <= 256 ? id : typeof id === 'number' && Number.isFinite(id) ? id : 0,
      type: 'execute',
      from: isAddress(from) ? parseAddress(from) : this.#session?.runtime ?? UNNAMED_CLIENT,
      to: isAddress(to) ? parseAddress(to) : SESSION,
    };
  }
}

/** Returns a 200 response of the session manager with these fields. */
export const welcome = (request: Request, body: Record<string, unknown> = {}): Response => respond(request, 200, body, SESSION);
