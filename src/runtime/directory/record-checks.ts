import { createHash } from 'node:crypto';
import { LruMap } from '../../kit/lru-map.js';
import { ProtoflyError, type Address, type Clock, type RegistryRecord } from '../../protocol/index.js';
import { checkRecord, checkUntil, signedFieldsOf, signedIn, type SignedUntil } from '../../security/signed-record.js';

export interface RecordChecksComponents {
  readonly clock: Clock;
  /** Checks the user whom a record names. */
  readonly users: {
    /** @throws ProtoflyError `E_CERTIFICATE`, `E_SIGNATURE`, `E_EXPIRED`, `E_REMOVED`, `E_USER_KEY` */
    check(record: RegistryRecord): Promise<unknown>;
  };
}

/** Maximum number of checked signatures, and of records whose newest serial is at hand. */
const MAX_REMEMBERED = 20_000;

interface Newest extends SignedUntil {
  readonly runtime: Address;
}

/**
 * Checks that the records of registries are what the runtimes in them have signed, and no older than those seen before
 * (docs/protocol.md, REG-10).
 */
export class RecordChecks {
  readonly #clock: Clock;
  readonly #users: RecordChecksComponents['users'];
  /** By the hash of what was checked. */
  readonly #checked = new LruMap<string, SignedUntil>(MAX_REMEMBERED);
  readonly #newest = new LruMap<Address, Newest>(MAX_REMEMBERED);

  constructor({ clock, users }: RecordChecksComponents) {
    this.#clock = clock;
    this.#users = users;
  }

  /**
   * Checks a record. Those of a runtime whose URL names no key can't be checked.
   * @param before the record of that address that was cached last, if any
   * @throws ProtoflyError `E_UNSIGNED`, `E_IDENTITY`, `E_SIGNATURE`, `E_EXPIRED`, `E_ROLLBACK`, `E_CERTIFICATE`, `E_REMOVED`, `E_USER_KEY`
   */
  async check(record: RegistryRecord, before: RegistryRecord | undefined): Promise<void> {
    const { url, runtime } = record;
    const checked = await this.#verify(record);
    await this.#users.check(record);
    // Read after the wait: another record of that address may have been checked meanwhile.
    const newest = this.#newest.get(url) ?? newestIn(before);
    if (newest !== undefined && newest.runtime !== runtime && Date.parse(newest.until) > this.#clock.date()) {
      throw new ProtoflyError('E_IDENTITY', `${url} is said to have moved from ${newest.runtime} to ${runtime}, and what the former signed is still valid`);
    }
    if (checked === undefined) return;
    checkUntil(checked, record, this.#clock.date());
    if (newest?.runtime === runtime && checked.serial < newest.serial) throw new ProtoflyError('E_ROLLBACK', `the record of ${url} is older than one seen before`);
    this.#newest.set(url, { runtime, ...checked });
  }

  async #verify(record: RegistryRecord): Promise<SignedUntil | undefined> {
    const hash = createHash('sha256').update(JSON.stringify([record.signature, signedFieldsOf(record)])).digest('base64url');
    const known = this.#checked.get(hash);
    if (known !== undefined) return known;
    const checked = await checkRecord(record);
    if (checked !== undefined) this.#checked.set(hash, checked);
    return checked;
  }
}

const newestIn = (record: RegistryRecord | undefined): Newest | undefined => {
  const signed = record === undefined ? undefined : signedIn(record);
  return record === undefined || signed === undefined ? undefined : { runtime: record.runtime, ...signed };
};
