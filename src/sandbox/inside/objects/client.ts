import {
  asProtoflyError, child, isProvisional, isResponse, isSuccess, isAddress, parentOf, parseAddress, ProtoflyError, refuse, respond, responseError,
  type Address, type Body, type Clock, type DataChange, type DataObserver, type DataReporter, type Invitation, type Message,
  type Request, type Response, type StubBus, type StubRequest, type Syncher,
} from '../../../protocol/index.js';
import { Observation, Report } from './handles.js';
import { addressIn, parseChange, parseSnapshot, schemaIn } from '../../../protocol/data-object-messages.js';

/** The part of a stub's bus that a sync client uses. */
export type SyncBus = Pick<StubBus, 'postMessage' | 'addListener'>;

export interface SyncClientComponents {
  readonly bus: SyncBus;
  readonly clock: Clock;
}

export interface SyncClientInit {
  /** Address of the stub or hyperty that it acts for. Messages to this address must reach the bus's listeners. */
  readonly owner: Address;
  readonly runtime: Address;
  /** Maximum time for the sync manager's answer, in milliseconds. Must exceed the manager's own timeouts. @default 30_000 */
  readonly timeoutMs?: number;
  /** @default nothing is logged */
  readonly log?: (level: 'warn', text: string) => void;
}

/** Time after which an unanswered invitation is refused, in milliseconds. */
const INVITATION_TIMEOUT_MS = 10_000;
/** Maximum number of open invitations; more are refused with 429. */
const MAX_INVITATIONS = 100;

/** An invitation without an answer so far. */
interface OpenInvitation {
  answer(code: number, body?: Body): void;
}

type AnswerListener = (observer: Address, code: number, description?: string) => void;

const nothing = (): void => undefined;
const isCode = (code: unknown): code is number => Number.isInteger(code);

/**
 * Data objects for one program or stub, over its bus. It trusts its runtime's sync manager, and checks the data
 * of others that the manager passes on.
 */
export class SyncClient implements Syncher {
  readonly #bus: SyncBus;
  readonly #clock: Clock;
  readonly #owner: Address;
  readonly #manager: Address;
  readonly #timeoutMs: number;
  readonly #log: (level: 'warn', text: string) => void;
  readonly #reports = new Map<Address, { readonly report: Report; readonly onAnswer: AnswerListener }>();
  readonly #observations = new Map<Address, Observation>();
  readonly #subscribing = new Map<Address, number>();
  readonly #invitations = new Set<OpenInvitation>();
  /** Aborts the pending requests, one entry each. */
  readonly #waiting = new Set<() => void>();
  #onInvitation: ((invitation: Invitation) => void) | undefined;
  #closing: Promise<void> | undefined;

  constructor({ bus, clock }: SyncClientComponents, init: SyncClientInit) {
    this.#bus = bus;
    this.#clock = clock;
    this.#owner = init.owner;
    this.#manager = child(init.runtime, 'sm');
    this.#timeoutMs = init.timeoutMs ?? 30_000;
    this.#log = init.log ?? nothing;
    bus.addListener(init.owner, (message) => { this.#receive(message); });
  }

  async create(schema: string, observers: readonly Address[], value: Readonly<Record<string, unknown>>, onAnswer: AnswerListener = nothing): Promise<DataReporter> {
    const { object } = parseSnapshot(value);
    return this.#ask('create', { schema, authorise: observers, value: object.data }, (response) => {
      const url = addressIn(response.body, 'resource');
      const report = new Report(url, object, {
        onChange: (change) => { this.#send(url, change); },
        onDelete: () => this.#delete(url),
      });
      this.#reports.set(url, { report, onAnswer });
      return report;
    }, (response) => {
      const url = response.body.resource;
      if (isAddress(url)) this.#drop('delete', parseAddress(url));
    });
  }

  async subscribe(schema: string, url: Address): Promise<DataObserver> {
    this.#subscribing.set(url, (this.#subscribing.get(url) ?? 0) + 1);
    let open = true;
    const settle = (): void => {
      if (!open) return;
      open = false;
      const left = (this.#subscribing.get(url) ?? 1) - 1;
      if (left > 0) this.#subscribing.set(url, left);
      else this.#subscribing.delete(url);
    };
    try {
      return await this.#ask('subscribe', { resource: url, schema }, (response) => {
        settle();
        return this.#observationOf(url, response.body.value).open();
      });
    } catch (thrown) {
      // The manager may still succeed, or may have subscribed for a handle that has been closed since.
      settle();
      this.#leaveIfUnused(url);
      throw thrown;
    }
  }

