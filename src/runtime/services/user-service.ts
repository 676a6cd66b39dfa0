import type { MessageBus } from '../../bus/index.js';
import { asProtoflyError, domainOf, isAddress, parseAddress, partsOf, ProtoflyError, userRecordAddress, type Address, type Cause, type Request } from '../../protocol/index.js';
import { deviceCodeText } from '../../security/invite.js';
import type { Contact, Contacts, Knocks, Sender, Senders } from '../contacts/index.js';
import type { UserIdentity } from '../identity/index.js';
import { serve } from './connected-programs.js';

export interface UserServiceComponents {
  readonly bus: MessageBus;
  readonly identity: UserIdentity;
  readonly contacts: Contacts;
  readonly knocks: Knocks;
  readonly senders: Senders;
  readonly hyperties: { senderAt(address: Address): Sender | undefined };
  /** Looks at the hyperties of a user, so that his key becomes known. @throws ProtoflyError */
  readonly look: (user: Address) => Promise<unknown>;
  /** Shows the domain, and everybody who looks, the certificate that has changed. @throws ProtoflyError as the domain refuses */
  readonly onChanged: () => Promise<void>;
  /** Lets this runtime turn to the domains of contacts. */
  readonly named: { admit(domain: string, cause: Cause): void };
  /** Returns the URL at which the domain's message node is reached; undefined if it isn't known. */
  readonly nodeUrl: () => string | undefined;
  readonly publishers: { list(): readonly { readonly domain: string; readonly keyId: string }[] };
}

export interface UserServiceInit {
  readonly runtime: Address;
  readonly domain: string;
  /** SHA-256 of the runtime's public key, in hex. */
  readonly runtimeKey: string;
}

/** Maximum length of a user's address, in UTF-16 code units: a store's keys are limited. */
const MAX_USER = 400;
const MAX_CODE_TTL_MS = 24 * 3600 * 1000;

/** `<runtime>/user`: the user of this runtime, and his other runtimes. @see docs/control.md */
export class UserService {
  readonly #components: UserServiceComponents;
  readonly #init: UserServiceInit;

  constructor(components: UserServiceComponents, init: UserServiceInit) {
    this.#components = components;
    this.#init = init;
    serve(components.bus, userRecordAddress(init.runtime), async (request) => (request.type === 'ping' ? {} : { value: await this.#handle(request) }));
  }

  async #handle({ type, body }: Request): Promise<unknown> {
    const { identity, contacts, knocks, onChanged } = this.#components;
    const said = (typeof body?.value === 'object' && body.value !== null ? body.value : {}) as Readonly<Record<string, unknown>>;
    switch (`${type} ${String(body?.resource)}`) {
      case 'read /user': return { ...identity.view(), runtimeKey: this.#init.runtimeKey };
      case 'read /devices': return identity.devices();
      case 'create /device-code': return this.#makeCode(said);
      case 'delete /devices': {
        const removed = await identity.remove(textIn(said, 'device'));
        contacts.removeOwn(removed.runtime);
        await onChanged();
        return removed;
      }
      case 'read /sender': return this.#sender(addressIn(said, 'address'));
      case 'read /contacts': return { contacts: contacts.all().filter(({ user }) => user !== identity.user), knocks: knocks.all() };
      case 'read /safety-number': return { number: contacts.safetyNumber(await this.#seen(userIn(said))) };
      case 'update /contacts': return this.#decide(userIn(said), said);
      default: throw new ProtoflyError('E_USAGE', `there is no ${type} of ${JSON.stringify(body?.resource ?? null)} here`);
    }
  }

  async #makeCode({ ttlMs, url = this.#baseUrl() }: Readonly<Record<string, unknown>>): Promise<unknown> {
    const { identity, publishers } = this.#components;
    const { domain, runtime } = this.#init;
    if (typeof ttlMs !== 'number' || !(ttlMs >= 1000) || ttlMs > MAX_CODE_TTL_MS) throw new ProtoflyError('E_USAGE', 'a device code is good for a second at least, and a day at most');
    if (typeof url !== 'string') throw new ProtoflyError('E_UNREACHABLE', `${domain} can't be reached now, and the code has to say where it is`);
    const key = publishers.list().find((trusted) => trusted.domain === domain)?.keyId ?? '';
    const { secret, userKey, expires } = await identity.makeCode(ttlMs);
    return { code: deviceCodeText({ url, user: identity.user, userKey, key, runtime, secret }), user: identity.user, url, expires };
  }

  /** Tells who sends from an address. */
  async #sender(address: Address): Promise<unknown> {
    const { senders, hyperties } = this.#components;
    const sender = hyperties.senderAt(address) ?? await senders.find(address);
    return { ...sender, verified: sender.user !== undefined };
  }

  /** Does with a contact what the user has decided. @throws ProtoflyError `E_USAGE`, `E_NOT_FOUND`, `E_USER_KEY` */
  async #decide(user: Address, { decision, newKey }: Readonly<Record<string, unknown>>): Promise<Contact> {
    const { contacts, knocks, identity } = this.#components;
    if (user === identity.user) throw new ProtoflyError('E_USAGE', `${user} is this runtime's own user`);
    switch (decision) {
      case 'accept': {
        this.#components.named.admit(domainOf(user), 'program');
        await this.#seen(user);
        const accepted = await contacts.accept(user, typeof newKey === 'string' ? newKey.toLowerCase() : undefined);
        await knocks.forget(user);
        return accepted;
      }
      case 'block': {
        const blocked = await contacts.block(user);
        await knocks.forget(user);
        return blocked;
      }
      case 'remove': return contacts.remove(user);
      case 'verify': return contacts.verify(user);
      default: throw new ProtoflyError('E_USAGE', 'a contact is accepted, blocked, removed or verified');
    }
  }

  /** Looks at a user who wasn't met yet. Who isn't to be found may come later. */
  async #seen(user: Address): Promise<Address> {
    const { contacts, look } = this.#components;
    if (contacts.get(user)?.key === undefined) await look(user).catch((thrown: unknown) => { if (asProtoflyError(thrown).code === 'E_USER_KEY') throw thrown; });
    return user;
  }

  /** Returns the base URL of the domain server, as its message node names it. */
  #baseUrl(): string | undefined {
    const url = this.#components.nodeUrl();
    return url === undefined ? undefined : new URL(url.replace(/^ws/, 'http')).origin;
  }
}

const textIn = (said: Readonly<Record<string, unknown>>, field: string): string => {
  const value = said[field];
  if (typeof value === 'string') return value;
  throw new ProtoflyError('E_USAGE', `body.value.${field} is not a string`);
};

const addressIn = (said: Readonly<Record<string, unknown>>, field: string): Address => {
  const value = said[field];
  if (isAddress(value)) return parseAddress(value);
  throw new ProtoflyError('E_USAGE', `body.value.${field} is not an address`);
};

const userIn = (said: Readonly<Record<string, unknown>>): Address => {
  const user = addressIn(said, 'user');
  if (partsOf(user).scheme === 'user' && user.length <= MAX_USER) return user;
  throw new ProtoflyError('E_USAGE', 'body.value.user is not the address of a user');
};
