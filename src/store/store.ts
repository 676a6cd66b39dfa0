/**
 * The Store port: named, ordered collections of JSON values. A store on disk outlives the process; one in memory
 * doesn't. Reads are synchronous and see every write started before. Keys are strings of 1 to 500 characters, ordered
 * by their UTF-8 bytes.
 */
export interface Store {
  /** Returns the collection of that name, created on first use. The same name always returns the same data. */
  collection<T>(name: string): Collection<T>;
  /**
   * Runs synchronous reads and writes as one: all writes are kept, or none if `run` throws. Resolves when they are
   * durable.
   */
  transaction<R>(run: () => R): Promise<R>;
  /** Waits for pending writes, then closes the files. Idempotent. */
  close(): Promise<void>;
}

export interface Collection<T> {
  get(key: string): T | undefined;
  /**
   * Resolves when the value would survive a crash.
   * @throws ProtoflyError `E_STORE`; synchronously for an invalid key or a value that is not JSON
   */
  put(key: string, value: T): Promise<void>;
  /** Deletes a key. Resolves when the deletion would survive a crash, with true if the key existed. */
  delete(key: string): Promise<boolean>;
  /** Returns the entries in key order, from a snapshot: writing during the iteration is safe. */
  entries(range?: Range): Iterable<readonly [key: string, value: T]>;
  /** Number of entries. */
  count(): number;
}

export interface Range {
  /** Only keys that start with this. */
  readonly prefix?: string;
  /** Only keys after this one. */
  readonly after?: string;
  readonly limit?: number;
  /** @default false */
  readonly reverse?: boolean;
}