  #observationOf(url: Address, value: unknown): Observation {
    const known = this.#observations.get(url);
    if (known !== undefined) return known;
    const observation = new Observation(url, parseSnapshot(value).object, {
      onUnused: () => {
        this.#observations.delete(url);
        this.#leaveIfUnused(url);
      },
      onFailure: (thrown) => { this.#failed('a listener', thrown); },
    });
    this.#observations.set(url, observation);
    return observation;
  }

  /** Sets the only listener; a second call replaces it. Without a listener, invitations are refused with 408. */
  onInvitation(listener: (invitation: Invitation) => void): void {
    this.#onInvitation = listener;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    for (const giveUp of [...this.#waiting]) giveUp();
    for (const invitation of [...this.#invitations]) invitation.answer(408, { description: `${this.#owner} is closing` });
    for (const url of this.#observations.keys()) this.#drop('unsubscribe', url);
    for (const observation of this.#observations.values()) observation.close();
    this.#observations.clear();
    const reports = [...this.#reports.values()];
    await Promise.all(reports.map(({ report }) => report.delete().catch((thrown: unknown) => { this.#failed(`deleting ${report.url}`, thrown); })));
  }

  // --- to the manager
  // -----------------------------------------------------------------------------------------

  /**
   * Asks the manager. `take` runs when the response arrives, before any later message is handled. A response
   * after the request was given up goes to `late`, which undoes its effect.
   */
  #ask<T>(type: Request['type'], body: Body, take: (response: Response) => T, late: (response: Response) => void = nothing): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let open = true;
      const end = (): void => {
        open = false;
        timer.cancel();
        this.#waiting.delete(giveUp);
      };
      const fail = (error: ProtoflyError): void => { end(); reject(error); };
      const giveUp = (): void => { fail(new ProtoflyError('E_ABORTED', `${this.#owner} is closing`)); };
      const timer = this.#clock.setTimeout(() => { fail(new ProtoflyError('E_TIMEOUT', `no answer from ${this.#manager} to ${type}`)); }, this.#timeoutMs);
      if (this.#closing !== undefined && type !== 'delete') { giveUp(); return; }
      this.#waiting.add(giveUp);
      this.#post({ type, from: this.#owner, to: this.#manager, body }, (response) => {
        if (isProvisional(response)) return;
        if (!open) {
          if (isSuccess(response)) late(response);
          return;
        }
        end();
        try {
          if (!isSuccess(response)) throw responseError(response);
          resolve(take(response));
        } catch (thrown) {
          if (isSuccess(response)) late(response);
          reject(asProtoflyError(thrown));
        }
      }, fail);
    });
  }

  #post(message: Message | StubRequest, onResponse?: (response: Response) => void, onFailure?: (error: ProtoflyError) => void): void {
    const failed = onFailure ?? ((error: ProtoflyError): void => { this.#failed(`posting ${message.type}`, error); });
    try {
      const backpressure = this.#bus.postMessage(message, onResponse);
      backpressure?.catch((thrown: unknown) => { failed(asProtoflyError(thrown)); });
    } catch (thrown) {
      failed(asProtoflyError(thrown));
    }
  }

  /** Tells the manager that an object or subscription isn't needed any more. Ignores failures: nothing can be done. */
  #drop(type: 'delete' | 'unsubscribe', url: Address): void {
    this.#post({ type, from: this.#owner, to: this.#manager, body: { resource: url } }, nothing);
  }

  #leaveIfUnused(url: Address): void {
    if (!this.#observations.has(url) && !this.#subscribing.has(url)) this.#drop('unsubscribe', url);
  }

  #send(url: Address, change: Omit<DataChange, 'version'>): void {
    this.#post({ type: 'update', from: this.#owner, to: this.#manager, body: { resource: url, ...change } }, (response) => {
      if (isSuccess(response) || isProvisional(response)) return;
      // The copies would differ from here on.
      this.#failed(`a change of ${url}`, responseError(response));
      this.#endReport(url);
      this.#drop('delete', url);
    });
  }

  async #delete(url: Address): Promise<void> {
    this.#reports.delete(url);
    await this.#ask('delete', { resource: url }, nothing).catch((thrown: unknown) => {
      if (asProtoflyError(thrown).code !== 'E_NOT_FOUND') throw thrown;
    });
  }

  #endReport(url: Address): void {
    this.#reports.get(url)?.report.end();
    this.#reports.delete(url);
  }

  // --- from the manager, and invitations ----------------------------------------------------------------------

  #receive(message: Message): void {
    if (isResponse(message)) return;
    if (message.from !== this.#manager) {
      if (message.type === 'create' && message.from.endsWith('/subscription')) this.#invited(message);
      return;
    }
    try {
      this.#event(message);
    } catch (thrown) {
      this.#failed('a message of the sync manager', thrown);
    }
  }

  #event({ type, body }: Request): void {
    const resource = addressIn(body, 'resource');
    if (type === 'delete') {
      this.#endReport(resource);
      const observation = this.#observations.get(resource);
      this.#observations.delete(resource);
      observation?.end();
      return;
    }
    if (type !== 'update') return;
    const { value } = body ?? {};
    const report = resource.endsWith('/subscription') ? this.#reports.get(parentOf(resource) ?? resource) : undefined;
    if (report !== undefined && body?.attribute === undefined) {
      const { code, description } = (value ?? {}) as Record<string, unknown>;
      if (isCode(code)) report.onAnswer(addressIn(body, 'source'), code, typeof description === 'string' ? description : undefined);
      return;
    }
    const observation = this.#observations.get(resource);
    const { change, version } = parseChange(body);
    if (observation !== undefined && version !== undefined) observation.change({ ...change, version });
  }

  #invited(message: Request): void {
    const open: OpenInvitation = {
      answer: (code, body = {}) => {
        if (!this.#invitations.delete(open)) return;
        timer.cancel();
        this.#post(respond(message, code, body, this.#owner));
      },
    };
    const timer = this.#clock.setTimeout(() => { open.answer(408, { description: 'the invitation was not answered in time' }); }, INVITATION_TIMEOUT_MS);
    this.#invitations.add(open);
    try {
      if (this.#invitations.size > MAX_INVITATIONS) throw new ProtoflyError('E_TOO_MANY', `${this.#owner} has ${String(MAX_INVITATIONS)} open invitations`);
      if (this.#onInvitation === undefined || this.#closing !== undefined) throw new ProtoflyError('E_UNAVAILABLE', `${this.#owner} takes no invitations`);
      this.#onInvitation(this.#invitation(message, open));
    } catch (thrown) {
      const { body } = refuse(message, asProtoflyError(thrown));
      open.answer(body.code, body);
    }
  }

  /** @throws ProtoflyError `E_MESSAGE` */
  #invitation({ from, body }: Request, open: OpenInvitation): Invitation {
    const url = parentOf(from);
    if (url === undefined) throw new ProtoflyError('E_MESSAGE', `malformed message: ${from} belongs to no object`);
    const schema = schemaIn(body);
    const { object } = parseSnapshot(body?.value);
    return {
      url,
      schema,
      source: addressIn(body, 'source'),
      value: object.data,
      accept: async () => {
        if (!this.#invitations.has(open)) throw new ProtoflyError('E_CONFLICT', `the invitation to ${url} has been answered, or its time was up`);
        open.answer(200);
        return this.subscribe(schema, url);
      },
      refuse: (code, reason) => {
        open.answer(isCode(code) && code >= 300 && code <= 599 ? code : 403, { description: reason });
      },
    };
  }

  #failed(what: string, thrown: unknown): void {
    this.#log('warn', `${this.#owner}: ${what} failed: ${asProtoflyError(thrown).message}`);
  }
}

