import { ProtoflyError } from '../../../src/protocol/index.js';
import { checkKey, encodeValue, keysIn } from '../../../src/store/entries.js';
import type { Collection, Range, Store } from '../../../src/store/index.js';
import { SortedMap } from '../../../src/store/sorted-map.js';

/** `slow`: no write becomes durable. `failing`: every write fails. */
export type DiskState = 'good' | 'slow' | 'failing';

type Collections = Map<string, SortedMap<string>>;

/** The writes of one turn of the event loop. They become durable together or not at all. */
interface Batch {
  readonly writes: Map<string, Map<string, string | undefined>>;
  readonly done: Promise<void>;
  settle(error?: ProtoflyError): void;
}

const within = (collections: Collections, name: string): SortedMap<string> => {
  let texts = collections.get(name);
  if (texts === undefined) collections.set(name, texts = new SortedMap());
  return texts;
};

/** A disk that outlives the processes writing to it. Each process finds what was durable when the one before was killed. */
export class Disk {
  readonly #now: () => number;
  readonly #durable: Collections = new Map();
  #state: DiskState = 'good';
  /** The periods in which the disk was good. The last one has no end while it is good. */
  readonly #good: { readonly from: number; to: number }[];
  #store: DiskStore | undefined;

  /** @param now the world's time in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
    this.#good = [{ from: now(), to: Infinity }];
  }

  get state(): DiskState {
    return this.#state;
  }

  become(state: DiskState): void {
    if (this.#state === 'good' && state !== 'good') this.#good.at(-1)!.to = this.#now();
    if (this.#state !== 'good' && state === 'good') this.#good.push({ from: this.#now(), to: Infinity });
    this.#state = state;
    this.#store?.commit();
  }

  /** Returns the longest period without a break in which the disk was good, between two times. */
  goodFor(from: number, to: number): number {
    return Math.max(...this.#good.map((span) => Math.min(span.to, to) - Math.max(span.from, from)));
  }

  /** Opens the store for a new process. Writes of the process before that aren't durable are lost. */
  open(): Store {
    this.#store?.die();
    this.#store = new DiskStore({ durable: this.#durable, state: () => this.#state });
    return this.#store;
  }

  /** Ends the store, because its process was killed. */
  lose(): void {
    this.#store?.die();
    this.#store = undefined;
  }
}

interface DiskStoreComponents {
  readonly durable: Collections;
  readonly state: () => DiskState;
}

/** A store like that on a real disk: reads see every write at once; a failed write is undone. */
class DiskStore implements Store {
  readonly #components: DiskStoreComponents;
  readonly #live: Collections = new Map();
  #batches: Batch[] = [];
  #next: Batch | undefined;
  #dead = false;

  constructor(components: DiskStoreComponents) {
    this.#components = components;
    for (const [name, texts] of components.durable) {
      const live = within(this.#live, name);
      for (const key of texts.ascending('')) live.set(key, texts.get(key)!);
    }
  }

  collection<T>(name: string): Collection<T> {
    return new DiskCollection<T>({ texts: within(this.#live, name), write: (key, text) => this.#write(name, key, text) });
  }

  async transaction<R>(run: () => R): Promise<R> {
    const result = run();
    await this.#next?.done;
    return result;
  }

  async close(): Promise<void> {
    this.commit();
  }

  /** Ends the store: nothing more becomes durable, and no promise settles. */
  die(): void {
    this.#dead = true;
    this.#batches = [];
  }

  /** Makes pending writes durable, or fails them. */
  commit(): void {
    const state = this.#components.state();
    if (this.#dead || state === 'slow') return;
    this.#next = undefined;
    for (let batch = this.#batches.shift(); batch !== undefined; batch = this.#batches.shift()) {
      if (state === 'good') this.#keep(batch);
      else this.#undo(batch);
    }
  }

  #write(name: string, key: string, text: string | undefined): Promise<void> {
    const batch = this.#next ??= this.#begin();
    const writes = batch.writes.get(name) ?? new Map<string, string | undefined>();
    batch.writes.set(name, writes.set(key, text));
    const live = within(this.#live, name);
    if (text === undefined) live.delete(key);
    else live.set(key, text);
    return batch.done;
  }

  #begin(): Batch {
    let settle: Batch['settle'] = () => undefined;
    const done = new Promise<void>((resolve, reject) => { settle = (error) => { if (error === undefined) resolve(); else reject(error); }; });
    // Nobody awaits a single write of a transaction.
    done.catch(() => undefined);
    const batch: Batch = { writes: new Map(), done, settle };
    this.#batches.push(batch);
    setImmediate(() => {
      if (this.#next === batch) this.#next = undefined;
      this.commit();
    });
    return batch;
  }

  #keep({ writes, settle }: Batch): void {
    for (const [name, entries] of writes) {
      const texts = within(this.#components.durable, name);
      for (const [key, text] of entries) {
        if (text === undefined) texts.delete(key);
        else texts.set(key, text);
      }
    }
    settle();
  }

  #undo({ writes, settle }: Batch): void {
    for (const [name, entries] of writes) {
      const live = within(this.#live, name);
      for (const key of entries.keys()) {
        // Keeps entries that were written again since.
        if (this.#batches.some((later) => later.writes.get(name)?.has(key))) continue;
        const before = this.#components.durable.get(name)?.get(key);
        if (before === undefined) live.delete(key);
        else live.set(key, before);
      }
    }
    settle(new ProtoflyError('E_STORE', 'writing failed: no space left on device'));
  }
}

interface DiskCollectionComponents {
  readonly texts: SortedMap<string>;
  readonly write: (key: string, text: string | undefined) => Promise<void>;
}

class DiskCollection<T> implements Collection<T> {
  readonly #texts: SortedMap<string>;
  readonly #write: DiskCollectionComponents['write'];

  constructor({ texts, write }: DiskCollectionComponents) {
    this.#texts = texts;
    this.#write = write;
  }

  get(key: string): T | undefined {
    const text = this.#texts.get(checkKey(key));
    return text === undefined ? undefined : (JSON.parse(text) as T);
  }

  put(key: string, value: T): Promise<void> {
    return this.#write(checkKey(key), encodeValue(value));
  }

  delete(key: string): Promise<boolean> {
    const existed = this.#texts.has(checkKey(key));
    const deleted = this.#write(key, undefined).then(() => existed);
    deleted.catch(() => undefined);
    return deleted;
  }

  *entries(range: Range = {}): Iterable<readonly [key: string, value: T]> {
    let left = range.limit ?? Infinity;
    for (const [key, text] of [...keysIn(this.#texts, range)].map((at) => [at, this.#texts.get(at)!] as const)) {
      if (left <= 0) return;
      left -= 1;
      yield [key, JSON.parse(text) as T];
    }
  }

  count(): number {
    return this.#texts.size;
  }
}
