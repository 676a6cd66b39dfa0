/**
 * The store on disk: lmdb, one sub-database a collection. It is the only file that knows lmdb.
 *
 * What is written stands in memory first, where every read sees it at once, and goes to disk together with all that
 * was written in the same turn of the event loop, as one lmdb transaction. The disk is synchronised before such a
 * batch is acknowledged (`overlappingSync: false`: lmdb's own promise for a commit then means "on disk"; by default
 * it only means "visible"), so a batch is there as a whole after a crash, or not at all.
 */
import { mkdirSync } from 'node:fs';
import { open, type RootDatabase } from 'lmdb';
import { asProtoflyError, ProtoflyError } from '../../protocol/index.js';
import { checkKey, Undo } from '../entries.js';
import type { Collection, Store } from '../store.js';
import { LmdbCollection, type Batch } from './collection.js';

export interface LmdbStoreInit {
  /** The folder of the database; made when absent, readable by its owner alone. */
  readonly path: string;
  /** @default 32 */
  readonly maxCollections?: number;
}

/** @throws ProtoflyError `E_STORE` when there is no usable database at `path` and none can be made */
export const openLmdbStore = ({ path, maxCollections = 32 }: LmdbStoreInit): Store => {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return new LmdbStore(open({ path, noSubdir: false, overlappingSync: false, maxDbs: maxCollections + 1, keyEncoding: 'binary', encoding: 'string', cache: false }));
  } catch (cause) {
    throw new ProtoflyError('E_STORE', `the store at ${path} can't be opened: ${asProtoflyError(cause).message}`, { cause });
  }
};

class LmdbStore implements Store {
  readonly #root: RootDatabase<string, Buffer>;
  readonly #collections = new Map<string, LmdbCollection<unknown>>();
  readonly #undo = new Undo();
  /** What gathers for the next lmdb transaction. */
  #next: Batch | undefined;
  #writing: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(root: RootDatabase<string, Buffer>) {
    this.#root = root;
  }

  collection<T>(name: string): Collection<T> {
    let collection = this.#collections.get(name);
    if (collection === undefined) {
      this.#check();
      const database = this.#root.openDB<string, Buffer>({ name: checkKey(name), keyEncoding: 'binary', encoding: 'string', cache: false });
      collection = new LmdbCollection({ database, undo: this.#undo, check: () => { this.#check(); }, batch: () => this.#batch() });
      this.#collections.set(name, collection);
    }
    return collection as unknown as Collection<T>;
  }

  async transaction<R>(run: () => R): Promise<R> {
    this.#check();
    const result = this.#undo.run(run);
    if (this.#next !== undefined) await this.#next.done;
    return result;
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  async #end(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    await this.#root.close();
  }

  #check(): void {
    if (this.#closing !== undefined) throw new ProtoflyError('E_STORE', 'the store is closed');
  }

  #batch(): Batch {
    if (this.#next === undefined) {
      const { promise, resolve, reject } = withResolvers();
      this.#next = { writes: new Map(), done: promise, resolve, reject };
      this.#writing ??= this.#write();
    }
    return this.#next;
  }

  /** Writes batch after batch until there is none; what comes while the disk is busy gathers for the next one. */
  async #write(): Promise<void> {
    while (this.#next !== undefined) {
      await new Promise((resolve) => { setImmediate(resolve); });
      const batch = this.#next;
      this.#next = undefined;
      try {
        await this.#root.batch(() => {
          for (const [collection, keys] of batch.writes) collection.write(keys, batch);
        });
        this.#root.resetReadTxn();
        for (const [collection, keys] of batch.writes) collection.settle(keys, batch);
        batch.resolve();
      } catch (cause) {
        for (const [collection, keys] of batch.writes) collection.settle(keys, batch);
        batch.reject(new ProtoflyError('E_STORE', `writing failed: ${asProtoflyError(cause).message}`, { cause }));
      }
    }
    this.#writing = undefined;
  }
}

const withResolvers = (): { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } => {
  let resolve: () => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<void>((yes, no) => { resolve = yes; reject = no; });
  // Whoever waits is told; a write inside a transaction has nobody who waits for it by itself.
  promise.catch(() => undefined);
  return { promise, resolve, reject };
};
