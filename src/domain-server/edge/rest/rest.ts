import { createHash } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import {
  answerable, asProtoflyError, decodeMessage, fieldsOf, isResponse, parentOf, parseJson, ProtoflyError, refuse, SESSION, type Address, type Clock, type Message, type Request, type Response, type Timer,
} from '../../../protocol/index.js';
import type { MakeLink } from '../../shard/message-node/connection.js';
import { HEADERS, writeJson, writeRefusal } from './answers.js';
import { discard, readBody } from './body.js';
import { Ledger } from './ledger.js';
import { REST_LIMITS, type RestLimits } from './limits.js';
import type { SendQueueBudget, Reader } from './send-queue.js';
import { EventStream, Poll } from './readers.js';
import { parametersOf, type Parameters } from './parameters.js';
import { Shares } from '../../../kit/shares.js';
import { holderOf, type ShareLimits } from '../remote.js';
import { RestLink } from './rest-link.js';

export interface RestComponents {
  /** The message node. @throws ProtoflyError `E_TOO_MANY` */
  readonly node: { attach(makeLink: MakeLink): void };
  readonly clock: Clock;
  readonly log: (text: string, details?: Record<string, unknown>) => void;
}

export interface RestInit {
  /** Maximum size of a body, in bytes. */
  readonly maxBody: number;
  /** Time after which a session without its runtime ends, in milliseconds. */
  readonly sessionTtlMs: number;
  /** The parts that one remote address may have. */
  readonly shares: ShareLimits;
  /** @default REST_LIMITS */
  readonly limits?: Partial<RestLimits>;
}

/** A session opened over REST. Without a link, it waits as long as the message node's session. */
interface Entry {
  readonly runtime: Address;
  readonly tokenHash: string;
  readonly ledger: Ledger;
  link: RestLink | undefined;
  timer: Timer | undefined;
}

const MAX_TARGET = 2048;
const MAX_SESSION_BODY = 16 * 1024;
const EMPTY_LIST = '[]';
const BEARER = /^bearer +([\w.~+/-]{1,200}=*)$/i;
const RESOURCES: Readonly<Record<string, string>> = { '/rest/session': 'POST, OPTIONS', '/rest/messages': 'GET, POST, OPTIONS' };
const PREFLIGHT = {
  'access-control-allow-headers': 'authorization, content-type, accept, last-event-id, protofly-batch',
  'access-control-max-age': '86400',
} as const;

const hashOf = (token: string): string => createHash('sha256').update(token).digest('hex');
const pathOf = (url = ''): string => url.split('?', 1)[0] ?? '';

/** True if a request is for the REST side. */
export const isForRest = ({ url }: IncomingMessage): boolean => {
  const path = pathOf(url);
  return path === '/rest' || path.startsWith('/rest/');
};

/** Sessions over plain HTTP requests, for a message node that only knows links. @see docs/protocol.md, "REST" */
export class Rest {
  readonly #node: RestComponents['node'];
  readonly #clock: Clock;
  readonly #log: RestComponents['log'];
  readonly #init: RestInit;
  readonly #limits: RestLimits;
  readonly #queued: SendQueueBudget = { bytes: 0 };
  readonly #bodies: Shares;
  readonly #byToken = new Map<string, Entry>();
  readonly #byRuntime = new Map<Address, Entry>();

  constructor({ node, clock, log }: RestComponents, init: RestInit) {
    this.#node = node;
    this.#clock = clock;
    this.#log = log;
    this.#init = init;
    this.#limits = { ...REST_LIMITS, ...init.limits };
    this.#bodies = new Shares({ most: Math.max(this.#limits.bodiesInAll, init.maxBody), part: init.shares.perAddress });
  }

