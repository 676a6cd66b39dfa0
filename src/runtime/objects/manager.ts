import { SerialQueue } from '../../kit/serial-queue.js';
import type { Origin } from '../../bus/index.js';
import {
  asProtoflyError, child, domainOf, isAddress, isResponse, MAX_RECIPIENTS, parseAddress, ProtoflyError, refuse, respond,
  type Address, type Body, type Cause, type Message, type Backpressure, type Request,
} from '../../protocol/index.js';
import { AddressPool, allocate, routesOf } from './address-pool.js';
import { ObservedObject } from './observed-object.js';
import { settled, type SyncComponents, type SyncContext } from './ports.js';
import { ReportedObject } from './reported-object.js';
import { makeObject } from '../../protocol/data-object.js';
import { addressIn, parseChange, parseSnapshot, schemaIn } from '../../protocol/data-object-messages.js';

export interface SyncManagerInit {
  readonly runtime: Address;
  /** The runtime's own domain: its message node allocates the addresses of new objects. */
  readonly domain: string;
  /** Number of addresses for Connection objects that are kept ready. @default 2 */
  readonly poolSize?: number;
  /** Maximum number of objects that one client reports and observes. @default 1_000 */
  readonly maxPerClient?: number;
  /** True if a message came from another runtime. @default its sender has no listener on this bus */
  readonly isOutside?: (message: Message, origin: Origin | undefined) => boolean;
  /** @default nothing is logged */
  readonly log?: (level: 'debug' | 'warn', text: string) => void;
}

/** Timeout of requests to other runtimes, in milliseconds. */
const TIMEOUT_MS = 10_000;
/**
 * Time after which the reporter is told 408 for an invitation without an answer, in milliseconds. A later answer is
 * passed on, too.
 */
const INVITE_TIMEOUT_MS = 15_000;
/** Maximum time that `close` waits for others, in milliseconds. */
const CLOSE_TIMEOUT_MS = 2000;

/** The objects of one client. After a `release`, the same address gets a new `Client`. */
interface Client {
  readonly reported: Set<ReportedObject>;
  readonly observed: Set<Address>;
  /** Number of requests in progress. */
  pending: number;
}

const CONNECTION_SCHEME = 'connection';
const SCHEMES: ReadonlyMap<string, string> = new Map([['connection', CONNECTION_SCHEME], ['communication', 'comm'], ['context', 'ctxt']]);
const OTHER_SCHEME = 'data';
const nothing = (): void => undefined;

/** Returns the address scheme for objects of a schema, by the schema's name. */
const schemeOf = (schema: string): string => SCHEMES.get(schema.slice(schema.lastIndexOf('/') + 1).toLowerCase()) ?? OTHER_SCHEME;

/** Only a program's own objects may lead to new domains. */
const causeOf = (origin: Origin | undefined): Cause => (origin?.isProgram === true ? 'program' : 'remote');

const parseAuthorise = (body: Body | undefined): readonly Address[] => {
  const given = body?.['authorise'] ?? [];
  const list: readonly unknown[] = Array.isArray(given) ? given : [given];
  if (list.length > MAX_RECIPIENTS || !list.every(isAddress)) {
    throw new ProtoflyError('E_MESSAGE', `malformed message: authorise is not a list of at most ${String(MAX_RECIPIENTS)} addresses`);
  }
  return [...new Set(list.map(parseAddress))];
};

/**
 * The sync manager, `<runtime>/sm`. Its clients are the programs and stubs of this runtime. Messages to other runtimes
 * follow docs/protocol.md. It answers its clients' requests, and sends them these messages from its own address:
 * - `update` with `resource` = the object and a change;
 * - `update` with `resource` = `<object>/subscription`, `source` and `value: {code, description?}` for the
 *   answer to an invitation;
 * - `delete` when an object has ended.
 */
export class SyncManager {
  readonly #context: SyncContext;
  readonly #domain: string;
  readonly #maxPerClient: number;
  readonly #pool: AddressPool;
  readonly #clients = new Map<Address, Client>();
  readonly #reported = new Map<Address, ReportedObject>();
  readonly #observed = new Map<Address, ObservedObject>();
  /** Operations on foreign objects. Operations on one object run one after the other. */
  readonly #foreign = new SerialQueue<Address>();
  readonly #unlisten: () => void;
  #closing: Promise<void> | undefined;

