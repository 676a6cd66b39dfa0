/**
 * The store on disk: lmdb, one sub-database a collection. It is the only file that knows lmdb.
 *
 * What is written stands in memory first, where every read sees it at once, and goes to disk together with all that
 * was written in the same turn of the event loop, as one lmdb transaction. The disk is synchronised before such a
 * batch is acknowledged (`overlappingSync: false`: lmdb's own promise for a commit then means "on disk"; by default
 * it only means "visible"), so a batch is there as a whole after a crash, or not at all.
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
  /** The folder of the database; made when absent, readable by its owner alone. */
  readonly path: string;
  /** @default 32 */
  readonly maxCollections?: number;
}

/** Values are bytes: as strings, large ones come wrong from ranges once the database has grown. */
const FORMAT = { keyEncoding: 'binary', encoding: 'binary', cache: false } as const;

const ANY_KEY = Buffer.from('any');

/** What lmdb says of a database. */
interface RootStats {
  readonly pageSize: number;
  readonly lastPageNumber: number;
}

const NEW_COLLECTION: TreeWork = { depth: 1, pages: 0, writes: 1, bytes: 1024, largePages: 0 };
/** What only deletes may use of the room that the database has: a full disk can be emptied. */
const SPARE_PAGES = 64;

/** @throws ProtoflyError `E_STORE` when there is no usable database at `path` and none can be made */
export const openLmdbStore = ({ path, maxCollections = 32 }: LmdbStoreInit): Store => {
  try {
    return new LmdbStore({ path, maxCollections });
  } catch (cause) {
    throw storeError('opened', path, cause);
  }
};

const openRoot = (path: string, maxCollections: number): RootDatabase<Buffer, Buffer> => {
  prepareFiles(path);
  return open<Buffer, Buffer>(optionsOf(path, maxCollections));
};

const optionsOf = (path: string, maxCollections: number): RootDatabaseOptionsWithPath & { readonly batchStartThreshold: number } => ({
  ...FORMAT, path, noSubdir: false, maxDbs: maxCollections + 1,
  overlappingSync: false,
  // Batches are made here. Those of lmdb reject promises that nobody has, and have its thread read what isn't written yet.
  eventTurnBatching: false, batchStartThreshold: Number.MAX_SAFE_INTEGER,
});

class LmdbStore implements Store {
  readonly #init: Required<LmdbStoreInit>;
  readonly #collections = new Map<string, LmdbCollection<unknown>>();
  readonly #undo = new Undo();
  #root: RootDatabase<Buffer, Buffer>;
  readonly #reserve: Reserve;
  /** By how many pages the transaction that is being written may make the database longer. */
  #growing = 0;
  /** What gathers for the next lmdb transaction. */
  #next: WriteBatch | undefined;
  #writing: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(init: Required<LmdbStoreInit>) {
    this.#init = init;
    this.#root = openRoot(init.path, init.maxCollections);
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

  /** Writes batch after batch until there is none; what comes while the disk is busy gathers for the next one. */
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

  /** @returns by how many pages the database may become longer @throws what the file system says */
  #makeRoom(trees: readonly TreeWork[]): number {
    const { pageSize, lastPageNumber: lastPage } = this.#root.getStats() as RootStats;
    const growth = growthOf({ pageSize, lastPage, trees });
    const spare = trees.some(({ bytes }) => bytes > 0) ? SPARE_PAGES : 0;
    this.#reserve.ensure((lastPage + 1 + this.#growing) * pageSize, (growth + spare) * pageSize);
    return growth;
  }

  /** A file system that couldn't even overwrite lmdb's head has it refuse everything until it is opened again. */
  async #revive(): Promise<void> {
    try {
      this.#root.resetReadTxn();
      this.#root.doesExist(ANY_KEY);
    } catch {
      try {
        await this.#root.close();
        this.#root = openRoot(this.#init.path, this.#init.maxCollections);
        for (const [name, collection] of this.#collections) collection.reopened(this.#openCollection(name));
      } catch {
        // The next batch fails, and tries again.
      }
    }
  }
}

/** Whether there is a collection of that name on disk: opening that writes nothing. */
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
  // Whoever waits is told; a write inside a transaction has nobody who waits for it by itself.
  promise.catch(() => undefined);
  return { promise, resolve, reject };
};
