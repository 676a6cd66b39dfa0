import type { MessageBus } from '../../bus/index.js';
import {
  asProtoflyError, child, domainOf, formatAddress, isAddress, isSuccess, parseAddress, parseRecord, partsOf, ProtoflyError, registryAddress, responseError, runtimeOf,
  type Address, type Cause, type Clock, type RegistryRecord,
} from '../../protocol/index.js';
import type { Collection } from '../../store/index.js';
import { isVerified, signedIn } from '../../security/signed-record.js';
import { RecordChecks, type RecordChecksComponents } from './record-checks.js';

export interface Cached {
  readonly record: RegistryRecord;
  /** Time of the lookup, in steady time. */
  readonly at: number;
  /** True if the record proved wrong. It only shows then which serials were seen. @default false */
  readonly isForgotten?: boolean;
}

/** Search criteria for a domain's registry, all of which must match. */
export interface Criteria {
  /** A user's name or address. */
  readonly user?: string;
  readonly name?: string;
  readonly resources?: readonly string[];
  readonly dataSchemes?: readonly string[];
  /** @default the runtime's own */
  readonly domain?: string;
}

export interface RecordsComponents {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly cache: Collection<Cached>;
  /** The message nodes. While one is away, the cached records of its domain are used. */
  readonly nodes: { isAway(domain: string): boolean };
  /** The domains whose registries may be asked. */
  readonly named: { admit(domain: string, cause: Cause): void };
  readonly users: RecordChecksComponents['users'];
  readonly log: (level: 'warn', text: string) => void;
}

export interface RecordsInit {
  readonly runtime: Address;
  readonly domain: string;
  /** The runtime's own user, to which a bare hyperty name belongs. */
  readonly user: Address;
}

/** Time that a cached record is used without asking again, in milliseconds. */
const FRESH_MS = 60_000;
/** Time that a missing record isn't asked for again, in milliseconds. */
const MISSING_MS = 2000;
/** Maximum number of remembered addresses without a record. */
const MAX_MISSING = 10_000;
/** Maximum length of an address that is cached on disk: a store's keys are limited. */
const MAX_KEPT_LENGTH = 400;
/** Timeout of a request to a registry that is away, in milliseconds. */
const AWAY_MS = 2000;
/** Timeout of a request while an old record is cached, in milliseconds: a sender waits for it. */
const OLD_MS = 1000;
/** Time that the old record is then used without asking again, in milliseconds. */
const AGAIN_MS = 5000;
/** Maximum number of parsed records in memory. */
const MAX_AT_HAND = 10_000;
/** Maximum number of records on disk. */
const MAX_KEPT = 50_000;
/** Number of records that are removed from disk when there are too many. */
const REMOVED = 1000;
/** Maximum number of responses to one search. */
const MAX_PAGES = 20;
/** Maximum number of records taken from one response, and the size of all of them, in UTF-16 code units. */
const MAX_PER_PAGE = 1000;
const MAX_PAGE = 8 * 1024 * 1024;

/** Refusals of a record that also end what an older one said. */
const NO_LONGER: ReadonlySet<string> = new Set(['E_REMOVED', 'E_EXPIRED']);

/** Looks up the records of remote addresses in domain registries, and caches them. */
export class Records {
  readonly #bus: MessageBus;
  readonly #clock: Clock;
  readonly #cache: Collection<Cached>;
  readonly #nodes: RecordsComponents['nodes'];
  readonly #named: RecordsComponents['named'];
  readonly #log: RecordsComponents['log'];
  readonly #init: Required<RecordsInit>;
  readonly #checks: RecordChecks;
  /** Parsed cache entries. Parsing one costs more than the rest of a message's routing. */
  readonly #atHand = new Map<Address, Cached>();
  readonly #missing = new Map<Address, number>();
  readonly #asking = new Map<Address, Promise<RegistryRecord | undefined>>();

  constructor({ bus, clock, cache, nodes, named, users, log }: RecordsComponents, init: RecordsInit) {
    this.#bus = bus;
    this.#clock = clock;
    this.#cache = cache;
    this.#nodes = nodes;
    this.#named = named;
    this.#log = log;
    this.#init = init;
    this.#checks = new RecordChecks({ clock, users });
  }

