/**
 * A bounded map: keeps the newest `atLeast` entries, and at most twice as many. It evicts half of the entries
 * at once, so the cost per entry doesn't depend on the size.
 */
export class LruMap<K, V> {
  readonly #atLeast: number;
  #young = new Map<K, V>();
  #old = new Map<K, V>();

  constructor(atLeast: number) {
    this.#atLeast = atLeast;
  }

  get(key: K): V | undefined {
    return this.#young.get(key) ?? this.#old.get(key);
  }

  set(key: K, value: V): void {
    this.#old.delete(key);
    if (this.#young.size >= this.#atLeast) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, value);
  }

  delete(key: K): void {
    if (!this.#young.delete(key)) this.#old.delete(key);
  }
}