  constructor(components: SyncComponents, init: SyncManagerInit) {
    const { bus, clock, routes, hosts, signer } = components;
    const address = child(init.runtime, 'sm');
    let sent = 0;
    const nextId = (): string => `sm-${clock.now().toString(36)}-${String(sent++)}`;
    this.#context = {
      bus, clock, routes, hosts, address, nextId,
      ...(signer === undefined ? {} : { signer }),
      timeoutMs: TIMEOUT_MS,
      inviteTimeoutMs: INVITE_TIMEOUT_MS,
      log: init.log ?? nothing,
      isOutside: init.isOutside ?? ((message) => !bus.isLocal(message.from)),
      tell: (client, type, body) => bus.post({ id: nextId(), type, from: address, to: client, body: body ?? {} }),
    };
    this.#domain = init.domain;
    this.#maxPerClient = init.maxPerClient ?? 1000;
    this.#pool = new AddressPool({ routes }, { scheme: CONNECTION_SCHEME, size: init.poolSize ?? 2, onFailure: (thrown) => { this.#failed(thrown); } });
    this.#unlisten = bus.addListener(address, (message, origin) => this.#receive(message, origin));
  }

  get counters(): { readonly reported: number; readonly observed: number; readonly observers: number; readonly pool: number } {
    const all = [...this.#reported.values(), ...this.#observed.values()];
    return { reported: this.#reported.size, observed: this.#observed.size, observers: all.reduce((sum, one) => sum + one.observers, 0), pool: this.#pool.size };
  }

  /** Starts to fill the address pool. Call it when the own domain's message node can be reached. */
  start(): void {
    if (this.#closing === undefined) this.#pool.fill();
  }

  /**
   * Subscribes everything at a domain's message node again, and reads changes that may have been missed. For a new
   * session, in which the node has forgotten the subscriptions.
   * @throws ProtoflyError the first failure, after all others have been tried
   */
  async resubscribe(domain: string): Promise<void> {
    if (this.#closing !== undefined) return;
    if (domain === this.#domain) this.#pool.renew();
    const { routes } = this.#context;
    const reported = [...this.#reported.keys()].filter((url) => domainOf(url) === domain);
    const observed = [...this.#observed.values()].filter(({ url }) => domainOf(url) === domain);
    const results = await Promise.allSettled([
      ...(reported.length === 0 ? [] : [routes.subscribe(reported.flatMap(routesOf))]),
      ...observed.map(async (object) => {
        await routes.subscribe([child(object.url, 'changes')]);
        object.refresh();
      }),
    ]);
    const failed = results.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw asProtoflyError(failed.reason);
  }

  /** Ends everything that a client reported and observed, because the client is gone. Idempotent. */
  async release(owner: Address): Promise<void> {
    for (const object of this.#reported.values()) object.leave(owner);
    const client = this.#clients.get(owner);
    if (client === undefined) return;
    this.#clients.delete(owner);
    await this.#settle([...[...client.reported].map((object) => this.#end(object)), ...[...client.observed].map((url) => this.#leave(owner, url))]);
  }

  /**
   * Ends all objects and observations, and releases all addresses. Idempotent.
   * @param patienceMs maximum time to wait for message nodes, in milliseconds @default `closeTimeoutMs`
   */
  close(patienceMs = CLOSE_TIMEOUT_MS): Promise<void> {
    this.#closing ??= this.#close(patienceMs);
    return this.#closing;
  }

  async #close(patienceMs: number): Promise<void> {
    this.#unlisten();
    for (const object of [...this.#observed.values()]) object.close();
    this.#clients.clear();
    await this.#settle([...[...this.#reported.values()].map((object) => this.#end(object)), this.#foreign.idle(), this.#pool.close()], patienceMs);
  }

  #settle(work: readonly Promise<unknown>[], patienceMs = CLOSE_TIMEOUT_MS): Promise<void> {
    return settled(this.#context.clock, patienceMs, work, (thrown) => { this.#failed(thrown); });
  }

  #failed(thrown: unknown): void {
    this.#context.log('warn', asProtoflyError(thrown).message);
  }

  #receive(message: Message, origin: Origin | undefined): Backpressure {
    if (isResponse(message)) return undefined;
    if (this.#context.isOutside(message, origin)) throw new ProtoflyError('E_REFUSED', 'a sync manager serves the programs of its own runtime');
    const { from, body } = message;
    if (message.type === 'update') {
      const backpressure = this.#mine(from, body).update(parseChange(body).change);
      this.#respond(message, {});
      return backpressure;
    }
    this.#work(message, this.#workOf(message, origin));
    return undefined;
  }

  #workOf(message: Request, origin: Origin | undefined): (client: Client) => Promise<Body> {
    const { type, from, body } = message;
    if (type === 'create') return (client) => this.#create(client, message, origin);
    if (type === 'subscribe') return (client) => this.#subscribe(client, from, addressIn(body, 'resource'), schemaIn(body), causeOf(origin));
    if (type === 'unsubscribe') return () => this.#leave(from, addressIn(body, 'resource')).then(() => ({}));
    if (type === 'delete') return async () => this.#end(this.#mine(from, body)).then(() => ({}));
    throw new ProtoflyError('E_MESSAGE', `a sync manager has no use for ${type}`);
  }

  #respond(message: Request, body: Body): void {
    void this.#context.bus.post(respond(message, 200, body));
  }

  /** Runs a request and answers it. @throws ProtoflyError `E_TOO_MANY` if the client has too many objects */
  #work(message: Request, work: (client: Client) => Promise<Body>): void {
    const client = this.#clients.get(message.from) ?? { reported: new Set(), observed: new Set(), pending: 0 };
    if (client.reported.size + client.observed.size + client.pending >= this.#maxPerClient && message.type !== 'delete' && message.type !== 'unsubscribe') {
      throw new ProtoflyError('E_TOO_MANY', `${message.from} has ${String(this.#maxPerClient)} data objects already`);
    }
    this.#clients.set(message.from, client);
    client.pending += 1;
    const done = work(client).then(
      (body) => { this.#respond(message, body); },
      (thrown: unknown) => { void this.#context.bus.post(refuse(message, asProtoflyError(thrown))); },
    );
    void done.finally(() => {
      client.pending -= 1;
      this.#tidy(message.from, client);
    });
  }

  #tidy(owner: Address, client: Client): void {
    if (client.pending + client.reported.size + client.observed.size === 0 && this.#clients.get(owner) === client) this.#clients.delete(owner);
  }

  /** Checks that the client hasn't been released meanwhile. @throws ProtoflyError `E_ABORTED` */
  #checkPresent(owner: Address, client: Client): void {
    if (this.#clients.get(owner) !== client) throw new ProtoflyError('E_ABORTED', `${owner} is gone`);
  }

  #mine(owner: Address, body: Body | undefined): ReportedObject {
    const url = addressIn(body, 'resource');
    const object = this.#reported.get(url);
    if (object === undefined) throw new ProtoflyError('E_NOT_FOUND', `there is no object ${url} here`);
    if (object.reporter !== owner) throw new ProtoflyError('E_REFUSED', `${owner} isn't the reporter of ${url}`);
    return object;
  }

  async #create(client: Client, message: Request, origin: Origin | undefined): Promise<Body> {
    const { from: reporter, body } = message;
    const schema = schemaIn(body);
    const authorised = parseAuthorise(body);
    const { object: given } = parseSnapshot(body?.value ?? {});
    const scheme = schemeOf(schema);
    const { routes, signer } = this.#context;
    if (causeOf(origin) === 'program') for (const invited of authorised) routes.admit(invited, 'program');
    const object = scheme !== CONNECTION_SCHEME || signer === undefined ? given : makeObject({ ...given.data, ...await signer.sign(reporter, authorised, given.data) });
    const url = scheme === CONNECTION_SCHEME ? await this.#pool.take() : await allocate(routes, scheme);
    try {
      this.#checkPresent(reporter, client);
      const made: ReportedObject = new ReportedObject(this.#context, {
        url, reporter, origin, schema, authorised, object,
        onEnd: () => { this.#end(made).catch((thrown: unknown) => { this.#failed(thrown); }); },
      });
      this.#reported.set(url, made);
      client.reported.add(made);
      // The reporter must hear of its object before the answers to invitations.
      queueMicrotask(() => { made.invite(); });
      return { resource: url, version: 0 };
    } catch (thrown) {
      routes.unsubscribe(routesOf(url)).catch((failure: unknown) => { this.#failed(failure); });
      throw thrown;
    }
  }

  async #end(object: ReportedObject): Promise<void> {
    if (this.#reported.get(object.url) !== object) return;
    this.#reported.delete(object.url);
    this.#clients.get(object.reporter)?.reported.delete(object);
    object.end();
    await this.#context.routes.unsubscribe(routesOf(object.url));
  }

  async #subscribe(client: Client, owner: Address, url: Address, schema: string, cause: Cause): Promise<Body> {
    const own = this.#reported.get(url);
    if (own !== undefined) {
      own.join(owner);
      return { resource: url, value: own.value };
    }
    this.#context.routes.admit(url, cause);
    return this.#foreign.run(url, async () => {
      this.#checkPresent(owner, client);
      const object = this.#observed.get(url) ?? await this.#observe(url);
      try {
        const value = await object.join(owner, schema);
        if (this.#clients.get(owner) !== client) object.leave(owner);
        this.#checkPresent(owner, client);
        client.observed.add(url);
        return { resource: url, value };
      } finally {
        if (object.observers === 0) object.end();
      }
    });
  }

  /** Starts a copy. Subscribes to changes before it asks the reporter's side, so that none is missed. */
  async #observe(url: Address): Promise<ObservedObject> {
    const { routes } = this.#context;
    const changes = [child(url, 'changes')];
    const object: ObservedObject = new ObservedObject(this.#context, {
      url,
      onEnd: () => {
        if (this.#observed.get(url) === object) this.#observed.delete(url);
        for (const [owner, client] of this.#clients) {
          client.observed.delete(url);
          this.#tidy(owner, client);
        }
        this.#foreign.run(url, () => routes.unsubscribe(changes)).catch((thrown: unknown) => { this.#failed(thrown); });
      },
    });
    this.#observed.set(url, object);
    try {
      await routes.subscribe(changes);
    } catch (thrown) {
      object.end();
      throw thrown;
    }
    return object;
  }

  async #leave(owner: Address, url: Address): Promise<void> {
    const own = this.#reported.get(url);
    if (own !== undefined) { own.leave(owner); return; }
    await this.#foreign.run(url, async () => {
      this.#clients.get(owner)?.observed.delete(url);
      const object = this.#observed.get(url);
      object?.leave(owner);
      if (object?.observers === 0) object.end();
      return Promise.resolve();
    });
    // Ending the copy may have queued another operation.
    await this.#foreign.idle(url);
  }
}
