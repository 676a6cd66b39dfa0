/** Maximum number of keys in a block before it is split. */
const BLOCK = 512;

/**
 * Compares strings by their UTF-8 bytes without encoding them: like UTF-16 code units, except that surrogates come
 * last.
 */
export const compareKeys = (a: string, b: string): number => {
  const shorter = Math.min(a.length, b.length);
  for (let i = 0; i < shorter; i += 1) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    return x >= 0xd800 && y >= 0xd800 ? rankOf(x) - rankOf(y) : x - y;
  }
  return a.length - b.length;
};

const rankOf = (unit: number): number => (unit >= 0xe000 ? unit - 0x800 : unit + 0x2000);

/** A map with ordered keys. The cost of adding and removing hardly depends on its size. */
export class SortedMap<T> {
  readonly #values = new Map<string, T>();
  /** Blocks of keys, in order and never empty. The keys in each block are in order, too. */
  #blocks: string[][] = [];

  get size(): number {
    return this.#values.size;
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  get(key: string): T | undefined {
    return this.#values.get(key);
  }

  set(key: string, value: T): void {
    if (!this.#values.has(key)) this.#insert(key);
    this.#values.set(key, value);
  }

  delete(key: string): boolean {
    if (!this.#values.delete(key)) return false;
    const at = this.#blockOf(key);
    const block = this.#blocks[at]!;
    block.splice(lowerBound(block, key), 1);
    if (block.length === 0) this.#blocks.splice(at, 1);
    return true;
  }

  /** Yields the keys from `from` on, in order. The map must not change in the meantime. */
  *ascending(from: string): Generator<string> {
    for (let at = this.#blockOf(from); at < this.#blocks.length; at += 1) {
      const block = this.#blocks[at]!;
      for (let i = lowerBound(block, from); i < block.length; i += 1) yield block[i]!;
    }
  }

  /**
   * Yields keys in descending order, from the largest key for which `below` is true. `below` must be true for all
   * smaller keys.
   */
  *descending(below: (key: string) => boolean): Generator<string> {
    for (let at = this.#blocks.length - 1; at >= 0; at -= 1) {
      const block = this.#blocks[at]!;
      if (!below(block[0]!)) continue;
      for (let i = block.length - 1; i >= 0; i -= 1) if (below(block[i]!)) yield block[i]!;
    }
  }

  #insert(key: string): void {
    if (this.#blocks.length === 0) { this.#blocks.push([key]); return; }
    const at = this.#blockOf(key);
    const block = this.#blocks[at]!;
    block.splice(lowerBound(block, key), 0, key);
    if (block.length > BLOCK) this.#blocks.splice(at + 1, 0, block.splice(BLOCK / 2));
  }

  /** Returns the index of the last block that starts at or before `key`, else of the first block. */
  #blockOf(key: string): number {
    let low = 0;
    let high = this.#blocks.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (compareKeys(this.#blocks[middle]![0]!, key) <= 0) low = middle;
      else high = middle;
    }
    return low;
  }
}

const lowerBound = (block: readonly string[], key: string): number => {
  let low = 0;
  let high = block.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareKeys(block[middle]!, key) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
};
