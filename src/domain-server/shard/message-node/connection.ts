import { DrainSignal } from '../../../kit/drain-signal.js';
import type { Link, LinkInit } from '../../../link/link.js';
import {
  answerable, isAddress, parseAddress, refuse, respond, SESSION, UNNAMED_CLIENT, ProtoflyError, type Clock, type Message, type Request, type Response, type Backpressure,
} from '../../../protocol/index.js';
import type { Carrier, Session } from './session.js';

/** Makes a client's link with the `onReject` it is given. */
export type MakeLink = (init: Required<Pick<LinkInit, 'onReject'>>) => Carrier;

export interface ConnectionEvents {
  onMessage(connection: Connection, message: Message): Backpressure;
  onReject(error: ProtoflyError): void;
  onClosed(connection: Connection): void;
}

export interface ConnectionInit {
  readonly openMs: number;
  readonly maxWork: number;
}

/** One link of a client, with the session that was opened on it, if any. */
export class Connection implements Carrier {
  readonly link: Link<Message>;
  readonly taken: () => number;
  readonly leftovers: Carrier['leftovers'];
  readonly #events: ConnectionEvents;
  readonly #init: ConnectionInit;
  #session: Session | undefined;
  #work = 0;
  readonly #drained = new DrainSignal();

  constructor({ clock, events, makeLink }: { clock: Clock; events: ConnectionEvents; makeLink: MakeLink }, init: ConnectionInit) {
    this.#events = events;
    this.#init = init;
    const { link, taken, leftovers } = makeLink({ onReject: (error, text) => { this.#reject(error, text); } });
    this.link = link;
    this.taken = taken;
    this.leftovers = leftovers;
    const timer = clock.setTimeout(() => { if (this.#session === undefined) void this.link.close('no session was opened'); }, init.openMs);
    void this.link.closed.then(() => {
      timer.cancel();
      events.onClosed(this);
    });
    this.link.receive((message) => events.onMessage(this, message));
  }

  get session(): Session | undefined {
    return this.#session;
  }

  /** A session that was taken over by another connection is this one's no more. */
  get current(): Session | undefined {
    return this.#session?.link === this.link ? this.#session : undefined;
  }

  bind(session: Session | undefined): void {
    this.#session = session;
  }

  /** Answers on this link. An answer to somebody who is gone, or that the link doesn't take, is lost. */
  answer(response: Response): Backpressure {
    try {
      // Through the session, who doesn't read its answers is found out like who doesn't read its messages.
      return this.current?.flowing === true ? this.current.deliver(response) : this.link.send(response);
    } catch (thrown) {
      if (thrown instanceof ProtoflyError && thrown.code === 'E_TOO_LARGE') {
        return this.answer({ id: response.id, type: 'response', from: response.from, to: response.to, body: { code: 413, description: thrown.message, error: thrown.code } });
      }
      return undefined;
    }
  }

  /** Counts what is being worked on for this client. @returns backpressure when that is a lot */
  track(work: Promise<void>): Backpressure {
    this.#work += 1;
    void work.finally(() => {
      this.#work -= 1;
      if (this.#work < this.#init.maxWork) this.#drained.release();
    });
    return this.#work < this.#init.maxWork ? undefined : this.#drained.wait();
  }

  /** Answers a frame that isn't a message, as far as it says to whom. Responses aren't answered. */
  #reject(error: ProtoflyError, text?: string): void {
    this.#events.onReject(error);
    const request = text === undefined ? this.#unknownRequest({}) : answerable(text) ?? this.#guess(text);
    if (request === undefined) return;
    const refusal = error.status >= 500 ? new ProtoflyError('E_INTERNAL', 'this message could not be handled', { cause: error }) : error;
    void this.answer(refuse(request, refusal));
  }

  #guess(text: string): Request | undefined {
    let frame: unknown;
    try {
      frame = JSON.parse(text);
    } catch {
      return this.#unknownRequest({});
    }
    if (typeof frame !== 'object' || frame === null || Array.isArray(frame)) return this.#unknownRequest({});
    const fields = frame as Record<string, unknown>;
    return typeof fields['type'] === 'string' && fields['type'].toLowerCase() === 'response' ? undefined : this.#unknownRequest(fields);
  }

  #unknownRequest({ id, from, to }: Record<string, unknown>): Request {
    return {
      id: typeof id === 'string' && id.length <= 256 ? id : typeof id === 'number' && Number.isFinite(id) ? id : 0,
      type: 'execute',
      from: isAddress(from) ? parseAddress(from) : this.#session?.runtime ?? UNNAMED_CLIENT,
      to: isAddress(to) ? parseAddress(to) : SESSION,
    };
  }
}

/** 200 and what goes with it, from the session manager. */
export const welcome = (request: Request, body: Record<string, unknown> = {}): Response => respond(request, 200, body, SESSION);
