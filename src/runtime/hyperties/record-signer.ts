import { SIGNED_FIELDS, type Address, type Clock, type RegistryRecord } from '../../protocol/index.js';
import { signRecord } from '../../security/signed-record.js';
import type { RuntimeKey } from '../../security/runtime-key.js';
import type { Collection } from '../../store/index.js';

/** The serials below `reserved` may have been used. */
export interface KeptSerials {
  readonly reserved: number;
}

export interface RecordSignerComponents {
  readonly clock: Clock;
  readonly key: RuntimeKey;
  readonly kept: Collection<KeptSerials>;
}

interface Signed {
  /** The signed fields, as text. */
  readonly text: string;
  readonly signature: unknown;
  /** In steady time. */
  readonly at: number;
}

/** Lifetime of a signature, in milliseconds. A record outlives its runtime's absence by a week. */
const TTL_MS = 30 * 24 * 3600 * 1000;
/** Age at which a record is signed anew, in milliseconds. */
const OLD_MS = 24 * 3600 * 1000;
/** Number of serials that one write reserves. */
const RESERVED = 10_000;
const KEY = 'records';

/** Signs the records of this runtime's hyperties: once for each change, and once a day. */
export class RecordSigner {
  readonly #components: RecordSignerComponents;
  readonly #signed = new Map<Address, Signed>();
  #serials: { next: number; reserved: number };
  #reserving: Promise<void> | undefined;

  constructor(components: RecordSignerComponents) {
    this.#components = components;
    // The date keeps serials rising if the store was lost; the store, if the clock was set back.
    const start = Math.max(components.clock.date(), components.kept.get(KEY)?.reserved ?? 0);
    this.#serials = { next: start, reserved: start };
  }

  /** Returns a record with a signature. @throws ProtoflyError `E_STORE` */
  async sign(record: RegistryRecord): Promise<RegistryRecord> {
    const { clock, key } = this.#components;
    const text = textOf(record);
    const known = this.#signed.get(record.url);
    if (known !== undefined && known.text === text && !this.isOld(record.url)) return { ...record, signature: known.signature };
    const serial = await this.#nextSerial();
    const signed = await signRecord(record, key, { serial, until: new Date(clock.date() + TTL_MS).toISOString() });
    this.#signed.set(record.url, { text, signature: signed['signature'], at: clock.now() });
    return signed;
  }

  /** True if the signature of a record is to be renewed. */
  isOld(url: Address): boolean {
    const known = this.#signed.get(url);
    return known === undefined || this.#components.clock.now() - known.at > OLD_MS;
  }

  forget(url: Address): void {
    this.#signed.delete(url);
  }

  async #nextSerial(): Promise<number> {
    while (this.#serials.next >= this.#serials.reserved) await this.#reserve();
    const serial = this.#serials.next;
    this.#serials.next += 1;
    return serial;
  }

  #reserve(): Promise<void> {
    const reserved = this.#serials.reserved + RESERVED;
    this.#reserving ??= this.#components.kept.put(KEY, { reserved }).then(() => { this.#serials.reserved = reserved; }).finally(() => { this.#reserving = undefined; });
    return this.#reserving;
  }
}

const textOf = (record: RegistryRecord): string => JSON.stringify(SIGNED_FIELDS.map((field) => record[field]));
