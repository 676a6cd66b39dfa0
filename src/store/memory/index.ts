/**
 * A store in memory that ends with its process, for tests and for servers without durable state. It fulfils the
 * contract of the port except durability.
 */
import { ProtoflyError } from '../../protocol/index.js';
import { checkKey, encodeValue, keysIn, Undo } from '../entries.js';
import { SortedMap } from '../sorted-map.js';
import type { Collection, Range, Store } from '../store.js';

export const memoryStore = (): Store => new MemoryStore();

class MemoryStore implements Store {
  readonly #collections = new Map<string, MemoryCollection<unknown>>();
  readonly #undo = new Undo();
  #closed = false;

  collection<T>(name: string): Collection<T> {
    let collection = this.#collections.get(name);
    if (collection === undefined) {
      collection = new MemoryCollection(this.#undo, () => { this.#check(); });
      this.#collections.set(name, collection);
    }
    return collection as unknown as Collection<T>;
  }

  async transaction<R>(run: () => R): Promise<R> {
    this.#check();
    return this.#undo.run(run);
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #check(): void {
    if (this.#closed) throw new ProtoflyError('E_STORE', 'the store is closed');
  }
}

class MemoryCollection<T> implements Collection<T> {
  readonly #texts = new SortedMap<string>();
  readonly #undo: Undo;
  readonly #check: () => void;

  constructor(undo: Undo, check: () => void) {
    this.#undo = undo;
    this.#check = check;
  }

  get(key: string): T | undefined {
    this.#check();
    const text = this.#texts.get(checkKey(key));
    return text === undefined ? undefined : (JSON.parse(text) as T);
  }

  put(key: string, value: T): Promise<void> {
    this.#check();
    const text = encodeValue(value);
    this.#remember(checkKey(key));
    this.#texts.set(key, text);
    return Promise.resolve();
  }

  delete(key: string): Promise<boolean> {
    this.#check();
    this.#remember(checkKey(key));
    return Promise.resolve(this.#texts.delete(key));
  }

  *entries(range: Range = {}): Iterable<readonly [key: string, value: T]> {
    this.#check();
    const { limit = Infinity } = range;
    const found: (readonly [string, string])[] = [];
    if (limit > 0) {
      for (const key of keysIn(this.#texts, range)) {
        found.push([key, this.#texts.get(key)!]);
        if (found.length >= limit) break;
      }
    }
    for (const [key, text] of found) yield [key, JSON.parse(text) as T];
  }

  count(): number {
    this.#check();
    return this.#texts.size;
  }

  #remember(key: string): void {
    const before = this.#texts.get(key);
    this.#undo.note(() => {
      if (before === undefined) this.#texts.delete(key);
      else this.#texts.set(key, before);
    });
  }
}
