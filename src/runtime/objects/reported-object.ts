import type { Origin } from '../../bus/index.js';
import {
  asProtoflyError, child, descriptionOf, isAddress, isResponse, parseAddress, combinedBackpressure, ProtoflyError, refuse, respond, runtimeOf,
  type Address, type Message, type Request, type Backpressure, type Response,
} from '../../protocol/index.js';
import { applyChange, type Change, type DataObject } from '../../protocol/data-object.js';
import type { SyncContext } from './ports.js';
import { checkWritable, parseChange, type Meta } from '../../protocol/data-object-messages.js';

export interface ReportedInit {
  readonly url: Address;
  readonly reporter: Address;
  /** The origin of the reporter's messages. */
  readonly origin: Origin | undefined;
  readonly schema: string;
  readonly authorised: readonly Address[];
  readonly object: DataObject;
  /** Called once, when the reporter itself ends the object. */
  readonly onEnd: () => void;
}

/**
 * The authoritative copy of a data object whose reporter lives here, with its readers, observers and version. Answers
 * requests to `<url>` and all addresses below it.
 */
export class ReportedObject {
  readonly url: Address;
  readonly reporter: Address;
  readonly #context: SyncContext;
  readonly #init: ReportedInit;
  readonly #changes: Address;
  readonly #subscription: Address;
  readonly #created: string;
  readonly #invited: ReadonlySet<Address>;
  /** Invited addresses that may still answer after the timeout. */
  readonly #late = new Set<Address>();
  readonly #here = new Set<Address>();
  /** The sync manager that subscribed for each observer in another runtime. */
  readonly #elsewhere = new Map<Address, Address>();
  /** One for each invitation without an answer. */
  readonly #inviting = new Set<AbortController>();
  readonly #unlisten: () => void;
  #ended = false;
  #object: DataObject;
  #version = 0;
  #lastModified: string;

  /** Starts to listen at `url`. @throws ProtoflyError `E_CONFLICT` if there is an object with that address already */
  constructor(context: SyncContext, init: ReportedInit) {
    this.url = init.url;
    this.reporter = init.reporter;
    this.#context = context;
    this.#init = init;
    this.#changes = child(init.url, 'changes');
    this.#subscription = child(init.url, 'subscription');
    this.#invited = new Set(init.authorised);
    this.#object = init.object;
    this.#created = this.#lastModified = new Date(context.clock.date()).toISOString();
    this.#unlisten = context.bus.addSubtreeListener(init.url, (message, origin) => this.#receive(message, origin));
  }

