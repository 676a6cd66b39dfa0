import type { MessageBus, Origin } from '../../bus/index.js';
import { identityAddress, isResponse, ProtoflyError, respond, SESSION_CLAIM, type Address, type Message, type SessionClaim } from '../../protocol/index.js';
import type { IdentityKey } from '../../security/identity-key.js';
import type { UserIdentity } from '../identity/index.js';
import { Protostub } from '../stubs/protostubs.js';

export interface SessionSignerComponents {
  readonly bus: MessageBus;
  readonly key: IdentityKey;
  readonly identity: Pick<UserIdentity, 'certificate' | 'issuer' | 'refresh'>;
}

export interface SessionSignerInit {
  readonly runtime: Address;
  /** The runtime's own domain, in which it is its user's. */
  readonly domain: string;
  /** The token of an invitation to that domain. @default none */
  readonly invite?: string | undefined;
}

/** Maximum length of a challenge, in UTF-16 code units. */
const MAX_CHALLENGE = 1024;

/**
 * Signs the challenges of message nodes for the stubs that open sessions there, at `<runtime>/identity`. The signature
 * names the domain of the stub that asks, so no node can use it at another.
 * @see docs/protocol.md, "Identity"
 */
export class SessionSigner {
  readonly #key: IdentityKey;
  readonly #identity: SessionSignerComponents['identity'];
  readonly #init: SessionSignerInit;

  constructor({ bus, key, identity }: SessionSignerComponents, init: SessionSignerInit) {
    const { runtime } = init;
    this.#key = key;
    this.#identity = identity;
    this.#init = init;
    bus.addListener(identityAddress(runtime), async (message, origin) => {
      if (isResponse(message)) return;
      const value = await this.#sign(message, origin);
      void bus.post(respond(message, 200, { value }));
    });
  }

  /** @throws ProtoflyError `E_REFUSED`, `E_MESSAGE` */
  async #sign({ type, body }: Message, origin: Origin | undefined): Promise<string> {
    if (!(origin instanceof Protostub) || origin.init.kind !== 'msg-node') throw new ProtoflyError('E_REFUSED', 'a runtime signs for its message-node stubs alone');
    const { challenge } = (body?.['value'] ?? {}) as { readonly challenge?: unknown };
    if (type !== 'create' || typeof challenge !== 'string' || challenge.length > MAX_CHALLENGE) throw new ProtoflyError('E_MESSAGE', 'the only thing signed here is the challenge of a message node');
    const { runtime } = this.#init;
    const { domain } = origin.init;
    const claim: SessionClaim = { domain, nonce: challenge, runtime, ...(domain === this.#init.domain ? await this.#introduction() : {}) };
    return this.#key.sign(SESSION_CLAIM, claim);
  }

  /** Returns the part of a claim that says whose runtime this is. */
  async #introduction(): Promise<Partial<SessionClaim>> {
    await this.#identity.refresh();
    const { certificate, issuer } = this.#identity;
    const { invite } = this.#init;
    if (certificate !== undefined) return { certificate, ...(invite === undefined ? {} : { invite }) };
    return issuer === undefined ? {} : { device: issuer };
  }
}
