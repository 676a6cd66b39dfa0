import { createHash } from 'node:crypto';
import { ProtoflyError, type Address, type Clock } from '../../../protocol/index.js';
import type { Certificate } from '../../../security/certificate.js';
import type { Collection, Store } from '../../../store/store.js';
import { keyOf } from '../keys.js';

/** A user as the domain knows him. */
export interface Member {
  readonly user: Address;
  /** SHA-256 of his public key, in hex. */
  readonly key: string;
  /** ISO 8601 */
  readonly since: string;
  /** Time at which the operator removed him, in ISO 8601. His name stays taken. */
  readonly removed?: string;
  /** Ids of the runtimes that he removed. */
  readonly removedRuntimes: readonly string[];
}

interface Invitation {
  readonly user: Address;
  /** Milliseconds since 1970. */
  readonly expires: number;
  /** SHA-256 of the key of the user who has used it. */
  readonly usedBy?: string;
}

export interface MembersComponents {
  readonly store: Store;
  readonly clock: Clock;
}

export interface MembersInit {
  /** Maximum number of users. */
  readonly members: number;
  /** Maximum number of invitations that are neither used nor expired. */
  readonly invitations: number;
  /** Maximum number of removed runtimes that are remembered of one user. */
  readonly removedRuntimes: number;
}

const MEMBERS_LIMITS: MembersInit = { members: 100_000, invitations: 10_000, removedRuntimes: 1000 };

const keyFor = (user: Address): string => keyOf(user.toLowerCase());
const hashOf = (token: string): string => createHash('sha256').update(token).digest('hex');

/** The users of a domain, and the invitations of users to come. A user's name belongs to one key. */
export class Members {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #limits: MembersInit;
  readonly #members: Collection<Member>;
  /** By the hash of their token. */
  readonly #invitations: Collection<Invitation>;

  constructor({ store, clock }: MembersComponents, limits: Partial<MembersInit> = {}) {
    this.#store = store;
    this.#clock = clock;
    this.#limits = { ...MEMBERS_LIMITS, ...limits };
    this.#members = store.collection('members');
    this.#invitations = store.collection('invitations');
  }

  /** Returns the user with a name, whatever its case: names that differ in nothing else can be taken for each other. */
  get(user: Address): Member | undefined {
    const member = this.#members.get(keyFor(user));
    return member?.user.toLowerCase() === user.toLowerCase() ? member : undefined;
  }

  /** Returns all users, in the order of their names. */
  all(): Member[] {
    return [...this.#members.entries()].map(([, member]) => member);
  }

  /**
   * Returns the user whom a certificate names, if his name belongs to its key and he wasn't removed.
   * @throws ProtoflyError `E_NAME_TAKEN`, `E_NOT_MEMBER`, `E_REMOVED`
   */
  known({ user, userKey, runtime }: Certificate): Member | undefined {
    const member = this.get(user);
    if (member === undefined) return undefined;
    if (member.key !== userKey || member.user !== user) throw new ProtoflyError('E_NAME_TAKEN', `${user} belongs to another key`, { hint: 'take another user name, or have the machine that has it add this one: protofly device add' });
    if (member.removed !== undefined) throw new ProtoflyError('E_NOT_MEMBER', `${user} was removed from this domain`);
    if (member.removedRuntimes.some((id) => runtime.endsWith(`/${id}`))) throw new ProtoflyError('E_REMOVED', `${runtime} was removed by its user`);
    return member;
  }

  /** Gives a name to the key of a certificate. @throws ProtoflyError `E_NAME_TAKEN`, `E_TOO_MANY`, `E_STORE` */
  add(certificate: Certificate): Promise<Member> {
    return this.#store.transaction(() => this.known(certificate) ?? this.#put(certificate));
  }

  /**
   * Admits a user by his invitation. An invitation for a name that belongs to another key gives it to this one: the user
   * may have lost his key. It is used up then, also if he is a user already.
   * @returns the former user of that name, if it belonged to another key. His name may differ in its case
   * @throws ProtoflyError `E_INVITE`, `E_TOO_MANY`, `E_STORE`
   */
  async redeem(token: string, certificate: Certificate): Promise<Address | undefined> {
    const key = hashOf(token);
    const { user, userKey } = certificate;
    // A runtime shows its invitation with each session. One that can't be used any more needs no writing.
    if (this.#isHis(certificate) && this.#problemOf(this.#invitations.get(key), user) !== undefined) return undefined;
    return this.#store.transaction(() => {
      const invitation = this.#invitations.get(key);
      const before = this.get(user);
      const problem = this.#problemOf(invitation, user);
      const isHis = this.#isHis(certificate);
      if (problem !== undefined) {
        if (isHis) return undefined;
        throw new ProtoflyError('E_INVITE', `the invitation ${problem}`, { hint: 'ask the domain\'s operator for another one' });
      }
      if (!isHis) {
        this.#put(certificate);
        this.#deleteInvitations(user);
      }
      void this.#invitations.put(key, { ...invitation!, usedBy: userKey });
      return isHis ? undefined : before?.user;
    });
  }

