import { createHash } from 'node:crypto';
import { LruMap } from '../../kit/lru-map.js';
import { ProtoflyError, SIGNED_FIELDS, type Address, type Clock, type RecordClaim, type RegistryRecord } from '../../protocol/index.js';
import { checkRecord, signedIn } from '../../security/signed-record.js';

/** Maximum number of checked signatures, and of records whose newest serial is at hand. */
const MAX_REMEMBERED = 20_000;
/** Difference between the clocks of two machines that is allowed, in milliseconds. */
const CLOCKS_MS = 3600 * 1000;

type Checked = Pick<RecordClaim, 'serial' | 'until'>;

interface Newest extends Checked {
  readonly runtime: Address;
}

/**
 * Checks that the records of registries are what the runtimes in them have signed, and no older than those seen before
 * (docs/protocol.md, REG-10).
 */
export class RecordChecks {
  readonly #clock: Clock;
  /** By the hash of what was checked. */
  readonly #checked = new LruMap<string, Checked>(MAX_REMEMBERED);
  readonly #newest = new LruMap<Address, Newest>(MAX_REMEMBERED);

  constructor({ clock }: { readonly clock: Clock }) {
    this.#clock = clock;
  }

  /**
   * Checks a record. Those of a runtime whose URL names no key can't be checked.
   * @param before the record of that address that was cached last, if any
   * @throws ProtoflyError `E_UNSIGNED`, `E_IDENTITY`, `E_SIGNATURE`, `E_EXPIRED`, `E_ROLLBACK`
   */
  async check(record: RegistryRecord, before: RegistryRecord | undefined): Promise<void> {
    const { url, runtime } = record;
    const newest = this.#newest.get(url) ?? newestIn(before);
    if (newest !== undefined && newest.runtime !== runtime && Date.parse(newest.until) > this.#clock.date()) {
      throw new ProtoflyError('E_IDENTITY', `${url} is said to have moved from ${newest.runtime} to ${runtime}, and what the former signed is still valid`);
    }
    const checked = await this.#verify(record);
    if (checked === undefined) return;
    const { serial, until } = checked;
    if (Date.parse(until) + CLOCKS_MS < this.#clock.date()) throw new ProtoflyError('E_EXPIRED', `the record of ${url} was valid until ${until}`, { hint: 'is this machine\'s clock right?' });
    if (newest?.runtime === runtime && serial < newest.serial) throw new ProtoflyError('E_ROLLBACK', `the record of ${url} is older than one seen before`);
    this.#newest.set(url, { runtime, serial, until });
  }

  async #verify(record: RegistryRecord): Promise<Checked | undefined> {
    const hash = createHash('sha256').update(JSON.stringify([record['signature'], ...SIGNED_FIELDS.map((field) => record[field])])).digest('base64url');
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
