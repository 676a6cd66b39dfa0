import type { MessageBus, Origin } from '../../bus/index.js';
import { identityAddress, isResponse, ProtoflyError, respond, SESSION_CLAIM, type Address, type Message, type SessionClaim } from '../../protocol/index.js';
import type { RuntimeKey } from '../../security/runtime-key.js';
import { Protostub } from '../stubs/protostubs.js';

export interface SessionSignerComponents {
  readonly bus: MessageBus;
  readonly key: RuntimeKey;
}

/** Maximum length of a challenge, in UTF-16 code units. */
const MAX_CHALLENGE = 1024;

/**
 * Signs the challenges of message nodes for the stubs that open sessions there, at `<runtime>/identity`. The signature
 * names the domain of the stub that asks, so no node can use it at another.
 * @see docs/protocol.md, "Identity"
 */
export class SessionSigner {
  readonly #key: RuntimeKey;
  readonly #runtime: Address;

  constructor({ bus, key }: SessionSignerComponents, { runtime }: { readonly runtime: Address }) {
    this.#key = key;
    this.#runtime = runtime;
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
    const claim: SessionClaim = { domain: origin.init.domain, nonce: challenge, runtime: this.#runtime };
    return this.#key.sign(SESSION_CLAIM, claim);
  }
}
