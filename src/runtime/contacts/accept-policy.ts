import { AUDIENCES, domainOf, ProtoflyError, type Acceptance, type Address, type Audience } from '../../protocol/index.js';
import type { Contacts } from './contacts.js';
import type { Knocks } from './knocks.js';
import type { Sender, Senders } from './senders.js';

export interface AcceptPolicyComponents {
  readonly contacts: Contacts;
  readonly senders: Senders;
  readonly knocks: Knocks;
}

export interface AcceptPolicyInit {
  /** This runtime's own user. */
  readonly user: Address;
  readonly domain: string;
  /** @default 'anyone' for each */
  readonly accept?: Partial<Acceptance>;
}

/** The things that others want of this runtime. */
export type Wish = keyof Acceptance;

const WORDS: Readonly<Record<Wish, string>> = { messages: 'messages', p2p: 'direct connections', presence: 'pings' };

/** Decides whose messages, direct connections and pings this runtime takes. */
export class AcceptPolicy {
  readonly #components: AcceptPolicyComponents;
  readonly #init: AcceptPolicyInit;
  readonly #accept: Acceptance;

  constructor(components: AcceptPolicyComponents, init: AcceptPolicyInit) {
    this.#components = components;
    this.#init = init;
    this.#accept = { messages: 'anyone', p2p: 'anyone', presence: 'anyone', ...init.accept };
    const unknown = Object.values(this.#accept).find((audience) => !AUDIENCES.includes(audience));
    if (unknown !== undefined) throw new ProtoflyError('E_USAGE', `nobody is ${JSON.stringify(unknown)}: there are ${AUDIENCES.join(', ')}`);
  }

  /**
   * Checks that the sender of a request may have what he wants.
   * @param knock the value of the message, which is kept if a stranger sends it
   * @returns a promise if the sender has to be looked up first
   * @throws ProtoflyError `E_BLOCKED`, `E_KNOCK`
   */
  check(wish: Wish, from: Address, knock?: unknown): Promise<void> | undefined {
    const { contacts, senders } = this.#components;
    // With contacts, senders have to be known even if everybody's messages are taken: contacts have room of their own.
    if (this.#accept[wish] === 'anyone' && contacts.blocksNobody && (wish !== 'messages' || !contacts.acceptsSomebody)) return undefined;
    const known = senders.known(from);
    if (known !== undefined) { this.judge(wish, known, knock); return undefined; }
    return senders.find(from).then(
      (sender) => { this.judge(wish, sender, knock); },
      (thrown: unknown) => {
        if (this.#accept[wish] === 'anyone') return;
        throw new ProtoflyError('E_UNREACHABLE', `it can't be found out now who sends from ${from}`, { cause: thrown });
      },
    );
  }

  /** True if there are contacts, and a sender isn't known to be one. Room in inboxes is kept from him for them. */
  isGuest(from: Address): boolean {
    const { contacts, senders } = this.#components;
    if (!contacts.acceptsSomebody) return false;
    const user = senders.known(from)?.user;
    return user === undefined || (user !== this.#init.user && contacts.get(user)?.state !== 'accepted');
  }

  /** Checks that a sender may have what he wants. @throws ProtoflyError `E_BLOCKED`, `E_KNOCK` */
  judge(wish: Wish, sender: Sender, knock?: unknown): void {
    const { contacts, knocks } = this.#components;
    const { user, claimed, address } = sender;
    if (user === this.#init.user) return;
    const named = user ?? claimed;
    if (named !== undefined && contacts.get(named)?.state === 'blocked') throw new ProtoflyError('E_BLOCKED', `${this.#init.user} takes nothing from ${named}`);
    const audience: Audience = this.#accept[wish];
    if (audience === 'anyone' || (audience === 'domain' && domainOf(address) === this.#init.domain) || (user !== undefined && contacts.get(user)?.state === 'accepted')) return;
    if (wish === 'messages') knocks.note(sender, knock);
    throw new ProtoflyError('E_KNOCK', `${this.#init.user} takes ${WORDS[wish]} of ${audience === 'domain' ? 'the users of his domain' : 'his contacts'} alone`, {
      hint: wish === 'messages' ? 'he has been told that you knocked: send it again when he has accepted you' : 'he has to accept you first: protofly contact accept',
    });
  }
}
