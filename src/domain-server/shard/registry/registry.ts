import { isDeepStrictEqual } from 'node:util';
import { SerialQueue } from '../../../kit/serial-queue.js';
import {
  asProtoflyError, child, domainOf, isAddress, isRecordStatus, isWithin, parseAddress, parseRecord, partsOf, ProtoflyError, registryAddress, respond, runtimeOf, SIGNED_FIELDS,
  type Address, type Body, type Clock, type Message, type RegistryRecord, type Request, type Response, type Timer,
} from '../../../protocol/index.js';
import { checkRecord, checkUntil, signedIn } from '../../../security/signed-record.js';
import type { Standing } from '../members/standing.js';
import type { Owner } from './quota.js';
import { hasScheme, isLive, type Attribute, type StoredRecords } from './records.js';

export interface DomainRegistryComponents {
  readonly clock: Clock;
  readonly records: StoredRecords;
  /**
   * Allocates the address to the runtime, unless it has it already.
   * @throws ProtoflyError `E_CONFLICT`, `E_TOO_MANY`
   */
  readonly claim: (address: Address, runtime: Address) => Promise<void>;
  /** Checks that a runtime may register what it hosts as a user's. @throws ProtoflyError `E_CERTIFICATE`, `E_SIGNATURE`, `E_NOT_MEMBER` */
  readonly checkUser: (record: RegistryRecord, standing: Standing | undefined) => Promise<void>;
  /** Sends a message to all subscribers of `to`. */
  readonly publish: (message: Message, to: Address) => void;
  readonly log: (text: string, details?: Record<string, unknown>) => void;
}

export interface DomainRegistryInit {
  readonly domain: string;
  /** Time that a record gets after a start if it expired while the server was down, in milliseconds. */
  readonly graceMs: number;
}

/** Maximum number of records in one response. */
const MAX_FOUND = 1000;
/** Maximum size of records in one response, in bytes. */
const MAX_FOUND_BYTES = 4 * 1024 * 1024;

const bad = (why: string): ProtoflyError => new ProtoflyError('E_MESSAGE', why);
const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Fields that only the registry sets, or that never change. */
const FIXED = new Set(['url', 'runtime', 'startingTime', 'lastModified']);
/** The longest time for which a record is live without being renewed, in seconds: a week. */
const MAX_EXPIRES = 7 * 24 * 3600;
/** The longest sleep of the sweep, in milliseconds. It bounds the delay after the clock was set. */
const LONGEST_SLEEP_MS = 60_000;

/**
 * The domain registry: the registrations of hyperties, data objects and runtimes.
 * @see docs/protocol.md, "Domain registry"
 */
export class DomainRegistry {
  readonly address: Address;
  readonly #components: DomainRegistryComponents;
  readonly #init: DomainRegistryInit;
  #timer: Timer | undefined;
  #wakesAt = Infinity;
  #startedAt = 0;
  #nextId = 0;
  #closed = false;
  #sweeping: Promise<void> = Promise.resolve();
  /** Changes of one record happen one after the other, whatever they have to wait for. */
  readonly #changes = new SerialQueue<Address>();

  constructor(components: DomainRegistryComponents, init: DomainRegistryInit) {
    this.#components = components;
    this.#init = init;
    this.address = registryAddress(init.domain);
  }

  /** Starts the expiry of records. */
  start(): void {
    this.#startedAt = this.#components.clock.now();
    // Ids used before a restart must not be used again.
    this.#nextId = this.#startedAt;
    this.#schedule(this.#startedAt + this.#init.graceMs);
    const next = this.#components.records.nextDue(this.#startedAt);
    if (next !== undefined) this.#schedule(next);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#sweeping;
  }

  /** Answers a request of a runtime's session. @throws ProtoflyError that is sent as the response */
  handle(request: Request, caller: Owner): Response | Promise<Response> {
    if (request.type === 'create') {
      const record = recordIn(request, caller.runtime);
      return this.#changes.run(record.url, () => this.#register(request, record, caller));
    }
    if (request.type === 'update') return this.#changes.run(this.#urlIn(request), () => this.#update(request, caller));
    if (request.type === 'delete') return this.#changes.run(this.#urlIn(request), () => this.#remove(request, caller.runtime));
    if (request.type === 'read') return this.#read(request);
    throw bad(`the registry has no ${request.type}`);
  }

