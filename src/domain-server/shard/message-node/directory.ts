import { isDeepStrictEqual } from 'node:util';
import { Shares } from '../../../kit/shares.js';
import { ProtoflyError, isWithin, parentOf, partsOf, runtimeOf, type Address } from '../../../protocol/index.js';
import type { Collection, Store } from '../../../store/store.js';
import { digest, keyOf } from '../keys.js';
import { ANYBODY, type Standing } from '../members/standing.js';
import type { NodeLimits } from './limits.js';
import { Session, type SessionComponents } from './session.js';

interface SessionEntry { readonly runtime: Address; readonly tokenHash: string; readonly standing?: Standing }

/** The properties of a session to be opened. */
export interface SessionOpening {
  readonly runtime: Address;
  /** SHA-256 of its token, in hex. */
  readonly tokenHash: string;
  readonly holder?: string | undefined;
  /** @default ANYBODY */
  readonly standing?: Standing;
}

interface AllocationEntry { readonly address: Address; readonly runtime: Address; readonly key?: string }
interface SubscriptionEntry { readonly address: Address; readonly runtime: Address; readonly subscriber: Address }

/** Subscriptions of one session by store key. */
type Subscriptions = ReadonlyMap<string, { readonly address: Address; readonly subscriber: Address }>;

interface Allocation { readonly session: Session; readonly key: string | undefined }

export interface DirectoryComponents {
  readonly store: Store;
  readonly session: Omit<SessionComponents, 'limits'>;
  readonly limits: NodeLimits;
  /** Called after addresses were allocated to a session. */
  readonly onAllocated: (session: Session, addresses: readonly Address[]) => void;
}

/**
 * Maps addresses to sessions: allocations and subscriptions. In memory for routing, and in the store for a restart.
 * Changes of addresses are visible at once; their promises resolve when they are durable. A change that can't be written
 * is undone: what it touched becomes as it is in the store.
 */
export class Directory {
  readonly #store: Store;
  readonly #limits: NodeLimits;
  readonly #components: SessionComponents;
  readonly #onAllocated: DirectoryComponents['onAllocated'];
  readonly #sessions = new Map<Address, Session>();
  readonly #allocated = new Map<Address, Allocation>();
  readonly #subscribed = new Map<Address, Map<Session, Set<Address>>>();
  readonly #sessionEntries: Collection<SessionEntry>;
  readonly #allocationEntries: Collection<AllocationEntry>;
  readonly #subscriptionEntries: Collection<SubscriptionEntry>;
  readonly #sessionShares: Shares;
  readonly #addressShares: Shares;
  readonly #subscriptionShares: Shares;

  constructor({ store, session, limits, onAllocated }: DirectoryComponents) {
    this.#onAllocated = onAllocated;
    this.#store = store;
    this.#limits = limits;
    this.#sessionShares = new Shares({ most: limits.sessions, part: limits.sharePerAddress });
    this.#addressShares = new Shares({ most: limits.allocations, part: limits.sharePerAddress });
    this.#subscriptionShares = new Shares({ most: limits.subscriptions, part: limits.sharePerAddress });
    this.#components = { ...session, limits };
    this.#sessionEntries = store.collection('sessions');
    this.#allocationEntries = store.collection('allocations');
    this.#subscriptionEntries = store.collection('subscriptions');
  }

