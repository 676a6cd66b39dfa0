/**
 * The store on disk: lmdb, with one sub-database per collection. Only this folder knows lmdb.
 *
 * A write is staged in memory first, where all reads see it at once. All writes of one turn of the event loop go to
 * disk as one lmdb transaction. The disk is synchronised before such a batch is acknowledged. So after a crash, a
 * batch is there completely or not at all. This needs `overlappingSync: false`: then lmdb's promise for a commit
 * means "on disk"; by default it only means "visible".
 *
 * Before each batch a reserve makes sure that the disk has room for it (docs/adr/014): lmdb must never find the disk full.
 */
import { open, type Database, type RootDatabase, type RootDatabaseOptionsWithPath } from 'lmdb';
import { ProtoflyError } from '../../protocol/index.js';
import { checkKey, Undo } from '../entries.js';
import type { Collection, Store } from '../store.js';
import { LmdbCollection, type WriteBatch } from './collection.js';
import { reasonOf, storeError } from './failure.js';
import { dataFile, prepareFiles } from './files.js';
import { growthOf, type TreeWork } from './growth.js';
import { Reserve } from './reserve.js';

export interface LmdbStoreInit {
  /** The folder of the database. It is created if missing, readable only by its owner. */
  readonly path: string;
}

/** Maximum number of collections in a store. */
const MAX_COLLECTIONS = 32;
/** Values are bytes: large strings are read wrongly from ranges once the database has grown. */
const FORMAT = { keyEncoding: 'binary', encoding: 'binary', cache: false } as const;

const ANY_KEY = Buffer.from('any');

/** The statistics that lmdb returns for a database. */
interface RootStats {
  readonly pageSize: number;
  readonly lastPageNumber: number;
}

const NEW_COLLECTION: TreeWork = { depth: 1, pages: 0, writes: 1, bytes: 1024, largePages: 0 };
/** Number of pages reserved for deletes, so that a full disk can be emptied. */
const SPARE_PAGES = 64;

/** @throws ProtoflyError `E_STORE` if there is no usable database at `path` and none can be created */
export const openLmdbStore = ({ path }: LmdbStoreInit): Store => {
  try {
    return new LmdbStore({ path });
  } catch (cause) {
    throw storeError('opened', path, cause);
  }
};

const openRoot = (path: string): RootDatabase<Buffer, Buffer> => {
  prepareFiles(path);
  return open<Buffer, Buffer>(optionsOf(path));
};

const optionsOf = (path: string): RootDatabaseOptionsWithPath & { readonly batchStartThreshold: number } => ({
  ...FORMAT, path, noSubdir: false, maxDbs: MAX_COLLECTIONS + 1,
  overlappingSync: false,
  // Batches are made here. lmdb's own batches reject promises without a handler, and its thread reads data that isn't
  // written yet.
  eventTurnBatching: false, batchStartThreshold: Number.MAX_SAFE_INTEGER,
});

class LmdbStore implements Store {
  readonly #init: LmdbStoreInit;
  readonly #collections = new Map<string, LmdbCollection<unknown>>();
  readonly #undo = new Undo();
  #root: RootDatabase<Buffer, Buffer>;
  readonly #reserve: Reserve;
  /** Maximum number of pages that the current transaction may add to the database. */
  #growing = 0;
  /** The batch for the next lmdb transaction. */
  #next: WriteBatch | undefined;
  #writing: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(init: LmdbStoreInit) {
    this.#init = init;
    this.#root = openRoot(init.path);
    this.#reserve = new Reserve(init.path, dataFile(init.path));
  }

  collection<T>(name: string): Collection<T> {
    let collection = this.#collections.get(name);
    if (collection === undefined) {
      this.#check();
      const database = this.#openCollection(checkKey(name));
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
    this.#reserve.close();
    await this.#root.close();
  }

  #check(): void {
    if (this.#closing !== undefined) throw new ProtoflyError('E_STORE', 'the store is closed');
  }

  #batch(): WriteBatch {
    if (this.#next === undefined) {
      const { promise, resolve, reject } = withResolvers();
      this.#next = { writes: new Map(), done: promise, resolve, reject };
      this.#writing ??= this.#write();
    }
    return this.#next;
  }

  #openCollection(name: string): Database<Buffer, Buffer> {
    try {
      if (!isIn(this.#root, name)) this.#makeRoom([NEW_COLLECTION]);
      return this.#root.openDB<Buffer, Buffer>({ name, ...FORMAT });
    } catch (cause) {
      throw storeError('written', this.#init.path, cause);
    }
  }

  /** Writes batches until none is left. Writes that arrive meanwhile are collected in the next batch. */
  async #write(): Promise<void> {
    while (this.#next !== undefined) {
      await new Promise((resolve) => { setImmediate(resolve); });
      const batch = this.#next;
      this.#next = undefined;
      try {
        this.#growing = this.#makeRoom([...batch.writes].map(([collection, keys]) => collection.work(keys, batch)));
        await this.#root.batch(() => {
          for (const [collection, keys] of batch.writes) collection.write(keys, batch);
        });
        this.#root.resetReadTxn();
        settle(batch);
        batch.resolve();
      } catch (cause) {
        const error = storeError('written', this.#init.path, await reasonOf(cause));
        await this.#revive();
        settle(batch);
        batch.reject(error);
      } finally {
        this.#growing = 0;
      }
    }
    this.#writing = undefined;
  }

  /** Reserves disk space. @returns the maximum number of pages to be added @throws errors of the file system */
  #makeRoom(trees: readonly TreeWork[]): number {
    const { pageSize, lastPageNumber: lastPage } = this.#root.getStats() as RootStats;
    const growth = growthOf({ pageSize, lastPage, trees });
    const spare = trees.some(({ bytes }) => bytes > 0) ? SPARE_PAGES : 0;
    this.#reserve.ensure((lastPage + 1 + this.#growing) * pageSize, (growth + spare) * pageSize);
    return growth;
  }

  /**
   * Opens the database again if lmdb refuses everything. It does so after the disk has refused to overwrite its
   * header.
   */
  async #revive(): Promise<void> {
    try {
      this.#root.resetReadTxn();
      this.#root.doesExist(ANY_KEY);
    } catch {
      try {
        await this.#root.close();
        this.#root = openRoot(this.#init.path);
        for (const [name, collection] of this.#collections) collection.reopened(this.#openCollection(name));
      } catch {
        // The next batch will fail, and try again.
      }
    }
  }
}

/** True if a collection of that name is on disk. Opening it then writes nothing. */
const isIn = (root: RootDatabase<Buffer, Buffer>, name: string): boolean => {
  for (const key of root.getKeys({ start: Buffer.from(name), limit: 1 })) return key.toString() === name;
  return false;
};

const settle = (batch: WriteBatch): void => {
  for (const [collection, keys] of batch.writes) collection.settle(keys, batch);
};

const withResolvers = (): { promise: Promise<void>; resolve: () => void; reject: (error: Error) => void } => {
  let resolve: () => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<void>((yes, no) => { resolve = yes; reject = no; });
  // If the promise is ignored, its rejection must not end the program. Nobody awaits single writes within a
  // transaction.
  promise.catch(() => undefined);
  return { promise, resolve, reject };
};
