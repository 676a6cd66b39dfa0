import { ProtoflyError, partsOf, type Address, type Clock, type RecordStatus, type RegistryRecord } from '../../../protocol/index.js';
import type { Collection, Store } from '../../../store/store.js';
import { digest, keyOf, timeKey } from '../keys.js';
import { REGISTRY_LIMITS, type RegistryLimits } from './limits.js';
import { RecordQuota, type Owner } from './quota.js';

/** Attributes that records can be searched by. */
export const ATTRIBUTES = ['user', 'guid', 'name', 'runtime'] as const;
export type Attribute = (typeof ATTRIBUTES)[number];

interface Entry {
  readonly record: RegistryRecord;
  /** Time at which a live record becomes disconnected, or a disconnected one is removed. Milliseconds since 1970. */
  readonly due: number;
  /** The size that counts, in KiB. Absent in records of earlier versions. */
  readonly kib?: number;
  /** The holder whose share the record counts for. */
  readonly holder?: string | undefined;
}

export interface RecordsInit {
  /** Time for which a disconnected record is kept, in milliseconds. */
  readonly keepDisconnectedMs: number;
  /** @default REGISTRY_LIMITS */
  readonly limits?: Partial<RegistryLimits>;
}

export const isLive = (status: RecordStatus): boolean => status === 'live' || status === 'created';

/** Maximum number of entries per transaction. */
const BATCH = 200;

/**
 * The records of a domain. They are only in the store, so memory doesn't grow with their number. Index entries are
 * written in the same transaction as their record: `<attribute> <value> <L or D> <url>` for searches, `<time> <url>`
 * for expiry. Live and disconnected records are indexed apart, so a search never scans old records.
 */
export class StoredRecords {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #entries: Collection<Entry>;
  readonly #index: Collection<Address>;
  readonly #due: Collection<Address>;
  readonly #keepMs: number;
  readonly #limits: RegistryLimits;
  readonly #quota: RecordQuota;

  constructor({ store, clock }: { readonly store: Store; readonly clock: Clock }, init: RecordsInit) {
    this.#store = store;
    this.#clock = clock;
    this.#entries = store.collection('records');
    this.#index = store.collection('records-index');
    this.#due = store.collection('records-due');
    this.#keepMs = init.keepDisconnectedMs;
    this.#limits = { ...REGISTRY_LIMITS, ...init.limits };
    this.#quota = new RecordQuota({ store }, this.#limits);
  }

  get(url: Address): RegistryRecord | undefined {
    const entry = this.#entries.get(keyOf(url));
    // Long addresses have a digest in their key: compare the URL to be sure.
    return entry?.record.url === url ? entry.record : undefined;
  }

  count(): number {
    return this.#entries.count();
  }

  /** The records refused since the start because their runtime or remote address had its share. */
  get refused(): number {
    return this.#quota.refused;
  }

  /**
   * Writes a record, in place of the one with the same URL.
   * @param holder the holder whose share it counts for
   * @throws ProtoflyError `E_TOO_LARGE`, `E_TOO_MANY`
   */
  put(record: RegistryRecord, holder?: string): Promise<void> {
    const bytes = Buffer.byteLength(JSON.stringify(record));
    if (bytes > this.#limits.recordBytes) throw new ProtoflyError('E_TOO_LARGE', `a record of ${String(bytes)} bytes is larger than ${String(this.#limits.recordBytes)}`);
    return this.#store.transaction(() => {
      const before = this.#entries.get(keyOf(record.url));
      const kib = kibOf(record);
      const owner: Owner = { runtime: record.runtime, holder };
      const isSame = before !== undefined && before.holder === holder;
      const more = isSame ? { records: 0, kib: kib - (before.kib ?? 0) } : { records: 1, kib };
      // A record that is written again for another holder gives up its old place.
      if (before !== undefined && !isSame) this.#charge(before, undefined);
      if (!this.#quota.fitsRuntime(record.runtime, more)) this.#makeRoom(record);
      this.#quota.check(owner, more);
      if (before !== undefined && !isSame) this.#charge(undefined, before);
      this.#write(record, holder);
    });
  }

  remove(url: Address): Promise<void> {
    return this.#store.transaction(() => { this.#delete(this.#entries.get(keyOf(url))); });
  }

