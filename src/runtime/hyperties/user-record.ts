import type { MessageBus } from '../../bus/index.js';
import { asProtoflyError, child, DEFAULT_EXPIRES, registryAddress, userRecordAddress, type Address, type RegistryRecord } from '../../protocol/index.js';
import type { UserIdentity } from '../identity/index.js';
import type { RecordSigner } from './record-signer.js';

export interface UserRecordComponents {
  readonly bus: MessageBus;
  readonly identity: Pick<UserIdentity, 'user' | 'certificate' | 'device'>;
  readonly signer: RecordSigner;
  readonly log: (level: 'warn', text: string) => void;
}

export interface UserRecordInit {
  readonly runtime: Address;
  readonly domain: string;
}

/**
 * The record of this runtime's user, at `<runtime>/user`. By it others know whose programs send that are no hyperties.
 * @see docs/protocol.md, IDN-9
 */
export class UserRecord {
  readonly #components: UserRecordComponents;
  readonly #init: UserRecordInit;
  readonly #url: Address;

  constructor(components: UserRecordComponents, init: UserRecordInit) {
    this.#components = components;
    this.#init = init;
    this.#url = userRecordAddress(init.runtime);
  }

  /** Registers the record anew. Messages don't depend on it: if that fails, others see the address instead of the user. */
  async announce(): Promise<void> {
    const { bus, signer, log } = this.#components;
    const record = this.#record();
    if (record === undefined) return;
    try {
      const value = await signer.sign(record);
      await bus.ask({ type: 'create', from: child(this.#init.runtime, 'registry'), to: registryAddress(this.#init.domain), body: { value } });
    } catch (thrown) {
      signer.forget(this.#url);
      log('warn', `the user of this runtime is not registered: ${asProtoflyError(thrown).message}`);
    }
  }

  /** Keeps the record alive. */
  async touch(): Promise<void> {
    const { bus, signer } = this.#components;
    if (this.#record() === undefined) return;
    const response = signer.isOld(this.#url) ? undefined : await bus.request({ type: 'update', from: child(this.#init.runtime, 'registry'), to: registryAddress(this.#init.domain), body: { resource: this.#url } });
    if (response === undefined || response.body.code === 404) await this.announce();
  }

  #record(): RegistryRecord | undefined {
    const { user, certificate, device } = this.#components.identity;
    return certificate === undefined ? undefined : { url: this.#url, runtime: this.#init.runtime, user, certificate, name: device, dataSchemes: [], resources: [], status: 'live', expires: DEFAULT_EXPIRES };
  }
}