  /** Keeps an invitation of a user. @param ttlMs its lifetime, in milliseconds @throws ProtoflyError `E_TOO_MANY`, `E_STORE` */
  async invite(user: Address, token: string, ttlMs: number): Promise<{ readonly expires: string }> {
    const now = this.#clock.date();
    await this.#store.transaction(() => {
      for (const [key, { expires }] of this.#invitations.entries()) if (expires <= now) void this.#invitations.delete(key);
      if (this.#invitations.count() >= this.#limits.invitations) throw new ProtoflyError('E_TOO_MANY', 'this domain has too many open invitations already');
      void this.#invitations.put(hashOf(token), { user, expires: now + ttlMs });
    });
    return { expires: new Date(now + ttlMs).toISOString() };
  }

  /** Removes a user and his open invitations. His name stays taken until he is invited again. Idempotent. @returns the user as he is registered @throws ProtoflyError `E_NOT_FOUND`, `E_STORE` */
  remove(user: Address): Promise<Member> {
    return this.#store.transaction(() => {
      const member = this.get(user);
      if (member === undefined) throw new ProtoflyError('E_NOT_FOUND', `${user} is no user of this domain`, { hint: 'protofly domain members lists them' });
      this.#deleteInvitations(user);
      const removed = { ...member, removed: member.removed ?? this.#now() };
      void this.#members.put(keyFor(user), removed);
      return removed;
    });
  }

  /** Remembers the runtimes that a certificate says are no longer its user's. @throws ProtoflyError `E_STORE` */
  async removeRuntimes({ user, removed }: Certificate): Promise<void> {
    if (removed.every((id) => this.get(user)?.removedRuntimes.includes(id) === true)) return;
    await this.#store.transaction(() => {
      const member = this.get(user);
      if (member === undefined) return;
      const ids = new Set([...removed, ...member.removedRuntimes]);
      void this.#members.put(keyFor(user), { ...member, removedRuntimes: [...ids].slice(0, this.#limits.removedRuntimes) });
    });
  }

  /** True if a certificate is by the key that its user's name belongs to. */
  #isHis({ user, userKey }: Certificate): boolean {
    const member = this.get(user);
    return member?.key === userKey && member.user === user && member.removed === undefined;
  }

  /** Returns the reason why an invitation admits nobody as that user; undefined if it does. */
  #problemOf(invitation: Invitation | undefined, user: Address): string | undefined {
    if (invitation === undefined) return 'isn\'t one of this domain';
    if (invitation.user !== user) return `is for ${invitation.user}, not for ${user}`;
    if (invitation.usedBy !== undefined) return 'was used before';
    return invitation.expires <= this.#clock.date() ? 'has expired' : undefined;
  }

  #deleteInvitations(user: Address): void {
    for (const [key, invitation] of this.#invitations.entries()) if (invitation.user === user) void this.#invitations.delete(key);
  }

  #put({ user, userKey }: Certificate): Member {
    const before = this.get(user);
    if (before === undefined && this.#members.count() >= this.#limits.members) throw new ProtoflyError('E_TOO_MANY', 'this domain has too many users already');
    const member: Member = { user, key: userKey, since: this.#now(), removedRuntimes: before?.key === userKey ? before.removedRuntimes : [] };
    void this.#members.put(keyFor(user), member);
    return member;
  }

  #now(): string {
    return new Date(this.#clock.date()).toISOString();
  }
}
