import { createHash } from 'node:crypto';
import { LruMap } from '../../kit/lru-map.js';
import { asProtoflyError, domainOf, namesKey, ProtoflyError, type Address, type Clock, type RegistryRecord } from '../../protocol/index.js';
import { CERTIFICATE_TTL_MS, checkCertificateDate, type Certificate } from '../../security/certificate.js';
import type { Collection } from '../../store/index.js';
import { Certificates } from './certificates.js';

/** The decision of this runtime's user about another one: none yet, accepted or blocked. */
export type ContactState = 'seen' | 'accepted' | 'blocked';

/** A user as this runtime knows him. */
export interface Contact {
  readonly user: Address;
  /** SHA-256 of his public key, in hex. Undefined until he was seen. */
  readonly key?: string;
  /** ISO 8601 */
  readonly since: string;
  readonly state: ContactState;
  /** Time at which the safety number was compared, in ISO 8601. */
  readonly verified?: string;
  /** Another key that has been shown as his since: he may have lost the first one. */
  readonly otherKey?: string;
  /** Ids of the runtimes that he has removed, each with the time until which a certificate of it may be valid, in milliseconds since 1970. */
  readonly removed?: Readonly<Record<string, number>>;
}

export interface ContactsComponents {
  readonly clock: Clock;
  readonly kept: Collection<Contact>;
  /** This runtime's own user. */
  readonly own: { readonly user: Address; readonly userKey: string | undefined };
  readonly log: (level: 'warn', text: string) => void;
}

/** Maximum number of users that were only seen. */
const MAX_SEEN = 20_000;
/** Number of them that are forgotten when there are too many. */
const FORGOTTEN = 1000;
/** Maximum number of removed runtimes of one user that are remembered. */
const MAX_REMOVED_KEPT = 1000;

/** Maximum number of runtimes whose users are remembered. */
const MAX_CERTIFIED = 50_000;
/** Minimum length of a key's beginning that says which key it is, in hex digits. */
const MIN_KEY = 16;

const idOf = (runtime: Address): string => runtime.slice(runtime.lastIndexOf('/') + 1);

/**
 * The users whom this runtime has met. It believes the first key that comes with a name, and later ones only when its
 * user accepts them.
 * @see docs/security.md, "Users"
 */
export class Contacts {
  readonly #components: ContactsComponents;
  readonly #certificates = new Certificates();
  readonly #kept: Collection<Contact>;
  readonly #listeners: ((runtimeId: string) => void)[] = [];
  /** The users whose certificates were believed, by runtime id. */
  readonly #certified = new LruMap<string, Address>(MAX_CERTIFIED);
  /** Ids of runtimes that somebody has removed, with the time until which they stay out. */
  readonly #removed = new LruMap<string, number>(MAX_CERTIFIED);
  readonly #numbers = { accepted: 0, blocked: 0 };

  constructor(components: ContactsComponents) {
    this.#components = components;
    this.#kept = components.kept;
    for (const { state, removed = {} } of this.all()) {
      this.#count(state, 1);
      for (const [id, until] of Object.entries(removed)) this.#noteRemoved(id, until);
    }
  }

  /** True if nobody is blocked. */
  get blocksNobody(): boolean {
    return this.#numbers.blocked === 0;
  }

  /** True if there is an accepted contact. */
  get acceptsSomebody(): boolean {
    return this.#numbers.accepted > 0;
  }

  /** Registers a listener for the ids of runtimes that their users have removed. */
  onRemoved(listener: (runtimeId: string) => void): void {
    this.#listeners.push(listener);
  }

  get(user: Address): Contact | undefined {
    return this.#kept.get(user);
  }

