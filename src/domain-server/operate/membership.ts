import { ProtoflyError, userAddress, type Address } from '../../protocol/index.js';
import { inviteText } from '../../security/invite.js';
import type { Publisher } from '../publisher/index.js';
import type { Member, Members } from '../shard/members/members.js';

export interface MembershipComponents {
  readonly members: Members;
  readonly publisher: Pick<Publisher, 'keyId'>;
  /** Returns cryptographically random bytes. */
  readonly random: (bytes: number) => Uint8Array;
  /** Ends the sessions of a user, and removes his records. */
  readonly expel: (user: Address) => Promise<void>;
}

export interface MembershipInit {
  readonly domain: string;
  /** Returns the URL at which clients reach the domain. */
  readonly publicUrl: () => string;
}

/** An invitation as its maker gets it. */
export interface Invited {
  /** The text that the user gives to his runtime. */
  readonly invite: string;
  readonly user: Address;
  readonly domain: string;
  /** ISO 8601 */
  readonly expires: string;
}

const DAY_MS = 24 * 3600 * 1000;
const MAX_TTL_MS = 365 * DAY_MS;

/** The operator's work with the users of a domain: invites, lists and removes them. */
export class Membership {
  readonly #components: MembershipComponents;
  readonly #init: MembershipInit;

  constructor(components: MembershipComponents, init: MembershipInit) {
    this.#components = components;
    this.#init = init;
  }

  /** Invites a user. @param value `{"user", "ttlMs"?}`, a day unless said otherwise @throws ProtoflyError `E_USAGE`, `E_TOO_MANY` */
  async invite(value: unknown): Promise<Invited> {
    const { ttlMs = DAY_MS } = (value ?? {}) as { readonly ttlMs?: unknown };
    if (typeof ttlMs !== 'number' || !(ttlMs >= 1000) || ttlMs > MAX_TTL_MS) throw new ProtoflyError('E_USAGE', 'an invitation is good for a second at least, and 365 days at most');
    const { members, publisher, random } = this.#components;
    const { domain, publicUrl } = this.#init;
    const user = this.#userIn(value);
    const token = Buffer.from(random(16)).toString('base64url');
    const { expires } = await members.invite(user, token, ttlMs);
    return { invite: inviteText({ url: publicUrl(), user, key: publisher.keyId, token }), user, domain, expires };
  }

  list(): readonly Member[] {
    return this.#components.members.all();
  }

  /** Removes a user with his sessions and records. @param value `{"user"}` @throws ProtoflyError `E_USAGE`, `E_NOT_FOUND` */
  async remove(value: unknown): Promise<{ readonly user: Address }> {
    const { user } = await this.#components.members.remove(this.#userIn(value));
    await this.#components.expel(user);
    return { user };
  }

  #userIn(value: unknown): Address {
    return userAddress(this.#init.domain, ((value ?? {}) as { readonly user?: unknown }).user);
  }
}