  /** Marks the records of a runtime that has gone as disconnected. */
  disconnected(runtime: Address): Promise<void> {
    return this.#components.records.disconnect(runtime, (record) => { this.#announce(record); });
  }

  async #register(request: Request, record: RegistryRecord, owner: Owner): Promise<Response> {
    const { runtime } = owner;
    const { records, claim, clock } = this.#components;
    if (record.runtime !== runtime) throw new ProtoflyError('E_REFUSED', `only ${record.runtime} itself registers what it hosts`);
    const { scheme, path } = partsOf(record.url);
    if (domainOf(record.url) !== this.#init.domain || path === '' || scheme === 'domain') throw bad(`${record.url} is not an address of ${this.#init.domain}`);
    const signed = await checkRecord(record);
    if (signed !== undefined) checkUntil(signed, record, clock.date());
    const before = records.get(record.url);
    if (signed !== undefined && before !== undefined && signed.serial < (signedIn(before)?.serial ?? 0)) throw new ProtoflyError('E_ROLLBACK', `a newer record of ${record.url} is registered`);
    if (before !== undefined && before.runtime !== runtime) throw new ProtoflyError('E_CONFLICT', `${record.url} is registered by another runtime`);
    // A runtime owns its own address and all below it. Any other address is allocated to it first, if necessary.
    if (scheme === 'hyperty-runtime' && !isWithin(record.url, runtime)) throw new ProtoflyError('E_REFUSED', `${record.url} is not an address of ${runtime}`);
    if (scheme !== 'hyperty-runtime') await claim(record.url, runtime);
    const now = this.#now();
    await this.#save({ ...record, startingTime: before?.startingTime ?? now, lastModified: now }, records.get(record.url), owner);
    return respond(request, 200, { resource: record.url });
  }

