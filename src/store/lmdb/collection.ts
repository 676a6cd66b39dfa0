import type { Database, RangeOptions } from 'lmdb';
import { checkKey, encodeValue, keysIn, type Undo } from '../entries.js';
import { compareKeys, SortedMap } from '../sorted-map.js';
import type { Collection, Range } from '../store.js';
import type { TreeWork } from './growth.js';

/** Writes that become one lmdb transaction. */
export interface WriteBatch {
  readonly writes: Map<LmdbCollection<unknown>, Set<string>>;
  readonly done: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

/** A write that is not on disk yet. Without `text` it deletes the key. */
interface Unsettled {
  readonly text: string | undefined;
  readonly batch: WriteBatch;
}

export interface LmdbCollectionComponents {
  readonly database: Database<Buffer, Buffer>;
  readonly undo: Undo;
  readonly check: () => void;
  readonly batch: () => WriteBatch;
}

/** The statistics that lmdb returns for a tree. */
interface TreeStats {
  readonly treeDepth: number;
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly pageSize: number;
}

/** Maximum overhead of lmdb per entry, in bytes. */
const NODE_BYTES = 32;

const AFTER_ANY_TEXT = Buffer.from([0xff]);

export class LmdbCollection<T> implements Collection<T> {
  #database: Database<Buffer, Buffer>;
  readonly #undo: Undo;
  readonly #check: () => void;
  readonly #batch: () => WriteBatch;
  readonly #unsettled = new SortedMap<Unsettled>();

  constructor({ database, undo, check, batch }: LmdbCollectionComponents) {
    this.#database = database;
    this.#undo = undo;
    this.#check = check;
    this.#batch = batch;
  }

  /** Continues with a database that was opened again. */
  reopened(database: Database<Buffer, Buffer>): void {
    this.#database = database;
  }

  get(key: string): T | undefined {
    this.#check();
    const unsettled = this.#unsettled.get(checkKey(key));
    const text = unsettled === undefined ? textOf(this.#database.get(Buffer.from(key))) : unsettled.text;
    return text === undefined ? undefined : (JSON.parse(text) as T);
  }

  put(key: string, value: T): Promise<void> {
    this.#check();
    return this.#stage(checkKey(key), encodeValue(value));
  }

  delete(key: string): Promise<boolean> {
    this.#check();
    const existed = this.#has(checkKey(key));
    const deleted = this.#stage(key, undefined).then(() => existed);
    deleted.catch(() => undefined);
    return deleted;
  }

  *entries(range: Range = {}): Iterable<readonly [key: string, value: T]> {
    this.#check();
    let left = range.limit ?? Infinity;
    if (left <= 0) return;
    for (const [key, text] of this.#merged(range)) {
      yield [key, JSON.parse(text) as T];
      left -= 1;
      if (left <= 0) return;
    }
  }

  count(): number {
    this.#check();
    const { entryCount } = this.#database.getStats() as { entryCount: number };
    let count = entryCount;
    for (const key of keysIn(this.#unsettled, {})) {
      const onDisk = this.#database.doesExist(Buffer.from(key));
      if (this.#unsettled.get(key)?.text === undefined) count -= onDisk ? 1 : 0;
      else count += onDisk ? 0 : 1;
    }
    return count;
  }

  /** Returns the work of a batch in this collection. */
  work(keys: ReadonlySet<string>, batch: WriteBatch): TreeWork {
    const { treeDepth, treeBranchPageCount, treeLeafPageCount, pageSize } = this.#database.getStats() as TreeStats;
    let [writes, bytes, largePages] = [0, 0, 0];
    for (const key of keys) {
      const unsettled = this.#unsettled.get(key);
      if (unsettled?.batch !== batch) continue;
      writes += 1;
      if (unsettled.text === undefined) continue;
      const node = Buffer.byteLength(key) + NODE_BYTES;
      const size = Buffer.byteLength(unsettled.text);
      const isLarge = node + size > pageSize / 2 - NODE_BYTES;
      bytes += node + (isLarge ? 0 : size);
      largePages += isLarge ? Math.ceil((size + NODE_BYTES) / pageSize) : 0;
    }
    return { depth: treeDepth, pages: treeBranchPageCount + treeLeafPageCount, writes, bytes, largePages };
  }

  /** Passes this collection's part of a batch to lmdb. Must be called inside its transaction. */
  write(keys: ReadonlySet<string>, batch: WriteBatch): void {
    for (const key of keys) {
      const unsettled = this.#unsettled.get(key);
      if (unsettled?.batch !== batch) continue;
      if (unsettled.text === undefined) void this.#database.remove(Buffer.from(key));
      else void this.#database.put(Buffer.from(key), Buffer.from(unsettled.text));
    }
  }

  /** Forgets the staged values of these keys, because they are on disk now. Keys written again stay staged. */
  settle(keys: ReadonlySet<string>, batch: WriteBatch): void {
    for (const key of keys) if (this.#unsettled.get(key)?.batch === batch) this.#unsettled.delete(key);
  }

  #has(key: string): boolean {
    const unsettled = this.#unsettled.get(key);
    return unsettled === undefined ? this.#database.doesExist(Buffer.from(key)) : unsettled.text !== undefined;
  }

  #stage(key: string, text: string | undefined): Promise<void> {
    const batch = this.#batch();
    const before = this.#unsettled.get(key);
    this.#undo.note(() => {
      if (before === undefined) this.#unsettled.delete(key);
      else this.#unsettled.set(key, before);
    });
    const self = this as LmdbCollection<unknown>;
    const keys = batch.writes.get(self);
    if (keys === undefined) batch.writes.set(self, new Set([key]));
    else keys.add(key);
    this.#unsettled.set(key, { text, batch });
    return batch.done;
  }

  /** Yields entries on disk and staged entries in one order. Staged entries win. */
  *#merged(range: Range): Generator<readonly [string, string]> {
    const staged = [...keysIn(this.#unsettled, range)].map((key) => [key, this.#unsettled.get(key)!.text] as const);
    const sign = range.reverse === true ? -1 : 1;
    let at = 0;
    for (const { key: bytes, value } of this.#database.getRange(boundsOf(range))) {
      const key = bytes.toString();
      if (key === range.after) continue;
      if (range.reverse === true && isBelow(key, range)) break;
      let overwritten = false;
      for (; at < staged.length; at += 1) {
        const [stagedKey, text] = staged[at]!;
        const order = compareKeys(stagedKey, key) * sign;
        if (order > 0) break;
        overwritten ||= order === 0;
        if (text !== undefined) yield [stagedKey, text];
      }
      if (!overwritten) yield [key, textOf(value)];
    }
    for (; at < staged.length; at += 1) {
      const [key, text] = staged[at]!;
      if (text !== undefined) yield [key, text];
    }
  }
}

/** Returns the text of a value. For large values, lmdb returns a view of its own memory. */
function textOf(value: Uint8Array): string;
function textOf(value: Uint8Array | undefined): string | undefined;
function textOf(value: Uint8Array | undefined): string | undefined {
  return value === undefined ? undefined : Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString();
}

const isBelow = (key: string, { prefix = '', after = '' }: Range): boolean => compareKeys(key, prefix) < 0 || compareKeys(key, after) < 0;

const boundsOf = ({ prefix = '', after = '', reverse = false }: Range): RangeOptions => {
  const high = Buffer.concat([Buffer.from(prefix), AFTER_ANY_TEXT]);
  if (reverse) return { start: high, reverse };
  const low = compareKeys(after, prefix) > 0 ? after : prefix;
  return low === '' ? { end: high } : { start: Buffer.from(low), end: high };
};