  /** Removes all records of a user, or those in one of his runtimes. */
  async removeOf(user: Address, runtime?: Address): Promise<void> {
    for (const live of [true, false]) {
      for (let removed = BATCH; removed === BATCH;) {
        removed = await this.#store.transaction(() => {
          const batch: RegistryRecord[] = [];
          for (const record of runtime === undefined ? this.find('user', user, live) : this.find('runtime', runtime, live)) if (record.user === user && batch.push(record) === BATCH) break;
          for (const { url } of batch) this.#delete(this.#entries.get(keyOf(url)));
          return batch.length;
        });
      }
    }
  }

  /**
   * Yields records by attribute, in the order of their keys.
   * @param after only records behind the one with this URL
   */
  *find(attribute: Attribute, value: string, live: boolean, after?: Address): Generator<RegistryRecord> {
    const prefix = `${indexPrefix(attribute, value)}${live ? 'L' : 'D'} `;
    for (const [, url] of this.#index.entries({ prefix, ...(after === undefined ? {} : { after: prefix + keyOf(after) }) })) {
      const record = this.get(url);
      if (record?.[attribute] === value) yield record;
    }
  }

  /**
   * Yields all records, in the order of their keys.
   * @param after only records behind the one with this URL
   */
  *all(after?: Address): Generator<RegistryRecord> {
    for (const [, { record }] of this.#entries.entries(after === undefined ? {} : { after: keyOf(after) })) yield record;
  }

  /**
   * Marks all live records of a runtime as disconnected.
   * @param onChanged called for each record, once the change is durable
   */
  async disconnect(runtime: Address, onChanged: (record: RegistryRecord) => void): Promise<void> {
    for (;;) {
      const changed = await this.#store.transaction(() => {
        const batch: RegistryRecord[] = [];
        for (const record of this.find('runtime', runtime, true)) {
          batch.push({ ...record, status: 'disconnected', lastModified: this.#now() });
          if (batch.length === BATCH) break;
        }
        for (const record of batch) this.#rewrite(record);
        return batch;
      });
      changed.forEach(onChanged);
      if (changed.length < BATCH) return;
    }
  }

  /** Returns the time at which the next record after `after` is due. */
  nextDue(after: number): number | undefined {
    for (const [key] of this.#due.entries({ after: `${timeKey(after)} \uffff`, limit: 1 })) return Number.parseInt(key, 10);
    return undefined;
  }

  /**
   * Expires the records due after `from` and by now: live ones become disconnected, others are removed.
   * @returns true if there may be more
   */
  async expire(from: number, onChanged: (record: RegistryRecord) => void): Promise<boolean> {
    const now = timeKey(this.#clock.now() + 1);
    const { changed, seen } = await this.#store.transaction(() => {
      const due = [...this.#due.entries({ after: timeKey(from), limit: BATCH })].filter(([key]) => key < now);
      const turned: RegistryRecord[] = [];
      for (const [key, url] of due) {
        const record = this.get(url);
        if (record === undefined) { void this.#due.delete(key); continue; }
        if (isLive(record.status)) {
          const expired: RegistryRecord = { ...record, status: 'disconnected', lastModified: this.#now() };
          turned.push(expired);
          this.#rewrite(expired);
        } else this.#delete(this.#entries.get(keyOf(url)));
      }
      return { changed: turned, seen: due.length };
    });
    changed.forEach(onChanged);
    return seen === BATCH;
  }

  #now(): string {
    return new Date(this.#clock.date()).toISOString();
  }

  /** Removes disconnected records of the runtime. Must be called inside a transaction, like all that follows. */
  #makeRoom({ runtime, url }: RegistryRecord): void {
    let removed = 0;
    for (const old of this.find('runtime', runtime, false)) {
      if (old.url === url) continue;
      this.#delete(this.#entries.get(keyOf(old.url)));
      removed += 1;
      if (removed === BATCH) return;
    }
  }

  /** Writes a changed record for its holder. */
  #rewrite(record: RegistryRecord): void {
    this.#write(record, this.#entries.get(keyOf(record.url))?.holder);
  }

  #write(record: RegistryRecord, holder: string | undefined): void {
    const key = keyOf(record.url);
    const before = this.#entries.get(key);
    this.#unlink(before);
    const entry: Entry = { record, due: this.#clock.now() + (isLive(record.status) ? record.expires * 1000 : this.#keepMs), kib: kibOf(record), ...(holder === undefined ? {} : { holder }) };
    this.#charge(before, entry);
    void this.#entries.put(key, entry);
    for (const place of placesOf(entry)) void this.#index.put(place, record.url);
    void this.#due.put(`${timeKey(entry.due)} ${key}`, record.url);
  }

  #delete(entry: Entry | undefined): void {
    if (entry === undefined) return;
    this.#unlink(entry);
    this.#charge(entry, undefined);
    void this.#entries.delete(keyOf(entry.record.url));
  }

  #charge(before: Entry | undefined, now: Entry | undefined): void {
    if (before !== undefined && now !== undefined && before.holder === now.holder) {
      this.#quota.count(ownerOf(now), { records: 0, kib: (now.kib ?? 0) - (before.kib ?? 0) });
      return;
    }
    if (before !== undefined) this.#quota.count(ownerOf(before), { records: -1, kib: -(before.kib ?? 0) });
    if (now !== undefined) this.#quota.count(ownerOf(now), { records: 1, kib: now.kib ?? 0 });
  }

  #unlink(entry: Entry | undefined): void {
    if (entry === undefined) return;
    for (const place of placesOf(entry)) void this.#index.delete(place);
    void this.#due.delete(`${timeKey(entry.due)} ${keyOf(entry.record.url)}`);
  }
}

/** Returns the size of a record that counts. It stays the same when only times and the status change. */
const kibOf = ({ status: _status, lastModified: _modified, ...rest }: RegistryRecord): number => Math.ceil(Buffer.byteLength(JSON.stringify(rest)) / 1024);

const ownerOf = ({ record: { runtime }, holder }: Entry): Owner => ({ runtime, holder });

const indexPrefix = (attribute: Attribute, value: string): string => `${attribute} ${digest(value)} `;

const placesOf = ({ record }: Entry): string[] =>
  ATTRIBUTES.flatMap((attribute) => {
    const value = record[attribute];
    return value === undefined ? [] : [`${indexPrefix(attribute, value)}${isLive(record.status) ? 'L' : 'D'} ${keyOf(record.url)}`];
  });

/**
 * True if the record matches a scheme. `hyperty` means records of hyperties, `dataobject` all others but those of runtimes; any other word
 * must equal the scheme of the URL.
 */
export const hasScheme = (record: RegistryRecord, wanted: string): boolean => {
  const { scheme } = partsOf(record.url);
  return wanted === scheme || (/^data-?objects?$/.test(wanted) && scheme !== 'hyperty' && scheme !== 'hyperty-runtime');
};