  get counts(): { readonly sessions: number; readonly addresses: number; readonly subscriptions: number } {
    return { sessions: this.#sessions.size, addresses: this.#allocated.size, subscriptions: this.#subscriptionShares.total };
  }

  /** The requests refused since the start because their remote address had its share. */
  get refused(): { readonly sessions: number; readonly addresses: number; readonly subscriptions: number } {
    return { sessions: this.#sessionShares.refused, addresses: this.#addressShares.refused, subscriptions: this.#subscriptionShares.refused };
  }

  get sessions(): Iterable<Session> {
    return this.#sessions.values();
  }

  /** Loads the state from the store. Every session waits for its runtime. */
  load(): void {
    for (const [, { runtime, tokenHash, standing }] of this.#sessionEntries.entries()) {
      this.#insert(new Session(this.#components, { runtime, tokenHash, standing }));
    }
    for (const [, { address, runtime, key }] of this.#allocationEntries.entries()) {
      const session = this.#sessions.get(runtime);
      if (session !== undefined) this.#allocate(session, address, key);
    }
    for (const [key, { address, runtime, subscriber }] of this.#subscriptionEntries.entries()) {
      const session = this.#sessions.get(runtime);
      if (session !== undefined) this.#subscribe(session, key, address, subscriber);
    }
  }

  session(runtime: Address): Session | undefined {
    return this.#sessions.get(runtime);
  }

  /**
   * Opens a session, or gives an existing one a new token, once that is durable. Its allocations stay, marked as
   * inherited, since the runtime may have restarted. Its subscriptions end, since the subscribers may be gone.
   * @throws ProtoflyError `E_TOO_MANY`; `E_STORE`, with everything as before
   */
  async open(opening: SessionOpening): Promise<Session> {
    const { runtime, tokenHash, standing = ANYBODY } = opening;
    const session = this.#sessions.get(runtime) ?? this.#add(opening);
    const subscriptions = new Map(session.subscriptions);
    await this.#write(() => {
      for (const key of subscriptions.keys()) void this.#subscriptionEntries.delete(key);
      void this.#sessionEntries.put(keyOf(runtime), { runtime, tokenHash, standing });
    }, () => {
      const entry = this.#sessionEntries.get(keyOf(runtime));
      if (entry !== undefined) session.tokenHash = entry.tokenHash;
      else if (this.#sessions.get(runtime) === session) {
        this.#delete(session);
        session.end();
      }
    });
    // The session has ended in the meantime.
    if (this.#sessions.get(runtime) !== session) return this.open(opening);
    session.tokenHash = tokenHash;
    session.standing = standing;
    for (const address of session.allocations) session.inherited.add(address);
    this.#restoreSubscriptions(session, subscriptions);
    return session;
  }

  /** Changes what a session may do. Writes nothing if it stays the same. @throws ProtoflyError `E_STORE`, with everything as before */
  async stand(session: Session, standing: Standing): Promise<void> {
    if (isDeepStrictEqual(session.standing, standing)) return;
    const key = keyOf(session.runtime);
    await this.#store.transaction(() => {
      // The token stays as it is in the store: another connection may be opening the session anew.
      const entry = this.#sessionEntries.get(key);
      if (entry !== undefined) void this.#sessionEntries.put(key, { ...entry, standing });
    });
    session.standing = standing;
  }

  /**
   * Removes a session with its allocations and subscriptions. The caller ends the session.
   * @returns false if it isn't there any more
   * @throws ProtoflyError `E_STORE`, with everything as before
   */
  async remove(session: Session): Promise<boolean> {
    const { runtime } = session;
    if (this.#sessions.get(runtime) !== session) return false;
    const [allocations, subscriptions] = [[...session.allocations], new Map(session.subscriptions)];
    this.#delete(session);
    for (const address of allocations) this.#release(session, address);
    for (const { address, subscriber } of subscriptions.values()) this.#unsubscribe(session, address, subscriber);
    try {
      await this.#store.transaction(() => {
        void this.#sessionEntries.delete(keyOf(runtime));
        for (const address of allocations) void this.#allocationEntries.delete(keyOf(address));
        for (const key of subscriptions.keys()) void this.#subscriptionEntries.delete(key);
      });
    } catch (thrown) {
      // If the runtime has opened another session in the meantime, that one gets the addresses.
      const isReplaced = this.#sessions.has(runtime);
      if (!isReplaced) this.#insert(session);
      this.#restoreAllocations(allocations);
      this.#restoreSubscriptions(this.#sessions.get(runtime) ?? session, subscriptions);
      if (!isReplaced) throw thrown;
    }
    return true;
  }

  ownerOf(address: Address): Session | undefined {
    return this.#allocated.get(address)?.session;
  }

  /**
   * Counts a session, with its addresses and subscriptions, among the shares of another holder, because its client is
   * there now. It stays with the old one if the new one has no room.
   */
  move(session: Session, holder: string | undefined): void {
    if (session.holder === holder || this.#sessions.get(session.runtime) !== session) return;
    const amounts = [[this.#sessionShares, 1], [this.#addressShares, session.allocations.size], [this.#subscriptionShares, session.subscriptions.size]] as const;
    if (amounts.some(([shares, amount]) => shares.excess(holder, amount) > 0)) return;
    for (const [shares, amount] of amounts) {
      shares.add(session.holder, -amount);
      shares.add(holder, amount);
    }
    session.holder = holder;
  }

  /** True if the address, or an address above it, is allocated to the session. */
  owns(session: Session, address: Address): boolean {
    for (let at: Address | undefined = address; at !== undefined; at = parentOf(at)) {
      if (this.#allocated.get(at)?.session !== session) continue;
      session.inherited.delete(at);
      return true;
    }
    return false;
  }

  /** True if the address, or an address above it, is allocated to another session. */
  #isTaken(session: Session, address: Address): boolean {
    for (let at: Address | undefined = address; at !== undefined; at = parentOf(at)) {
      const owner = this.ownerOf(at);
      if (owner !== undefined && owner !== session) return true;
    }
    return false;
  }

  /** Returns the addresses that a session allocated with an allocation key. */
  allocatedUnder(session: Session, key: string): Address[] {
    return [...session.allocations].filter((address) => this.#allocated.get(address)?.key === key);
  }

  /** Allocates all addresses or none. @throws ProtoflyError `E_TOO_MANY`, `E_CONFLICT`, `E_STORE` */
  async allocate(session: Session, addresses: readonly Address[], key?: string): Promise<void> {
    this.#checkPresent(session);
    const others = addresses.filter((address) => this.#allocated.get(address)?.session !== session);
    const taken = others.find((address) => this.#isTaken(session, address));
    if (taken !== undefined) throw new ProtoflyError('E_CONFLICT', `${taken} is somebody else's`);
    for (const address of addresses) session.inherited.delete(address);
    const dropped = this.#makeRoom(session, others.length);
    const evicted = others.flatMap((address) => this.#strangersAt(session, address));
    for (const address of dropped) this.#release(session, address);
    for (const address of others) this.#allocate(session, address, key);
    for (const { session: stranger, address, subscriber } of evicted) this.#unsubscribe(stranger, address, subscriber);
    await this.#write(() => {
      for (const address of dropped) void this.#allocationEntries.delete(keyOf(address));
      for (const address of others) void this.#allocationEntries.put(keyOf(address), { address, runtime: session.runtime, ...(key === undefined ? {} : { key }) });
      for (const { storeKey } of evicted) void this.#subscriptionEntries.delete(storeKey);
    }, () => {
      this.#restoreAllocations([...others, ...dropped]);
      for (const { session: stranger, address, subscriber, storeKey } of evicted) this.#restoreSubscriptions(stranger, new Map([[storeKey, { address, subscriber }]]));
    });
    const own = others.filter((address) => this.#allocated.get(address)?.session === session);
    if (own.length > 0) this.#onAllocated(session, own);
  }

  /** Releases those of the addresses that belong to the session. @throws ProtoflyError `E_STORE` */
  async release(session: Session, addresses: readonly Address[]): Promise<void> {
    const own = addresses.filter((address) => this.#allocated.get(address)?.session === session);
    for (const address of own) this.#release(session, address);
    await this.#write(() => {
      for (const address of own) void this.#allocationEntries.delete(keyOf(address));
    }, () => { this.#restoreAllocations(own); });
  }

  /** Subscribes to all addresses or none. @throws ProtoflyError `E_REFUSED`, `E_TOO_MANY`, `E_STORE` */
  async subscribe(session: Session, addresses: readonly Address[], subscriber: Address): Promise<void> {
    this.#checkPresent(session);
    const refused = addresses.find((address) => this.#isPrivate(session, address));
    if (refused !== undefined) throw new ProtoflyError('E_REFUSED', `what is sent to ${refused} is for its owner alone`);
    const fresh: Subscriptions = new Map(addresses.map((address) => [subscriptionKey(session, address, subscriber), { address, subscriber }] as const).filter(([key]) => !session.subscriptions.has(key)));
    if (session.subscriptions.size + fresh.size > this.#limits.subscriptionsPerSession || !this.#subscriptionShares.hasRoom(fresh.size)) {
      throw new ProtoflyError('E_TOO_MANY', 'too many subscriptions');
    }
    if (!this.#subscriptionShares.allows(session.holder, fresh.size)) throw new ProtoflyError('E_TOO_MANY', `${String(session.holder)} has its share of this domain's subscriptions already`);
    for (const [key, { address }] of fresh) this.#subscribe(session, key, address, subscriber);
    await this.#write(() => {
      for (const [key, { address }] of fresh) void this.#subscriptionEntries.put(key, { address, runtime: session.runtime, subscriber });
    }, () => { this.#restoreSubscriptions(session, fresh); });
  }

  /**
   * Ends the subscriptions of `subscriber`. For an address without one, ends all subscriptions of the session.
   * @throws ProtoflyError `E_STORE`
   */
  async unsubscribe(session: Session, addresses: readonly Address[], subscriber: Address): Promise<void> {
    const gone: Subscriptions = new Map(addresses.flatMap((address) => {
      const subscribers = this.#subscribed.get(address)?.get(session);
      const leaving = subscribers === undefined ? [] : subscribers.has(subscriber) ? [subscriber] : [...subscribers];
      return leaving.map((one) => [subscriptionKey(session, address, one), { address, subscriber: one }] as const);
    }));
    for (const { address, subscriber: one } of gone.values()) this.#unsubscribe(session, address, one);
    await this.#write(() => {
      for (const key of gone.keys()) void this.#subscriptionEntries.delete(key);
    }, () => { this.#restoreSubscriptions(session, gone); });
  }

  /** Returns the sessions that receive messages to exactly this address. */
  receiversOf(address: Address): Set<Session> {
    const receivers = new Set(this.#subscribed.get(address)?.keys());
    const owner = this.ownerOf(address);
    if (owner !== undefined) receivers.add(owner);
    return receivers;
  }

  /** Returns the session of the runtime that an address lies below. */
  runtimeSession(address: Address): Session | undefined {
    const runtime = runtimeOf(address);
    return runtime === undefined ? undefined : this.#sessions.get(runtime);
  }

  /**
   * True if other sessions may not subscribe: the address of a hyperty or component, or one that takes subscription
   * requests. Below another runtime, only the registry's publications about that runtime itself are public.
   */
  #isPrivate(session: Session, address: Address): boolean {
    const { scheme, path } = partsOf(address);
    const last = path.slice(path.lastIndexOf('/') + 1);
    if (scheme === 'hyperty-runtime') return !isWithin(address, session.runtime) && path.slice(path.indexOf('/') + 1) !== 'registration';
    if (scheme !== 'hyperty' && last !== 'subscription') return false;
    const owner = this.ownerOf(address) ?? (last === 'subscription' ? this.ownerOf(parentOf(address) ?? address) : undefined);
    return owner !== undefined && owner !== session;
  }

  /** Returns the subscriptions of other sessions that end when `address` gets an owner. */
  #strangersAt(owner: Session, address: Address): { session: Session; address: Address; subscriber: Address; storeKey: string }[] {
    const places = partsOf(address).scheme === 'hyperty' ? [address, `${address}/subscription` as Address] : [`${address}/subscription` as Address];
    return places.flatMap((place) => [...(this.#subscribed.get(place) ?? [])]
      .filter(([session]) => session !== owner)
      .flatMap(([session, subscribers]) => [...subscribers].map((subscriber) => ({ session, address: place, subscriber, storeKey: subscriptionKey(session, place, subscriber) }))));
  }

  /** Chooses inherited addresses to release, so that `more` fit. @throws ProtoflyError `E_TOO_MANY` */
  #makeRoom(session: Session, more: number): Address[] {
    const over = Math.max(session.allocations.size + more - this.#limits.allocationsPerSession, this.#allocated.size + more - this.#limits.allocations, this.#addressShares.excess(session.holder, more));
    if (over <= 0) return [];
    if (over > session.inherited.size && !this.#addressShares.allows(session.holder, more)) throw new ProtoflyError('E_TOO_MANY', `${String(session.holder)} has its share of this domain's addresses already`);
    if (over > session.inherited.size) throw new ProtoflyError('E_TOO_MANY', 'too many addresses are allocated');
    return [...session.inherited].slice(0, over);
  }

  #allocate(session: Session, address: Address, key: string | undefined): void {
    this.#allocated.set(address, { session, key });
    session.allocations.add(address);
    this.#addressShares.add(session.holder, 1);
  }

  #release(session: Session, address: Address): void {
    if (!session.allocations.delete(address)) return;
    this.#allocated.delete(address);
    this.#addressShares.add(session.holder, -1);
    session.inherited.delete(address);
  }

  #subscribe(session: Session, key: string, address: Address, subscriber: Address): void {
    let sessions = this.#subscribed.get(address);
    if (sessions === undefined) this.#subscribed.set(address, sessions = new Map());
    const subscribers = sessions.get(session);
    if (subscribers === undefined) sessions.set(session, new Set([subscriber]));
    else subscribers.add(subscriber);
    session.subscriptions.set(key, { address, subscriber });
    this.#subscriptionShares.add(session.holder, 1);
  }

  #unsubscribe(session: Session, address: Address, subscriber: Address): void {
    const key = subscriptionKey(session, address, subscriber);
    if (!session.subscriptions.delete(key)) return;
    this.#subscriptionShares.add(session.holder, -1);
    const sessions = this.#subscribed.get(address);
    const subscribers = sessions?.get(session);
    subscribers?.delete(subscriber);
    if (subscribers?.size === 0) sessions?.delete(session);
    if (sessions?.size === 0) this.#subscribed.delete(address);
  }

  /** Writes a change, and calls `undo` if it can't be written. @throws ProtoflyError `E_STORE` */
  async #write(change: () => void, undo: () => void): Promise<void> {
    try {
      await this.#store.transaction(change);
    } catch (thrown) {
      undo();
      throw thrown;
    }
  }

  /** @throws ProtoflyError `E_TOO_MANY` */
  #add({ runtime, tokenHash, holder, standing }: SessionOpening): Session {
    if (!this.#sessionShares.hasRoom(1)) throw new ProtoflyError('E_TOO_MANY', `this message node has ${String(this.#sessions.size)} sessions already`);
    if (!this.#sessionShares.allows(holder, 1)) throw new ProtoflyError('E_TOO_MANY', `${String(holder)} has its share of this domain's sessions already`);
    const session = new Session(this.#components, { runtime, tokenHash, holder, standing });
    this.#insert(session);
    return session;
  }

  #insert(session: Session): void {
    this.#sessions.set(session.runtime, session);
    this.#sessionShares.add(session.holder, 1);
  }

  #delete(session: Session): void {
    this.#sessions.delete(session.runtime);
    this.#sessionShares.add(session.holder, -1);
  }

  /** @throws ProtoflyError `E_UNAUTHENTICATED` if the session has been removed */
  #checkPresent(session: Session): void {
    if (this.#sessions.get(session.runtime) !== session) throw new ProtoflyError('E_UNAUTHENTICATED', `the session of ${session.runtime} has ended`);
  }

  /** Makes these addresses belong to the session that they have in the store. */
  #restoreAllocations(addresses: readonly Address[]): void {
    for (const address of addresses) {
      const entry = this.#allocationEntries.get(keyOf(address));
      const session = entry === undefined ? undefined : this.#sessions.get(entry.runtime);
      const now = this.#allocated.get(address);
      if (now !== undefined && now.session !== session) this.#release(now.session, address);
      if (session === undefined || entry === undefined || now?.session === session) continue;
      this.#allocate(session, address, entry.key);
      // The runtime has no use for it, or asks for it again.
      session.inherited.add(address);
    }
  }

  /** Makes the session subscribed to these addresses exactly if it is in the store. */
  #restoreSubscriptions(session: Session, subscriptions: Subscriptions): void {
    const isPresent = this.#sessions.get(session.runtime) === session;
    for (const [key, { address, subscriber }] of subscriptions) {
      if (!isPresent || this.#subscriptionEntries.get(key) === undefined) this.#unsubscribe(session, address, subscriber);
      else if (!session.subscriptions.has(key)) this.#subscribe(session, key, address, subscriber);
    }
  }
}

const subscriptionKey = (session: Session, address: Address, subscriber: Address): string => `${digest(session.runtime)} ${digest(address)} ${digest(subscriber)}`;