  /** Returns the cached record if it is fresh; null if it is known that there is none. */
  known(address: Address): RegistryRecord | null | undefined {
    const cached = this.#cached(address);
    const now = this.#clock.now();
    if (cached !== undefined && now - cached.at < FRESH_MS) return cached.record;
    const missing = this.#missing.get(address);
    return missing !== undefined && now - missing < MISSING_MS ? null : undefined;
  }

  /** Returns the last cached record, however old. */
  last(address: Address): RegistryRecord | undefined {
    return this.#cached(address)?.record;
  }

  /**
   * Returns the record of an address: the cached one if it is fresh, or else that of its domain's registry. If the
   * registry is away or slow, returns an old one. Undefined if there is none.
   * @throws ProtoflyError `E_STRANGER` if only a program may have that registry asked
   */
  async find(address: Address, cause: Cause): Promise<RegistryRecord | undefined> {
    const known = this.known(address);
    if (known !== undefined) return known ?? undefined;
    const old = this.#cached(address);
    if (old !== undefined && this.#nodes.isAway(domainOf(address))) return old.record;
    this.#named.admit(domainOf(address), cause);
    const asking = this.#asking.get(address) ?? this.#ask(address).finally(() => this.#asking.delete(address));
    this.#asking.set(address, asking);
    return asking;
  }

  /** Returns the runtime that hosts an address. @throws ProtoflyError `E_UNREACHABLE` when its registry can't be asked */
  async hostOf(address: Address): Promise<Address | undefined> {
    const record = await this.find(address, 'remote');
    if (record === undefined && this.#nodes.isAway(domainOf(address))) throw new ProtoflyError('E_UNREACHABLE', `the runtime of ${address} can't be checked: the registry of ${domainOf(address)} is away`);
    return record?.runtime;
  }

  /** Removes an address from the cache, because its record proved wrong. */
  forget(address: Address): void {
    this.#missing.delete(address);
    this.#atHand.delete(address);
    const cached = this.#stored(address);
    if (cached !== undefined && cached.isForgotten !== true) this.#note(this.#cache.put(address, { ...cached, isForgotten: true }));
  }

  /** Searches a domain's registry, for a program. Live records come first, and of them those signed last. @throws ProtoflyError `E_UNREACHABLE`, `E_TIMEOUT`, … */
  discover(criteria: Criteria): Promise<RegistryRecord[]> {
    const domain = criteria.domain ?? (criteria.user === undefined ? this.#init.domain : domainOf(this.#userAddress(criteria.user, this.#init.domain)));
    const { user, name, resources, dataSchemes } = criteria;
    const where = user !== undefined ? `/hyperty/user/${this.#userAddress(user, domain)}` : name !== undefined ? `/hyperty/name/${name}` : '/hyperty';
    return this.#search(domain, where, {
      ...(name === undefined ? {} : { name }), ...(resources?.length ? { resources } : {}), ...(dataSchemes?.length ? { dataSchemes } : {}),
    });
  }

  /** Returns the records of all hyperties of a runtime, for a program. @throws ProtoflyError as `discover` */
  ofRuntime(runtime: Address): Promise<RegistryRecord[]> {
    return this.#search(domainOf(runtime), `/hyperty/runtime/${runtime}`, {});
  }

  /**
   * Returns the records that `bob`, `bob/chat`, `bob/chat@example.com` or a full address may stand for, best first. For a
   * program.
   * @throws ProtoflyError `E_NOT_FOUND`, `E_USAGE`
   */
  async lookup(text: string): Promise<RegistryRecord[]> {
    if (text.includes('://')) {
      const address = parseAddress(text);
      if (partsOf(address).scheme === 'user') return this.#someOf(await this.discover({ user: address }), text);
      const record = await this.find(address, 'program');
      if (record !== undefined) return [record];
      const runtime = runtimeOf(address);
      if (runtime === undefined) throw new ProtoflyError('E_NOT_FOUND', `${text} is not registered`, { hint: 'protofly hyperty discover shows what is' });
      return [parseRecord({ url: address, runtime })];
    }
    const match = /^([^/@\s]+)(?:\/([^/@\s]+))?(?:@([^/@\s]+))?$/.exec(text);
    if (match === null) throw new ProtoflyError('E_USAGE', `${JSON.stringify(text)} is no address`, { hint: 'write user, user/name, user/name@domain, or a full address' });
    const [, user = '', name, domain = this.#init.domain] = match;
    const remembered = this.#nodes.isAway(domain) ? this.#remembered(this.#userAddress(user, domain), name) : [];
    return this.#someOf(remembered.length > 0 ? remembered : await this.discover({ user, domain, ...(name === undefined ? {} : { name }) }), text);
  }

  async #search(domain: string, resource: string, criteria: Readonly<Record<string, unknown>>): Promise<RegistryRecord[]> {
    this.#named.admit(domain, 'program');
    const found = new Map<Address, RegistryRecord>();
    let after: unknown;
    let refused: ProtoflyError | undefined;
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const response = await this.#bus.request({
        type: 'read', from: child(this.#init.runtime, 'registry'), to: registryAddress(domain), body: { resource, criteria, ...(typeof after === 'string' ? { after } : {}) },
      }, this.#patience(domain));
      const { code, value, next } = response.body;
      if (code === 404) break;
      if (!isSuccess(response) && !(code === 408 && typeof value === 'object' && value !== null)) throw this.#explained(responseError(response), domain);
      if (JSON.stringify(value ?? {}).length > MAX_PAGE) throw new ProtoflyError('E_TOO_LARGE', `the registry of ${domain} answers too much at once`);
      for (const record of Object.values((value ?? {}) as Record<string, unknown>).slice(0, MAX_PER_PAGE).flatMap(readable)) {
        if (domainOf(record.url) !== domain) continue;
        const refusal = await this.#refusalOf(record);
        if (refusal === undefined) found.set(record.url, record);
        else refused ??= refusal;
      }
      if (typeof next !== 'string' || next === after) break;
      after = next;
    }
    if (found.size === 0 && refused !== undefined) throw refused;
    const records = [...found.values()];
    for (const record of records) this.#keep(record.url, { record, at: this.#clock.now() });
    return records.sort((a, b) => Number(b.status === 'live') - Number(a.status === 'live') || serialOf(b) - serialOf(a) || a.url.localeCompare(b.url));
  }