  /** Returns the object as messages carry it. */
  get value(): Record<string, unknown> {
    const meta: Meta = {
      url: this.url, reporter: this.reporter, schema: this.#init.schema,
      created: this.#created, lastModified: this.#lastModified, version: this.#version,
    };
    return { ...this.#object.data, ...meta };
  }

  get observers(): number {
    return this.#here.size + this.#elsewhere.size;
  }

  /** Invites all authorised addresses. Each answer goes to the reporter. Doesn't wait for them. */
  invite(): void {
    if (this.#ended) return;
    const body = { source: this.reporter, value: this.value, schema: this.#init.schema };
    for (const invited of this.#invited) {
      if (invited === this.reporter) continue;
      const given = new AbortController();
      this.#inviting.add(given);
      this.#context.bus
        .request({ type: 'create', from: this.#subscription, to: invited, body }, { timeoutMs: this.#context.inviteTimeoutMs, signal: given.signal })
        .then((response) => {
          if (response.body.code === 408) this.#late.add(invited);
          this.#tellAnswer(invited, response);
        })
        .catch((thrown: unknown) => { this.#context.log('debug', asProtoflyError(thrown).message); })
        .finally(() => { this.#inviting.delete(given); });
    }
  }

  /** Applies a change by the reporter and sends it to all observers. @throws ProtoflyError `E_MESSAGE`, `E_TOO_LARGE` */
  update(change: Change): Backpressure {
    checkWritable(change);
    this.#object = applyChange(this.#object, change);
    this.#version += 1;
    this.#lastModified = new Date(this.#context.clock.date()).toISOString();
    const body = { ...change, version: this.#version };
    return combinedBackpressure([
      ...[...this.#here].map((observer) => this.#context.tell(observer, 'update', { resource: this.url, ...body })),
      this.#publish('update', body),
    ]);
  }

  /** Adds an observer that lives here. @throws ProtoflyError `E_REFUSED` */
  join(observer: Address): void {
    if (!this.#invited.has(observer)) throw new ProtoflyError('E_REFUSED', `${observer} may not observe ${this.url}`);
    this.#here.add(observer);
  }

  /** Removes an observer that lives here. */
  leave(observer: Address): void {
    this.#here.delete(observer);
  }

  /** Ends the object here and tells all observers. Idempotent. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const given of this.#inviting) given.abort(new ProtoflyError('E_NOT_FOUND', `${this.url} was deleted`));
    this.#unlisten();
    for (const observer of this.#here) void this.#context.tell(observer, 'delete', { resource: this.url });
    void this.#publish('delete', {});
    this.#here.clear();
    this.#elsewhere.clear();
    this.#late.clear();
  }

  #publish(type: 'update' | 'delete', body: Request['body']): Backpressure {
    if (this.#elsewhere.size === 0) return undefined;
    const message: Request = { id: this.#context.nextId(), type, from: this.url, to: this.#changes, body: body ?? {} };
    try {
      return this.#context.routes.publish(message);
    } catch (thrown) {
      // Observers notice the gap by the version of the next change.
      this.#context.log('warn', `a change of ${this.url} was not published: ${asProtoflyError(thrown).message}`);
      return undefined;
    }
  }

  #tellAnswer(invited: Address, response: Response): void {
    if (this.#ended) return;
    const description = descriptionOf(response);
    const value = { code: response.body.code, ...(description === undefined ? {} : { description }) };
    void this.#context.tell(this.reporter, 'update', { resource: this.#subscription, source: invited, value });
  }

  #receive(message: Message, origin: Origin | undefined): Backpressure {
    if (isResponse(message)) {
      if (message.to === this.#subscription && this.#late.delete(message.from)) this.#tellAnswer(message.from, message);
      return undefined;
    }
    if (message.from === this.url) return this.#fromReporter(message, origin);
    const refused = (thrown: unknown): Response => refuse(message, asProtoflyError(thrown));
    let response: Response | Promise<Response>;
    try {
      response = this.#answer(message);
    } catch (thrown) {
      response = refused(thrown);
    }
    if (!(response instanceof Promise)) return this.#context.bus.post(response);
    // The link isn't held up: the registry's answer may come over it.
    response.catch(refused).then((answer) => this.#context.bus.post(answer)).catch((thrown: unknown) => { this.#context.log('warn', asProtoflyError(thrown).message); });
    return undefined;
  }

  /**
   * Handles a message that the reporter sends in the name of its object, as on the wire. It must come from the origin
   * that made the object.
   */
  #fromReporter(message: Request, origin: Origin | undefined): Backpressure {
    const problem = (why: string): void => { this.#context.log('warn', `a message that claims to come from ${this.url} was dropped: ${why}`); };
    if (origin !== this.#init.origin || this.#context.isOutside(message, origin)) { problem('it isn\'t the reporter\'s'); return undefined; }
    if (message.to !== this.#changes) { problem('it isn\'t a change'); return undefined; }
    try {
      if (message.type === 'update') return this.update(parseChange(message.body).change);
      if (message.type === 'delete') this.#init.onEnd();
      else problem(`it is of type ${message.type}`);
    } catch (thrown) {
      problem(asProtoflyError(thrown).message);
    }
    return undefined;
  }

  /** @throws ProtoflyError `E_REFUSED`, `E_NOT_FOUND`; the promise rejects with `E_REFUSED` or `E_UNREACHABLE` */
  #answer(message: Request): Response | Promise<Response> {
    const { type, to, from, body } = message;
    const source = isAddress(body?.source) ? parseAddress(body.source) : from;
    if (to === this.#subscription && type === 'subscribe') {
      return this.#authorised(source, from, () => {
        this.#elsewhere.set(source, from);
        return respond(message, 200, { value: this.value });
      });
    }
    if (to === this.#subscription && type === 'unsubscribe') {
      if (this.#elsewhere.get(source) !== from) throw new ProtoflyError('E_NOT_FOUND', `${source} doesn't observe ${this.url}`);
      this.#elsewhere.delete(source);
      return respond(message, 200);
    }
    if (to === this.url && type === 'read') {
      const answer = (): Response => respond(message, 200, { value: this.value });
      return [...this.#elsewhere.values()].includes(from) ? answer() : this.#authorised(source, from, answer);
    }
    throw new ProtoflyError('E_REFUSED', `${type} is not for ${from} to send to ${String(to)}`);
  }

  /**
   * Answers an address that asks for an invited one: for itself, or as its runtime. The registry says where a hyperty lives.
   * @throws ProtoflyError `E_REFUSED`; the promise rejects with `E_REFUSED` or `E_UNREACHABLE`
   */
  #authorised(source: Address, from: Address, answer: () => Response): Response | Promise<Response> {
    const answerIf = (is: boolean): Response => {
      if (!is) throw new ProtoflyError('E_REFUSED', `${source} may not observe ${this.url}`);
      if (this.#ended) throw new ProtoflyError('E_NOT_FOUND', `${this.url} was deleted`);
      return answer();
    };
    const runtime = runtimeOf(source);
    if (source === from || runtime !== undefined || !this.#invited.has(source)) {
      return answerIf(this.#invited.has(source) && (source === from || runtime === runtimeOf(from)));
    }
    return this.#context.hosts.hostOf(source).then((host) => answerIf(host !== undefined && host === runtimeOf(from)));
  }
}
