import { receivedVia, type MessageBus } from '../../bus/index.js';
import {
  asProtoflyError, catalogueAddress, child, DEFAULT_EXPIRES, DELIVERY, domainOf, isAddress, isWithin, ProtoflyError, registryAddress, type Address, type Clock, type RegistryRecord, type Timer,
} from '../../protocol/index.js';
import type { Collection, Store } from '../../store/index.js';
import type { Receipts } from '../delivery/index.js';
import type { UserIdentity } from '../identity/index.js';
import { Inbox, type KeptCheckpoint, type Stored } from './inbox/index.js';
import type { P2pOffer } from '../p2p/p2p-handler.js';
import type { MessageNodes } from '../nodes/message-nodes.js';
import { slicesOf } from '../nodes/slices.js';
import type { RecordSigner } from './record-signer.js';
import { UserRecord } from './user-record.js';

/** The registration of a program. */
export interface HypertySpec {
  readonly name: string;
  readonly resources?: readonly string[];
  readonly dataSchemes?: readonly string[];
  /** True if the hyperty reaches others, and is reached, over P2P. @default true */
  readonly p2p?: boolean;
}

interface Kept extends Required<HypertySpec> {
  readonly url: Address;
}

export interface HypertiesComponents {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly store: Store;
  readonly nodes: MessageNodes;
  /** Has the P2P fields of records, if this runtime has a P2P handler. */
  readonly connections: { readonly offer: P2pOffer | undefined };
  readonly identity: Pick<UserIdentity, 'user' | 'certificate' | 'device'>;
  readonly receipts: Receipts;
  readonly signer: RecordSigner;
  /** True if the last quarter of an inbox isn't for a sender. */
  readonly isGuest: (from: Address) => boolean;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface HypertiesInit {
  readonly runtime: Address;
  readonly domain: string;
  readonly guid: Address;
}

/** A hyperty of this runtime. */
export interface Hyperty extends Kept {
  readonly inbox: Inbox;
  /** True if the domain registry has its record. */
  registered: boolean;
}

/** Maximum number of hyperties registered or kept alive at a time, because requests to the registry time out. */
const AT_A_TIME = 50;

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** The hyperties of this runtime: registers them with the domain, keeps them registered, and holds their inboxes. */
export class Hyperties {
  readonly #components: HypertiesComponents;
  readonly #init: HypertiesInit;
  readonly #kept: Collection<Kept>;
  readonly #byName = new Map<string, Hyperty>();
  readonly #byUrl = new Map<Address, Hyperty>();
  readonly #removers = new Map<Address, () => void>();
  readonly #userRecord: UserRecord;
  #keepAlive: Timer | undefined;
  #closed = false;