  /** Adds the next step to the error of a registry that doesn't answer. */
  #explained(error: ProtoflyError, domain: string): ProtoflyError {
    if (error.hint !== undefined || !this.#nodes.isAway(domain)) return error;
    return new ProtoflyError(error.code, error.message, { hint: `is the domain server of ${domain} running? protofly runtime status shows whether it is connected`, cause: error });
  }

  #someOf(records: readonly RegistryRecord[], text: string): RegistryRecord[] {
    if (records.length === 0) throw new ProtoflyError('E_NOT_FOUND', `nobody is registered as ${text}`, { hint: 'protofly hyperty discover shows who is' });
    const live = records.filter(({ status }) => status === 'live');
    return newestOfEach(live.length > 0 ? live : records);
  }

  #userAddress(user: string, domain: string): Address {
    try {
      return user.includes('://') ? parseAddress(user) : formatAddress({ scheme: 'user', domain, path: user });
    } catch (cause) {
      throw new ProtoflyError('E_USAGE', `${JSON.stringify(user)} is no user`, { cause });
    }
  }

  #cached(address: Address): Cached | undefined {
    const atHand = this.#atHand.get(address);
    if (atHand !== undefined) return atHand;
    const cached = this.#stored(address);
    if (cached === undefined || cached.isForgotten === true) return undefined;
    this.#hold(address, cached);
    return cached;
  }

  #stored(address: Address): Cached | undefined {
    return address.length > MAX_KEPT_LENGTH ? undefined : this.#cache.get(address);
  }

  /** Checks what a registry says of an address. @returns the reason not to believe it, which is logged */
  async #refusalOf(record: RegistryRecord): Promise<ProtoflyError | undefined> {
    try {
      await this.#checks.check(record, this.#stored(record.url)?.record);
      return undefined;
    } catch (thrown) {
      const error = asProtoflyError(thrown);
      this.#log('warn', `a record is not believed: ${error.message}`);
      return error;
    }
  }

  #hold(address: Address, cached: Cached): void {
    if (this.#atHand.size >= MAX_AT_HAND) this.#atHand.clear();
    this.#atHand.set(address, cached);
  }

  #keep(address: Address, cached: Cached): void {
    this.#missing.delete(address);
    this.#hold(address, cached);
    if (address.length > MAX_KEPT_LENGTH) return;
    this.#note(this.#cache.put(address, cached));
    if (this.#cache.count() > MAX_KEPT) this.#makeRoom(address);
  }

  /** Removes some records from disk. Which ones doesn't matter: one that is needed is asked for again. */
  #makeRoom(kept: Address): void {
    const behind = [...this.#cache.entries({ after: kept, limit: REMOVED })];
    const some = behind.length > 0 ? behind : [...this.#cache.entries({ limit: REMOVED })];
    for (const [address] of some) if (address !== kept) this.#note(this.#cache.delete(address));
  }

  /** Logs a failed change of the cache on disk. Without it, the registry is asked again after a restart. */
  #note(written: Promise<unknown>): void {
    written.catch((thrown: unknown) => { this.#log('warn', `the cache of records can't be written: ${asProtoflyError(thrown).message}`); });
  }

  /** Returns the cached records of a user's hyperties. */
  #remembered(user: Address, name: string | undefined): RegistryRecord[] {
    return [...this.#cache.entries()].filter(([, { isForgotten }]) => isForgotten !== true).map(([, { record }]) => record).filter((record) => record.user === user && (name === undefined || record.name === name));
  }

  #patience(domain: string): { readonly timeoutMs?: number } {
    return this.#nodes.isAway(domain) ? { timeoutMs: AWAY_MS } : {};
  }

  async #ask(address: Address): Promise<RegistryRecord | undefined> {
    const old = this.#cached(address);
    const response = await this.#bus.request({
      type: 'read',
      from: child(this.#init.runtime, 'registry'),
      to: registryAddress(domainOf(address)),
      body: { resource: address },
    }, old === undefined ? this.#patience(domainOf(address)) : { timeoutMs: OLD_MS });
    const now = this.#clock.now();
    if (response.body.code === 404) {
      if (this.#missing.size >= MAX_MISSING) this.#missing.clear();
      this.forget(address);
      this.#missing.set(address, now);
      return undefined;
    }
    const [record] = readable(response.body.value);
    // A registry may only answer for the requested address. Ignore records of others.
    const isOther = record === undefined || record.url !== address;
    const refusal = isOther ? undefined : await this.#refusalOf(record);
    if (isOther || refusal !== undefined) {
      if (refusal !== undefined && NO_LONGER.has(refusal.code)) {
        this.forget(address);
        throw refusal;
      }
      const last = this.#cached(address);
      // Not if the record has been forgotten meanwhile.
      if (last !== undefined && last === old) this.#hold(address, { record: last.record, at: now - FRESH_MS + AGAIN_MS });
      if (last === undefined && refusal !== undefined) throw refusal;
      return last?.record;
    }
    this.#keep(address, { record, at: now });
    return record;
  }
}

/**
 * Leaves the newest of the hyperties that have one name on several machines of one user: messages to the name go there.
 * Hyperties whose user isn't proved all stay, because they may be anybody's.
 */
const newestOfEach = (records: readonly RegistryRecord[]): RegistryRecord[] => {
  const seen = new Set<string>();
  return records.filter((record) => {
    const key = `${String(record.user)}/${String(record.name)}`;
    if (!isVerified(record)) return true;
    return !seen.has(key) && seen.add(key);
  });
};

const serialOf = (record: RegistryRecord): number => signedIn(record)?.serial ?? 0;

/** Parses a record from a registry; returns an empty list if it is malformed. */
const readable = (value: unknown): RegistryRecord[] => {
  try {
    return [parseRecord(value)];
  } catch (thrown) {
    if (asProtoflyError(thrown).code === 'E_MESSAGE' || !isAddress(value)) return [];
    throw thrown;
  }
};
