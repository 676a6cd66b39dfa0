/**
 * The Store port: named, ordered collections of JSON values that outlive the process, or (in memory) don't.
 * Reads are synchronous and see every write that was started before. Keys are strings of 1 to 500 characters,
 * ordered by their UTF-8 bytes.
 */
export interface Store {
  /** The collection of that name; made on first use. The same name gives the same data. */
  collection<T>(name: string): Collection<T>;
  /** Runs synchronous reads and writes as one: all of them are kept, or none (when it throws). Resolves when durable. */
  transaction<R>(run: () => R): Promise<R>;
  /** Waits for what was written, then lets go of the files. Idempotent. */
  close(): Promise<void>;
}

export interface Collection<T> {
  get(key: string): T | undefined;
  /** Resolves when the value would survive a crash. @throws ProtoflyError `E_STORE`, at once for a bad key or a value that is not JSON */
  put(key: string, value: T): Promise<void>;
  /** Resolves with whether there was such a key, when its absence would survive a crash. */
  delete(key: string): Promise<boolean>;
  /** Entries in key order. The iteration sees a snapshot: writing meanwhile is fine. */
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
