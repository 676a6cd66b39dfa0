import { ProtoflyError, type Address } from '../../protocol/index.js';
import type { AcceptPolicy } from './accept-policy.js';
import type { Contacts } from './contacts.js';
import type { Senders } from './senders.js';

export interface GuestsComponents {
  readonly contacts: Contacts;
  readonly senders: Senders;
  readonly policy: AcceptPolicy;
}

/** The runtimes that set up a direct connection with this one. */
export class Guests {
  readonly #components: GuestsComponents;

  constructor(components: GuestsComponents) {
    this.#components = components;
  }

  /**
   * Checks the certificate that a runtime shows, if any, and whether its user may connect.
   * @throws ProtoflyError `E_CERTIFICATE`, `E_SIGNATURE`, `E_EXPIRED`, `E_REMOVED`, `E_USER_KEY`, `E_BLOCKED`, `E_KNOCK`
   */
  async check(runtime: Address, certificate: unknown): Promise<void> {
    const { contacts, senders, policy } = this.#components;
    if (certificate === undefined && contacts.isRemoved(runtime)) throw new ProtoflyError('E_REMOVED', `${runtime} was removed by its user`);
    const user = certificate === undefined ? undefined : await contacts.recognise(certificate, runtime);
    if (user !== undefined) senders.note(runtime, user);
    policy.judge('p2p', { address: runtime, ...(user === undefined ? {} : { user }) });
  }
}