  async #update(request: Request, owner: Owner): Promise<Response> {
    const before = this.#owned(request, owner.runtime);
    const { body = {} } = request;
    const after = changed(before, body);
    if (before.signature !== undefined && ['signature', ...SIGNED_FIELDS].some((field) => !isDeepStrictEqual(before[field], after[field]))) {
      throw new ProtoflyError('E_UNSIGNED', `the record of ${before.url} is signed: register it anew, with another signature`);
    }
    await this.#save({ ...after, lastModified: this.#now() }, before, owner);
    return respond(request, 200);
  }

  async #remove(request: Request, runtime: Address): Promise<Response> {
    const record = this.#owned(request, runtime);
    await this.#components.records.remove(record.url);
    if (isLive(record.status)) this.#announce({ ...record, status: 'disconnected' });
    return respond(request, 200);
  }

  /**
   * Returns the record that a request names, if the runtime owns it.
   * @throws ProtoflyError `E_NOT_FOUND`, `E_REFUSED`
   */
  #owned(request: Request, runtime: Address): RegistryRecord {
    const record = this.#components.records.get(this.#urlIn(request));
    if (record === undefined) throw new ProtoflyError('E_NOT_FOUND', 'nothing is registered under that address');
    if (record.runtime !== runtime) throw new ProtoflyError('E_REFUSED', `${record.url} is registered by another runtime`);
    return record;
  }

  /** Returns the address that a change names. @throws ProtoflyError `E_MESSAGE`, `E_NOT_FOUND` */
  #urlIn({ body: { resource, value } = {} }: Request): Address {
    const url = this.#urlOf(resource ?? (isObject(value) ? value['url'] : undefined));
    if (url === undefined) throw new ProtoflyError('E_NOT_FOUND', 'nothing is registered under that address');
    return url;
  }

  /** Parses `<url>`, `/hyperty/<url>` or `/hyperty/<id>`. */
  #urlOf(resource: unknown): Address | undefined {
    if (typeof resource !== 'string' || resource === '') throw bad('body.resource is not an address');
    if (!resource.startsWith('/')) return parseAddress(resource);
    const [, scheme = '', rest = ''] = /^\/([^/]+)\/(.+)$/.exec(resource) ?? [];
    if (isAddress(rest)) return parseAddress(rest);
    const address = `${scheme}://${this.#init.domain}/${rest}`;
    return isAddress(address) ? parseAddress(address) : undefined;
  }

  async #save(record: RegistryRecord, before: RegistryRecord | undefined, { holder, standing }: Owner): Promise<void> {
    const { records, clock, checkUser } = this.#components;
    await checkUser(record, standing);
    const saved = record.expires > MAX_EXPIRES ? { ...record, expires: MAX_EXPIRES } : record;
    await records.put(saved, holder);
    this.#schedule(clock.now() + saved.expires * 1000);
    if (isLive(saved.status) !== (before !== undefined && isLive(before.status))) this.#announce(saved);
  }

  #read(request: Request): Response {
    const { resource, criteria, after } = request.body ?? {};
    if (typeof resource !== 'string' || resource === '') throw bad('body.resource says nothing to look for');
    if (criteria !== undefined && criteria !== null && !isObject(criteria)) throw bad('body.criteria is not an object');
    const search = searchOf(resource);
    if (search === undefined) return this.#readOne(request, this.#urlOf(resource));
    if (after !== undefined && after !== null && (typeof after !== 'string' || !isAddress(after))) throw bad('body.after is not an address');
    const behind = typeof after === 'string' ? parseAddress(after) : undefined;
    const live = this.#find(search, criteria ?? {}, true, behind);
    if (live.count > 0 || live.next !== undefined) return respond(request, 200, { value: live.found, ...cut(live) });
    // Further pages are those of the first one's kind.
    const gone = behind === undefined ? this.#find(search, criteria ?? {}, false) : undefined;
    if (gone !== undefined && gone.count > 0) {
      return respond(request, 408, { value: gone.found, description: 'what is registered there is disconnected', error: 'E_UNAVAILABLE', ...(gone.next === undefined ? {} : { more: true }) });
    }
    throw new ProtoflyError('E_NOT_FOUND', 'nothing of that kind is registered');
  }

  #readOne(request: Request, url: Address | undefined): Response {
    const record = url === undefined ? undefined : this.#components.records.get(url);
    if (record === undefined || record.status === 'dead') throw new ProtoflyError('E_NOT_FOUND', 'nothing is registered under that address');
    if (isLive(record.status)) return respond(request, 200, { value: record });
    return respond(request, 408, { value: record, description: `${record.url} is disconnected`, error: 'E_UNAVAILABLE' });
  }

  #find(search: Search, criteria: Record<string, unknown>, live: boolean, after?: Address): Found {
    const found: Record<string, RegistryRecord> = {};
    let count = 0;
    let bytes = 0;
    let walked = 0;
    let last = after;
    const { records } = this.#components;
    for (const record of search.by === undefined ? records.all(after) : records.find(search.by.attribute, search.by.value, live, after)) {
      walked += 1;
      // The search also stops after scanning very many records that don't match.
      if (walked > MAX_FOUND * 10) return { found, count, next: last };
      if (record.status === 'dead' || isLive(record.status) !== live || (search.scheme !== undefined && !hasScheme(record, search.scheme)) || !meets(record, criteria)) {
        last = record.url;
        continue;
      }
      bytes += JSON.stringify(record).length;
      if (count === MAX_FOUND || bytes > MAX_FOUND_BYTES) return { found, count, next: last };
      found[record.url] = record;
      count += 1;
      last = record.url;
    }
    return { found, count, next: undefined };
  }

  /** Publishes the record's status to the subscribers of its registration. */
  #announce(record: RegistryRecord): void {
    const to = child(record.url, 'registration');
    this.#nextId += 1;
    const body: Body = { attribute: 'status', value: isLive(record.status) ? 'live' : 'disconnected', resource: record.url };
    this.#components.publish({ id: this.#nextId, type: 'update', from: this.address, to, body }, to);
  }

  #now(): string {
    return new Date(this.#components.clock.date()).toISOString();
  }

  #schedule(at: number): void {
    if (this.#closed || at >= this.#wakesAt) return;
    const { clock } = this.#components;
    this.#timer?.cancel();
    this.#wakesAt = at;
    this.#timer = clock.setTimeout(() => {
      this.#wakesAt = Infinity;
      this.#sweeping = this.#sweep();
    }, Math.min(Math.max(0, at - clock.now()), LONGEST_SLEEP_MS));
  }

  async #sweep(): Promise<void> {
    const { clock, records, log } = this.#components;
    try {
      const from = clock.now() >= this.#startedAt + this.#init.graceMs ? 0 : this.#startedAt;
      let more = true;
      while (more && !this.#closed) more = await records.expire(from, (record) => { this.#announce(record); });
      // This may be in the past: after a long sweep, even a record that the sweep has written may be due.
      const next = records.nextDue(from);
      const grace = from === 0 ? Infinity : this.#startedAt + this.#init.graceMs;
      if (next !== undefined || grace < Infinity) this.#schedule(Math.min(next ?? Infinity, grace));
    } catch (thrown) {
      log('letting registrations expire failed', { error: asProtoflyError(thrown) });
      this.#schedule(clock.now() + LONGEST_SLEEP_MS);
    }
  }
}

