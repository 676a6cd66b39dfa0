import { asProtoflyError, type Address, type Clock, type RegistryRecord } from '../../protocol/index.js';
import { RECORD_TTL_MS, signedFieldsOf, signRecord } from '../../security/signed-record.js';
import type { IdentityKey } from '../../security/identity-key.js';
import type { Collection } from '../../store/index.js';

/** The serials below `reserved` may have been used. */
export interface KeptSerials {
  readonly reserved: number;
}

export interface RecordSignerComponents {
  readonly clock: Clock;
  readonly key: IdentityKey;
  readonly kept: Collection<KeptSerials>;
  readonly log: (level: 'warn', text: string) => void;
}

interface Signed {
  /** The signed fields, as text. */
  readonly text: string;
  /** Date until which the signature is valid, in milliseconds since 1970. */
  readonly until: number;
  readonly signature: Promise<unknown>;
}

/** Age at which a record is signed anew, in milliseconds. */
const OLD_MS = 24 * 3600 * 1000;
/** Number of serials that one write reserves. */
const RESERVED = 10_000;
const KEY = 'records';

/** Signs the records of this runtime's hyperties: once for each change, once a day, and when the date was set. */
export class RecordSigner {
  readonly #components: RecordSignerComponents;
  readonly #signed = new Map<Address, Signed>();
  #serials: { next: number; reserved: number };
  #reserving: Promise<void> | undefined;

  constructor(components: RecordSignerComponents) {
    this.#components = components;
    // Serials rise also if the date was set back.
    const start = Math.max(components.clock.date(), components.kept.get(KEY)?.reserved ?? 0);
    this.#serials = { next: start, reserved: start };
  }

  /** Returns a record with a signature. */
  async sign(record: RegistryRecord): Promise<RegistryRecord> {
    const { url } = record;
    const text = JSON.stringify(signedFieldsOf(record));
    let signed = this.#signed.get(url);
    if (signed === undefined || signed.text !== text || this.isOld(url)) {
      const until = this.#components.clock.date() + RECORD_TTL_MS;
      signed = { text, until, signature: this.#make(record, until) };
      this.#signed.set(url, signed);
    }
    return { ...record, signature: await signed.signature };
  }

  /** True if the signature of a record is to be renewed. */
  isOld(url: Address): boolean {
    const signed = this.#signed.get(url);
    return signed === undefined || Math.abs(this.#components.clock.date() + RECORD_TTL_MS - signed.until) > OLD_MS;
  }

  /** Forgets the signature of a record, so that it gets another one. */
  forget(url: Address): void {
    this.#signed.delete(url);
  }

  async #make(record: RegistryRecord, until: number): Promise<unknown> {
    const serial = await this.#nextSerial();
    return (await signRecord(record, this.#components.key, { serial, until: new Date(until).toISOString() })).signature;
  }

  async #nextSerial(): Promise<number> {
    while (this.#serials.next >= this.#serials.reserved) await this.#reserve();
    const serial = this.#serials.next;
    this.#serials.next += 1;
    return serial;
  }

  /** Reserves serials. If that can't be written, they are used all the same: they begin at the date, and so rise unless it is set back. */
  #reserve(): Promise<void> {
    const { kept, log } = this.#components;
    const reserved = this.#serials.reserved + RESERVED;
    this.#reserving ??= kept.put(KEY, { reserved })
      .catch((thrown: unknown) => { log('warn', `the serials of records can't be kept: ${asProtoflyError(thrown).message}`); })
      .finally(() => {
        this.#serials.reserved = reserved;
        this.#reserving = undefined;
      });
    return this.#reserving;
  }
}
