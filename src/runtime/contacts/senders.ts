import { LruMap } from '../../kit/lru-map.js';
import { runtimeOf, userRecordAddress, type Address, type Clock, type RegistryRecord } from '../../protocol/index.js';
import { isVerified } from '../../security/signed-record.js';

/** Who sends from an address. */
export interface Sender {
  readonly address: Address;
  /** The user who has proved that the address is his. */
  readonly user?: Address;
  /** The user that the address's record names without a proof. */
  readonly claimed?: Address;
  /** The name of the hyperty. */
  readonly name?: string;
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

  /** Finds out who sends from an address. Who can't be found out is nobody. */
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
    this.#senders.delete(runtime);
  }

  /** Forgets what was found out, because records or contacts have changed. */
  forget(): void {
    this.#senders.clear();
  }

  async #ask(address: Address): Promise<Sender> {
    const runtime = runtimeOf(address);
    const shown = runtime === undefined ? undefined : this.#users.get(runtime);
    if (shown !== undefined) return { address, user: shown };
    // What a registry says wrongly, or doesn't say, makes nobody a user.
    const record = await this.#components.records.find(runtime === undefined ? address : userRecordAddress(runtime), 'remote').catch(() => undefined);
    if (runtime !== undefined) return { address, ...(record?.user === undefined ? {} : isVerified(record) ? { user: record.user } : { claimed: record.user }) };
    if (record?.user === undefined) return { address, ...(record?.name === undefined ? {} : { name: record.name }) };
    const name = record.name === undefined ? {} : { name: record.name };
    return isVerified(record) ? { address, user: record.user, ...name } : { address, claimed: record.user, ...name };
  }
}
