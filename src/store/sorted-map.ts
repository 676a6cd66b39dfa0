/** Most keys that one block holds before it is cut in two. */
const BLOCK = 512;

/** Orders strings by their UTF-8 bytes without encoding them: like by UTF-16 units, but surrogates come last. */
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

/** A map that also knows the order of its keys. Adding and removing cost about the same whatever its size. */
export class SortedMap<T> {
  readonly #values = new Map<string, T>();
  /** Never empty blocks, in order; the keys in each in order. */
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

  /** Keys in order from the first one that isn't below `from`. The map must not change meanwhile. */
  *ascending(from: string): Generator<string> {
    for (let at = this.#blockOf(from); at < this.#blocks.length; at += 1) {
      const block = this.#blocks[at]!;
      for (let i = lowerBound(block, from); i < block.length; i += 1) yield block[i]!;
    }
  }

  /** Keys in falling order, all of them, or those that `below` says yes to and what comes before. */
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

  /** The last block that starts at or before `key`, else the first one. */
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