/** Applies an update to a record. Without a value and an attribute, it only keeps the record alive. */
const changed = (before: RegistryRecord, { attribute, value }: Body): RegistryRecord => {
  if (typeof attribute === 'string') {
    if (FIXED.has(attribute)) throw bad(`${attribute} can't be changed`);
    if (attribute === 'status' && !isRecordStatus(value)) throw bad('status is not created, live, disconnected or dead');
    return parseRecord({ ...before, [attribute]: value });
  }
  if (attribute !== undefined && attribute !== null) throw bad('body.attribute is not a name');
  if (value === undefined || value === null) return isLive(before.status) ? before : { ...before, status: 'live' };
  if (!isObject(value)) throw bad('body.value is not an object');
  return parseRecord({ ...before, ...Object.fromEntries(Object.entries(value).filter(([field]) => !FIXED.has(field))) });
};

/** Parses the record that a runtime registers. @throws ProtoflyError `E_MESSAGE` */
const recordIn = ({ body }: Request, runtime: Address): RegistryRecord => {
  const value = body?.value;
  return parseRecord(isObject(value) ? { ...value, runtime: value['runtime'] ?? runtime } : value);
};

/** One page of a search. */
interface Found {
  readonly found: Record<string, RegistryRecord>;
  readonly count: number;
  /** The record behind which the search goes on. Undefined if it is complete. */
  readonly next: Address | undefined;
}

/** The fields of a response that was cut short. */
const cut = ({ next }: Found): Body => (next === undefined ? {} : { more: true, next });

interface Search {
  /** The attribute to match. Undefined: all records of the scheme. */
  readonly by?: { readonly attribute: Attribute; readonly value: string };
  readonly scheme?: string;
}

/** Parses the resource of a `read` that isn't a single address. Undefined if it isn't a search. */
const searchOf = (resource: string): Search | undefined => {
  const [, all] = /^\/([^/]+)\/?$/.exec(resource) ?? [];
  if (all !== undefined) return { scheme: all.toLowerCase() };
  const [, scheme, attribute, rest] = /^\/([^/]+)\/(user|name|guid|user-guid|runtime)\/(.+)$/.exec(resource) ?? [];
  if (scheme === undefined || attribute === undefined || rest === undefined) return attributeSearch(resource);
  if (attribute === 'name') return { by: { attribute, value: rest }, scheme: scheme.toLowerCase() };
  const search = attributeSearch(rest);
  return search === undefined ? undefined : { ...search, scheme: scheme.toLowerCase() };
};

const attributeSearch = (text: string): Search | undefined => {
  if (!isAddress(text)) return undefined;
  const address = parseAddress(text);
  const { scheme } = partsOf(address);
  if (scheme === 'user') return { by: { attribute: 'user', value: address } };
  if (scheme === 'user-guid') return { by: { attribute: 'guid', value: address } };
  // An address below a runtime is that of a record.
  if (scheme === 'hyperty-runtime' && runtimeOf(address) === address) return { by: { attribute: 'runtime', value: address } };
  return undefined;
};

const listed = (value: unknown): string[] => (Array.isArray(value) ? value : value === undefined || value === null ? [] : [value]).filter((item): item is string => typeof item === 'string');

/** True if a record meets all criteria. */
const meets = (record: RegistryRecord, criteria: Record<string, unknown>): boolean =>
  listed(criteria['resources']).every((wanted) => record.resources.includes(wanted)) &&
  listed(criteria['dataSchemes']).every((wanted) => record.dataSchemes.includes(wanted)) &&
  listed(criteria['name']).every((wanted) => record.name === wanted);
