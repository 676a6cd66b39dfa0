import { LruMap } from '../../kit/lru-map.js';
import { asProtoflyError, runtimeOf, userRecordAddress, type Address, type Clock, type RegistryRecord } from '../../protocol/index.js';
import { isVerified } from '../../security/signed-record.js';

/** The sender at an address. */
export interface Sender {
  readonly address: Address;
  /** The user who has proved that the address is his. */
  readonly user?: Address;
  /** The user that the address's record names without a proof. */
  readonly claimed?: Address;
  /** The name of the hyperty. */
  readonly name?: string;
  readonly runtime?: Address;
}

export interface SendersComponents {
  readonly clock: Clock;
  /** The records of addresses, checked. */
  readonly records: {
    /** @throws ProtoflyError */
    find(address: Address, cause: 'remote'): Promise<RegistryRecord | undefined>;
  };
}

interface Cached {
  readonly sender: Sender;
  readonly at: number;
}

/** Maximum number of senders that are remembered. */
const MAX_REMEMBERED = 20_000;
/** Time for which a sender is remembered, in milliseconds. */
const FRESH_MS = 60_000;

/** Finds out who sends from an address. What isn't known is looked up in the registry of its domain. */
export class Senders {
  readonly #components: SendersComponents;
  readonly #senders = new LruMap<Address, Cached>(MAX_REMEMBERED);
  /** The users whose certificates runtimes have shown, by runtime. */
  readonly #users = new LruMap<Address, Address>(MAX_REMEMBERED);

  constructor(components: SendersComponents) {
    this.#components = components;
  }

  /** Returns who sends from an address, if that is known. */
  known(address: Address): Sender | undefined {
    const cached = this.#senders.get(address);
    return cached === undefined || this.#components.clock.now() - cached.at >= FRESH_MS ? undefined : cached.sender;
  }

  /**
   * Finds out who sends from an address.
   * @throws ProtoflyError if the registry can't be asked now. What it says wrongly makes nobody a user
   */
  async find(address: Address): Promise<Sender> {
    const known = this.known(address);
    if (known !== undefined) return known;
    const sender = await this.#ask(address);
    this.#senders.set(address, { sender, at: this.#components.clock.now() });
    return sender;
  }

  /** Notes the user whose certificate a runtime has shown. */
  note(runtime: Address, user: Address): void {
    this.#users.set(runtime, user);
  }

  /** Forgets what was found out, because a user has removed a runtime. */
  forget(runtimeId: string): void {
    for (const runtime of [...this.#users.keys()]) if (runtime.endsWith(`/${runtimeId}`)) this.#users.delete(runtime);
    this.#senders.clear();
  }

  async #ask(address: Address): Promise<Sender> {
    const runtime = runtimeOf(address);
    const record = await this.#record(runtime === undefined ? address : userRecordAddress(runtime));
    const shown = runtime === undefined ? undefined : this.#users.get(runtime);
    const host = record?.runtime ?? runtime;
    // The name in the record of a runtime is that of a machine.
    const name = runtime === undefined ? record?.name : undefined;
    const found: Sender = { address, ...(host === undefined ? {} : { runtime: host }), ...(name === undefined ? {} : { name }) };
    if (record?.user === undefined) return shown === undefined ? found : { ...found, user: shown };
    return isVerified(record) ? { ...found, user: record.user } : { ...found, claimed: record.user };
  }

  /** Returns the record of an address, if there is one that can be believed. @throws ProtoflyError if its registry can't be asked */
  async #record(address: Address): Promise<RegistryRecord | undefined> {
    try {
      return await this.#components.records.find(address, 'remote');
    } catch (thrown) {
      const { status } = asProtoflyError(thrown);
      // A refusal says that what the registry shows isn't true, or that nobody here has turned to its domain.
      if (status === 403 || status === 404) return undefined;
      throw thrown;
    }
  }
}