  all(): Contact[] {
    return [...this.#kept.entries()].map(([, contact]) => contact);
  }

  /** The domains of the accepted contacts. */
  get domains(): readonly string[] {
    return [...new Set(this.all().filter(({ state }) => state === 'accepted').map(({ user }) => domainOf(user)))];
  }

  /**
   * Checks the user whom a record names. A record without a certificate is nobody's for certain, and none is believed
   * for a user who has shown a key before.
   * @throws ProtoflyError `E_CERTIFICATE`, `E_SIGNATURE`, `E_EXPIRED`, `E_REMOVED`, `E_USER_KEY`
   */
  async check({ url, runtime, user, certificate }: RegistryRecord): Promise<void> {
    if (user === undefined) return;
    if (certificate === undefined || !namesKey(runtime)) {
      if (this.#keyOf(user) === undefined) return;
      throw new ProtoflyError('E_CERTIFICATE', `${url} is said to be ${user}'s, without a certificate, and that user has a key`);
    }
    const read = await this.#certificates.read(certificate, runtime);
    if (read.user !== user) throw new ProtoflyError('E_CERTIFICATE', `${url} is said to be ${user}'s, and its certificate is ${read.user}'s`);
    // A domain's registry speaks for the names of that domain alone.
    if (domainOf(user) !== domainOf(url)) throw new ProtoflyError('E_CERTIFICATE', `${url} is said to be the hyperty of a user of another domain, ${user}`);
    this.#judge(read);
  }

  /**
   * Returns the user whose certificate a runtime shows, if he was met before. Nothing is remembered of it: anybody can
   * sign a certificate for any name.
   * @throws ProtoflyError as `check`
   */
  async recognise(certificate: unknown, runtime: Address): Promise<Address | undefined> {
    const read = await this.#certificates.read(certificate, runtime);
    checkCertificateDate(read, this.#components.clock.date());
    const key = this.#keyOf(read.user);
    if (key === undefined) return undefined;
    if (key !== read.userKey) throw this.#otherKey(read.user);
    this.#checkRemoved(read);
    this.#certified.set(idOf(runtime), read.user);
    return read.user;
  }

  /** True if some user has removed a runtime. A runtime that shows no certificate may be one of those. */
  isRemoved(runtime: Address): boolean {
    return (this.#removed.get(idOf(runtime)) ?? 0) > this.#components.clock.date();
  }

  /** Notes that this runtime's own user has removed a runtime. */
  removeOwn(runtime: Address): void {
    this.#certified.set(idOf(runtime), this.#components.own.user);
    this.#remember(this.get(this.#components.own.user) ?? this.#seen(this.#components.own.user), [idOf(runtime)]);
  }

  /**
   * Accepts a user as a contact.
   * @param newKey the beginning of the other key that he has shown since, which is believed from now on
   * @throws ProtoflyError `E_USER_KEY` if he has shown another key and `newKey` isn't its beginning
   */
  accept(user: Address, newKey?: string): Promise<Contact> {
    const { otherKey, verified, ...contact } = this.get(user) ?? this.#seen(user);
    if (otherKey === undefined && newKey === undefined) return this.#decide({ ...contact, state: 'accepted', ...(verified === undefined ? {} : { verified }) });
    if (otherKey === undefined || newKey === undefined || newKey.length < MIN_KEY || !otherKey.startsWith(newKey)) throw this.#otherKey(user);
    return this.#decide({ ...contact, state: 'accepted', key: otherKey });
  }

  block(user: Address): Promise<Contact> {
    return this.#decide({ ...(this.get(user) ?? this.#seen(user)), state: 'blocked' });
  }

  /** Makes a user one who was only seen. @throws ProtoflyError `E_NOT_FOUND` */
  async remove(user: Address): Promise<Contact> {
    const contact = this.#known(user);
    return this.#decide({ ...contact, state: 'seen' });
  }

  /** Notes that the safety number was compared. @throws ProtoflyError `E_NOT_FOUND` */
  verify(user: Address): Promise<Contact> {
    const contact = this.#known(user);
    return this.#decide({ ...contact, state: contact.state === 'blocked' ? 'blocked' : 'accepted', verified: this.#now() });
  }

  /**
   * Returns the number by which two users compare their keys: the same on both sides, 12 groups of 5 digits.
   * @throws ProtoflyError `E_NOT_FOUND` if the user hasn't shown a key
   */
  safetyNumber(user: Address): string {
    const { own } = this.#components;
    const key = this.#known(user).key;
    if (key === undefined || own.userKey === undefined) throw new ProtoflyError('E_NOT_FOUND', `${user} has shown no key yet`, { hint: 'look at one of his hyperties first: protofly hyperty discover --user NAME' });
    const sides = [`${own.user} ${own.userKey}`, `${user} ${key}`].sort().join('\n');
    const digest = createHash('sha512').update(sides).digest();
    return Array.from({ length: 12 }, (_, at) => String(digest.readUIntBE(at * 5, 5) % 100_000).padStart(5, '0')).join(' ');
  }

  /** Judges the certificate in a record by the user's key, and believes the first one. @throws ProtoflyError as `check` */
  #judge(certificate: Certificate): void {
    checkCertificateDate(certificate, this.#components.clock.date());
    const { user, userKey, runtime, removed } = certificate;
    const key = this.#keyOf(user);
    if (key !== undefined && key !== userKey) this.#refuseKey(user, userKey);
    const { otherKey, ...contact } = this.get(user) ?? this.#seen(user);
    if ((key === undefined && user !== this.#components.own.user) || otherKey !== undefined) this.#put({ ...contact, key: userKey });
    const fresh = removed.filter((id) => contact.removed?.[id] === undefined);
    if (fresh.length > 0) this.#remember({ ...contact, key: userKey }, fresh);
    this.#checkRemoved(certificate);
    this.#certified.set(idOf(runtime), user);
  }

  /** @throws ProtoflyError `E_REMOVED` */
  #checkRemoved({ user, runtime }: Certificate): void {
    if ((this.get(user)?.removed?.[idOf(runtime)] ?? 0) > this.#components.clock.date()) throw new ProtoflyError('E_REMOVED', `${runtime} was removed by ${user}`);
  }

  #seen(user: Address): Contact {
    return { user, since: this.#now(), state: 'seen' };
  }

  #keyOf(user: Address): string | undefined {
    const { own } = this.#components;
    return user === own.user ? own.userKey : this.get(user)?.key;
  }

  #known(user: Address): Contact {
    const contact = this.get(user);
    if (contact === undefined) throw new ProtoflyError('E_NOT_FOUND', `${user} was never met`, { hint: 'protofly contact list shows who was' });
    return contact;
  }

  /** @throws ProtoflyError `E_USER_KEY` */
  #refuseKey(user: Address, otherKey: string): never {
    const contact = this.get(user);
    if (contact !== undefined && contact.otherKey !== otherKey) {
      this.#put({ ...contact, otherKey });
      this.#components.log('warn', `${user} shows another key than before: ${otherKey}`);
    }
    throw this.#otherKey(user);
  }

  #otherKey(user: Address): ProtoflyError {
    const { otherKey } = this.get(user) ?? {};
    return new ProtoflyError('E_USER_KEY', `${user} shows another key than before: somebody may pretend to be him, or he has lost his key`, {
      hint: otherKey === undefined ? 'ask him' : `ask him for his new key (protofly whoami); if it begins with ${otherKey.slice(0, MIN_KEY)}: protofly contact accept ${user} --new-key ${otherKey.slice(0, MIN_KEY)}`,
    });
  }

  /** A runtime that was removed stays out for as long as an older certificate of it can be valid. */
  #remember(contact: Contact, ids: readonly string[]): void {
    const now = this.#components.clock.date();
    const left = Object.entries(contact.removed ?? {}).filter(([, until]) => until > now);
    this.#put({ ...contact, removed: Object.fromEntries([...left, ...ids.map((id) => [id, now + CERTIFICATE_TTL_MS] as const)].slice(-MAX_REMOVED_KEPT)) });
    for (const id of ids) this.#noteRemoved(id, now + CERTIFICATE_TTL_MS);
    // A user speaks for his own runtimes alone.
    for (const id of ids.filter((one) => this.#certified.get(one) === contact.user)) for (const listener of this.#listeners) listener(id);
  }

  async #decide(contact: Contact): Promise<Contact> {
    const before = this.get(contact.user);
    await this.#kept.put(contact.user, contact);
    if (before !== undefined) this.#count(before.state, -1);
    this.#count(contact.state, 1);
    return contact;
  }

  /** Remembers what was seen. If that can't be written, it is seen again at the next time. */
  #put(contact: Contact): void {
    if (this.#kept.get(contact.user) === undefined && this.#kept.count() >= MAX_SEEN) this.#forgetSome(domainOf(contact.user));
    this.#kept.put(contact.user, contact).catch((thrown: unknown) => { this.#components.log('warn', `${contact.user} can't be remembered: ${asProtoflyError(thrown).message}`); });
  }

  /** Forgets those seen longest ago: of the newcomer's domain, if it has many. Whom the user has decided about stays. */
  #forgetSome(domain: string): void {
    const seen = this.all().filter(({ state, verified }) => state === 'seen' && verified === undefined).sort((a, b) => a.since.localeCompare(b.since));
    const ofDomain = seen.filter(({ user }) => domainOf(user) === domain);
    for (const { user } of (ofDomain.length >= FORGOTTEN ? ofDomain : seen).slice(0, FORGOTTEN)) void this.#kept.delete(user);
  }

  #noteRemoved(id: string, until: number): void {
    this.#removed.set(id, Math.max(until, this.#removed.get(id) ?? 0));
  }

  #count(state: ContactState, change: number): void {
    if (state !== 'seen') this.#numbers[state] += change;
  }

  #now(): string {
    return new Date(this.#components.clock.date()).toISOString();
  }
}