  constructor(components: HypertiesComponents, init: HypertiesInit) {
    this.#components = components;
    this.#init = init;
    this.#kept = components.store.collection('hyperties');
    this.#userRecord = new UserRecord(components, init);
    for (const [, kept] of this.#kept.entries()) if (domainOf(kept.url) === init.domain) this.#add(kept);
    this.#scheduleKeepAlive();
  }

  get size(): number {
    return this.#byUrl.size;
  }

  /** True if the domain has a record of every hyperty. */
  get allRegistered(): boolean {
    return [...this.#byUrl.values()].every(({ registered }) => registered);
  }

  /** Finds a hyperty by name or address. */
  find(what: string): Hyperty | undefined {
    return this.#byName.get(what) ?? this.#byUrl.get(what as Address);
  }

  all(): Hyperty[] {
    return [...this.#byUrl.values()];
  }

  /**
   * Allocates an address and registers it. It stays registered until `unregister`, over restarts.
   * @throws ProtoflyError `E_USAGE`, `E_CONFLICT`, `E_UNREACHABLE`, or the domain's refusal
   */
  async register(spec: HypertySpec): Promise<Hyperty> {
    const { name, resources = [], dataSchemes = [], p2p = true } = checked(spec);
    if (this.#byName.has(name)) throw new ProtoflyError('E_CONFLICT', `${name} is registered already, as ${this.#byName.get(name)!.url}`, { hint: `protofly hyperty unregister ${name}` });
    if (this.#components.nodes.isAway(this.#init.domain)) {
      throw new ProtoflyError('E_UNREACHABLE', `${this.#init.domain} can't be reached now, and has to give the address`, { hint: 'see protofly runtime status' });
    }
    const [url] = await this.#components.nodes.allocate('hyperty');
    if (this.#byName.has(name)) throw new ProtoflyError('E_CONFLICT', `${name} is being registered already`);
    const kept: Kept = { name, url: url!, resources, dataSchemes, p2p };
    const hyperty = this.#add(kept);
    try {
      await this.#announce(hyperty);
      await this.#kept.put(hyperty.url, kept);
    } catch (thrown) {
      this.#remove(hyperty);
      throw thrown;
    }
    return hyperty;
  }

  /** Registers all hyperties again in a new session of the message node. */
  async renew(): Promise<void> {
    const hyperties = this.all();
    for (const hyperty of hyperties) hyperty.registered = false;
    await Promise.all([this.#userRecord.announce(), this.#components.nodes.claim(hyperties.map(({ url }) => url))]);
    for (const some of slicesOf(hyperties, AT_A_TIME)) await Promise.all(some.map((hyperty) => this.#announce(hyperty)));
  }

  /**
   * Unregisters a hyperty.
   * @returns the number of waiting messages that were discarded
   * @throws ProtoflyError `E_NOT_FOUND`
   */
  async unregister(what: string): Promise<number> {
    const hyperty = this.find(what);
    if (hyperty === undefined) throw notHere(what);
    const { bus, nodes, log } = this.#components;
    await this.#kept.delete(hyperty.url);
    this.#remove(hyperty);
    const discarded = await hyperty.inbox.discard();
    try {
      await bus.ask({ type: 'update', from: this.#registry, to: registryAddress(this.#init.domain), body: { resource: hyperty.url, attribute: 'status', value: 'disconnected' } });
      await nodes.release([hyperty.url]);
    } catch (thrown) {
      // It is gone here; at the domain, its record expires.
      log('warn', `${hyperty.url} is unregistered here, but the domain wasn't told: ${asProtoflyError(thrown).message}`);
    }
    return discarded;
  }

  /** Returns all hyperties as docs/control.md describes them. */
  list(): Record<string, unknown>[] {
    return this.all().map(({ url, name, resources, dataSchemes, p2p, registered, inbox }) => ({
      url, name, user: this.#components.identity.user, resources, dataSchemes, p2p, status: registered ? 'live' : 'created', attached: inbox.attached, inbox: inbox.waiting,
    }));
  }

  /** Returns who sends from an address of this runtime. */
  senderAt(address: Address): { readonly address: Address; readonly user: Address; readonly name?: string } | undefined {
    const { user } = this.#components.identity;
    const own = this.#byUrl.get(address);
    if (own !== undefined) return { address, user, name: own.name };
    return isWithin(address, this.#init.runtime) ? { address, user } : undefined;
  }

  /** Returns the record of a hyperty as the domain has it. */
  record({ url, name, resources, dataSchemes, p2p }: Kept): RegistryRecord {
    const { runtime, domain, guid } = this.#init;
    const { user, certificate } = this.#components.identity;
    return {
      url, user, guid, name, runtime, resources, dataSchemes, certificate,
      descriptor: catalogueAddress(domain, 'hyperty', 'program'),
      status: 'live', expires: DEFAULT_EXPIRES, delivery: DELIVERY,
      ...(p2p ? this.#components.connections.offer : {}),
    };
  }

  close(): void {
    this.#closed = true;
    this.#keepAlive?.cancel();
    for (const { inbox } of this.#byUrl.values()) inbox.close();
  }

  get #registry(): Address {
    return child(this.#init.runtime, 'registry');
  }

  #add(kept: Kept): Hyperty {
    const { bus, clock, store, receipts, isGuest, log } = this.#components;
    const inbox = new Inbox({
      stored: store.collection<Stored>('inbox'), positions: store.collection<KeptCheckpoint>('positions'), clock, receipts, isGuest, log,
      reply: (response) => { void bus.post(response); },
    }, { address: kept.url });
    const hyperty: Hyperty = { ...kept, inbox, registered: false };
    this.#byName.set(kept.name, hyperty);
    this.#byUrl.set(kept.url, hyperty);
    this.#removers.set(kept.url, bus.addListener(kept.url, (message, origin) => { inbox.receive(message, receivedVia(origin)); }));
    return hyperty;
  }

  #remove(hyperty: Hyperty): void {
    this.#removers.get(hyperty.url)?.();
    this.#removers.delete(hyperty.url);
    this.#byName.delete(hyperty.name);
    this.#byUrl.delete(hyperty.url);
    this.#components.signer.forget(hyperty.url);
    hyperty.inbox.close();
  }

  async #announce(hyperty: Hyperty): Promise<void> {
    try {
      await this.#register(hyperty);
    } catch (thrown) {
      if (asProtoflyError(thrown).code !== 'E_ROLLBACK') throw thrown;
      // Another announcement has overtaken this one. The next signature is newer than both.
      this.#components.signer.forget(hyperty.url);
      await this.#register(hyperty);
    }
  }

  async #register(hyperty: Hyperty): Promise<void> {
    const { bus, signer } = this.#components;
    const value = await signer.sign(this.record(hyperty));
    // It may have been unregistered meanwhile.
    if (this.#byUrl.get(hyperty.url) !== hyperty) return;
    await bus.ask({ type: 'create', from: this.#registry, to: registryAddress(this.#init.domain), body: { value } });
    hyperty.registered = true;
  }

  #scheduleKeepAlive(): void {
    const seconds = DEFAULT_EXPIRES / 3;
    this.#keepAlive = this.#components.clock.setTimeout(() => {
      void this.#touchAll().finally(() => { if (!this.#closed) this.#scheduleKeepAlive(); });
    }, seconds * 1000);
  }

  async #touchAll(): Promise<void> {
    await this.#userRecord.touch();
    for (const some of slicesOf(this.all(), AT_A_TIME)) {
      await Promise.all(some.filter(({ registered }) => registered).map((hyperty) => this.#touch(hyperty)));
    }
  }

  async #touch(hyperty: Hyperty): Promise<void> {
    const { bus, log, signer } = this.#components;
    const response = signer.isOld(hyperty.url) ? undefined : await bus.request({ type: 'update', from: this.#registry, to: registryAddress(this.#init.domain), body: { resource: hyperty.url } });
    if (response !== undefined && response.body.code !== 404) return;
    // The registry has lost the record, or its signature is old: register it once more.
    this.#announce(hyperty).catch((thrown: unknown) => { log('warn', `${hyperty.url} not registered again: ${asProtoflyError(thrown).message}`); });
  }
}

/** Validates a registration. @throws ProtoflyError `E_USAGE` */
const checked = (spec: HypertySpec): HypertySpec => {
  const { name, resources = [], dataSchemes = [], p2p } = spec;
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw new ProtoflyError('E_USAGE', `${JSON.stringify(name)} can't be a hyperty's name`, { hint: 'letters, digits, dots, dashes and underscores, at most 64' });
  }
  for (const list of [resources, dataSchemes]) {
    if (!Array.isArray(list) || list.length > 100 || !list.every((word) => typeof word === 'string' && word.length > 0 && word.length <= 256)) {
      throw new ProtoflyError('E_USAGE', 'resources and data schemes are lists of short words');
    }
  }
  if (p2p !== undefined && typeof p2p !== 'boolean') throw new ProtoflyError('E_USAGE', 'p2p is true or false');
  return spec;
};

export const notHere = (what: string): ProtoflyError =>
  new ProtoflyError('E_NOT_FOUND', `this runtime has no hyperty ${isAddress(what) ? what : JSON.stringify(what)}`, { hint: 'protofly hyperty list shows those it has' });