  /** The bytes queued for clients, and those of the bodies being read. */
  get held(): { readonly outgoing: number; readonly incoming: number } {
    return { outgoing: this.#queued.bytes, incoming: this.#bodies.total };
  }

  /** The bodies refused since the start because their remote address had its share. */
  get refused(): number {
    return this.#bodies.refused;
  }

  /** Answers a request for which `isForRest` is true. */
  readonly listener: RequestListener = (request, response) => {
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    this.#answer(request, response).catch((thrown: unknown) => {
      const error = asProtoflyError(thrown);
      if (error.status < 500 || error.code === 'E_UNREACHABLE') {
        // The client has stopped sending its body: close the connection.
        writeRefusal(response, error, error.code === 'E_TIMEOUT' ? { connection: 'close' } : {});
        return;
      }
      this.#log('answering a request failed', { url: pathOf(request.url), error });
      writeRefusal(response, new ProtoflyError(error.code, error.code === 'E_STORE' ? 'the domain server can\'t write to its disk' : 'the domain server failed'));
    }).finally(() => { if (!request.complete) discard(request); else request.resume(); });
  };

  /** Forgets all sessions. The message node closes their links. */
  close(): void {
    for (const entry of this.#byToken.values()) entry.timer?.cancel();
    this.#byToken.clear();
    this.#byRuntime.clear();
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { url = '', method = '' } = request;
    if (url.length > MAX_TARGET) { writeJson(response, 414, JSON.stringify({ error: 'E_TOO_LARGE', description: 'the address is too long' })); return; }
    const path = pathOf(url).replace(/\/$/, '');
    const allowed = Object.hasOwn(RESOURCES, path) ? RESOURCES[path] : undefined;
    if (allowed === undefined) throw new ProtoflyError('E_NOT_FOUND', 'there is nothing here');
    if (method === 'OPTIONS') {
      response.writeHead(204, { ...HEADERS, ...PREFLIGHT, allow: allowed, 'access-control-allow-methods': allowed }).end();
      return;
    }
    if (!allowed.split(', ').includes(method)) {
      writeJson(response, 405, JSON.stringify({ error: 'E_USAGE', description: `only ${allowed}` }), { allow: allowed });
      return;
    }
    if (path === '/rest/session') return this.#session(request, response);
    const parameters = parametersOf(request);
    const { link } = this.#current(request);
    const leave = link.enter();
    response.once('close', leave);
    if (response.destroyed) leave();
    if (parameters.after !== undefined) link.acknowledge(parameters.after);
    if (method === 'POST') return this.#post(link, parameters, request, response);
    this.#get(link, parameters, request, response);
  }

  /** @throws ProtoflyError `E_UNAUTHENTICATED` */
  #current(request: IncomingMessage): { readonly entry: Entry; readonly link: RestLink } {
    const token = BEARER.exec(request.headers.authorization ?? '')?.[1];
    if (token === undefined) throw new ProtoflyError('E_UNAUTHENTICATED', 'a request carries the token of its session: Authorization: Bearer <runtimeToken>');
    const entry = this.#byToken.get(hashOf(token));
    const link = entry?.link;
    if (entry === undefined || link?.isOpen !== true) throw new ProtoflyError('E_UNAUTHENTICATED', 'no session is open with that token: re-open it, or open a new one');
    return { entry, link };
  }

  async #read(request: IncomingMessage, most: number): Promise<{ readonly text: string; readonly release: () => void }> {
    return readBody({ request, clock: this.#clock, bodies: this.#bodies }, { most, idleMs: this.#limits.bodyIdleMs, bytesPerSecond: this.#limits.bodyBytesPerSecond, holder: holderOf(request.socket.remoteAddress, this.#init.shares) });
  }

  async #post(link: RestLink, { batch: number, after }: Parameters, request: IncomingMessage, response: ServerResponse): Promise<void> {
    // An acknowledgement alone doesn't wait for its turn: earlier POSTs may be waiting for it.
    const small = number === undefined && Number(request.headers['content-length']) <= EMPTY_LIST.length;
    const early = small ? await this.#read(request, EMPTY_LIST.length) : undefined;
    early?.release();
    if (early?.text === EMPTY_LIST || (early?.text === '' && after !== undefined)) {
      if (after !== undefined) link.ledger.slowest ??= 0;
      writeJson(response, 202, JSON.stringify({ accepted: 0 }));
      return;
    }
    await link.posts.run('post', async () => {
      const { text, release } = early ?? await this.#read(request, this.#init.maxBody);
      try {
        await link.admit(text.length);
        const batch = link.batchOf(number);
        if (!batch.complete) await link.take(itemsOf(text, this.#limits.batch), batch);
        if (!batch.complete) throw new ProtoflyError('E_UNAUTHENTICATED', 'the session ended, or is another connection\'s now');
        writeJson(response, 202, JSON.stringify({ accepted: batch.accepted }));
      } finally {
        release();
      }
    });
  }

  #get(link: RestLink, { waitMs }: Parameters, request: IncomingMessage, response: ServerResponse): void {
    const { maxWaitMs, lingerMs } = this.#limits;
    const components = { response, clock: this.#clock, onLeave: (reader: Reader) => { link.leave(reader); } };
    if (/\btext\/event-stream\b/i.test(request.headers.accept ?? '')) {
      link.read(new EventStream({ ...components, link }, this.#limits));
      return;
    }
    const wait = Math.min(waitMs, maxWaitMs);
    const poll = new Poll(components, { waitMs: wait, lingerMs, cursor: () => link.ledger.acknowledged });
    link.read(poll);
    if (wait > 0) return;
    link.leave(poll);
    poll.end();
  }

  async #session(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { text, release } = await this.#read(request, MAX_SESSION_BODY);
    release();
    const asked = sessionRequest(text);
    if (isResponse(asked)) { writeMessage(response, asked); return; }
    try {
      writeMessage(response, await (asked.type === 'close' ? this.#close(asked, request) : this.#enter(asked, request)));
    } catch (thrown) {
      const error = asProtoflyError(thrown);
      if (error.code === 'E_INTERNAL') throw error;
      writeMessage(response, refuse(asked, error));
    }
  }

  /** Handles `open` and `re-open` on a new link. The link stays if the session manager accepts. */
  async #enter(asked: Request, request: IncomingMessage): Promise<Response> {
    const presented = asked.type === 're-open' ? hashOf(lastSegment(asked.from)) : undefined;
    const known = presented === undefined ? undefined : this.#byToken.get(presented);
    // If the ledger is lost, start above all numbers that the session may have given, even in an earlier process.
    const ledger = known?.ledger ?? new Ledger(presented === undefined ? 0 : this.#clock.now() * 1000);
    let link: RestLink | undefined;
    this.#node.attach(({ onReject, admit }) => {
      link = new RestLink({ clock: this.#clock, ledger, budget: this.#queued, limits: this.#limits }, { name: `rest ${request.socket.remoteAddress ?? ''}`, onReject, admit, holder: holderOf(request.socket.remoteAddress, this.#init.shares) });
      return link;
    });
    if (link === undefined) throw new ProtoflyError('E_INTERNAL', 'the message node made no link');
    const answer = await link.ask(asked);
    if (answer?.body.code !== 200) {
      void link.close('no session was opened');
      if (answer !== undefined) return answer;
      throw new ProtoflyError('E_CONFLICT', 'another connection took the session over');
    }
    const token = answer.body['runtimeToken'];
    const runtime = presented === undefined ? asked.from : parentOf(asked.from) ?? asked.from;
    this.#keep({ runtime, tokenHash: presented ?? hashOf(String(token)), ledger, link, timer: undefined });
    // A client that has lost its count continues from this number.
    return presented === undefined ? answer : { ...answer, body: { ...answer.body, batch: ledger.batch.number } };
  }

  async #close(asked: Request, request: IncomingMessage): Promise<Response> {
    const { entry, link } = this.#current(request);
    const answer = await link.posts.run('post', () => link.ask(asked));
    if (answer === undefined) throw new ProtoflyError('E_UNAUTHENTICATED', 'the session ended, or is another connection\'s now');
    if (answer.body.code !== 200) return answer;
    this.#forget(entry);
    return answer;
  }

  #keep(entry: Entry): void {
    const before = this.#byRuntime.get(entry.runtime);
    if (before !== undefined) this.#forget(before);
    this.#byToken.set(entry.tokenHash, entry);
    this.#byRuntime.set(entry.runtime, entry);
    void entry.link?.closed.then(() => {
      entry.link = undefined;
      if (this.#byToken.get(entry.tokenHash) !== entry) return;
      entry.timer = this.#clock.setTimeout(() => { this.#forget(entry); }, this.#init.sessionTtlMs);
    });
  }

  #forget(entry: Entry): void {
    entry.timer?.cancel();
    if (this.#byToken.get(entry.tokenHash) === entry) this.#byToken.delete(entry.tokenHash);
    if (this.#byRuntime.get(entry.runtime) === entry) this.#byRuntime.delete(entry.runtime);
  }
}

const lastSegment = (address: string): string => address.slice(address.lastIndexOf('/') + 1);

const writeMessage = (response: ServerResponse, message: Response): void => {
  writeJson(response, message.body.code < 200 ? 500 : message.body.code, JSON.stringify(message), message.body.code === 401 ? { 'www-authenticate': 'Bearer' } : {});
};

/** @throws ProtoflyError `E_MESSAGE`, `E_TOO_LARGE` */
const itemsOf = (text: string, most: number): readonly unknown[] => {
  const body = parseJson(text);
  if (typeof body !== 'object' || body === null) throw new ProtoflyError('E_MESSAGE', 'the body is neither a message nor a list of them');
  const items: readonly unknown[] = Array.isArray(body) ? body : [body];
  if (items.length > most) throw new ProtoflyError('E_TOO_LARGE', `a list has at most ${String(most)} messages`);
  return items;
};

/**
 * Returns the request to the session manager, or the response that refuses it.
 * @throws ProtoflyError if it can't be answered
 */
const sessionRequest = (text: string): Request | Response => {
  let message: Message;
  try {
    message = decodeMessage(text);
  } catch (thrown) {
    const request = answerable(fieldsOf(text));
    if (request === undefined) throw thrown;
    return refuse(request, asProtoflyError(thrown));
  }
  if (isResponse(message)) throw new ProtoflyError('E_MESSAGE', 'the session manager takes no responses');
  const known = message.to === SESSION && (message.type === 'open' || message.type === 're-open' || message.type === 'close');
  return known ? message : refuse(message, new ProtoflyError('E_MESSAGE', 'only open, re-open or close to mn:/session is accepted here'), SESSION);
};
