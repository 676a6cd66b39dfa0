import { ProtoflyError } from '../../protocol/index.js';

/** A numbered message that awaits its receipt. */
export interface Numbered {
  readonly seq: number;
  readonly bytes: number;
}

/** Number of settled entries at the front up to which the array isn't compacted. */
const SLACK = 1024;

/**
 * The messages of one flow that are in flight, by number. Entries are added in ascending order and removed in any order.
 * The cost of every call but `find` is independent of the number of entries.
 */
export class Window<T extends Numbered> {
  /**
   * The entry of number `#start + i` is `#entries[i]`. Settled and unused numbers are undefined. The last element is
   * always an entry.
   */
  #entries: (T | undefined)[] = [];
  #start = 1;
  /** Index of the oldest entry. */
  #head = 0;
  #size = 0;
  #bytes = 0;

  get size(): number {
    return this.#size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get oldest(): T | undefined {
    return this.#entries[this.#head];
  }

  /** Adds an entry. @throws ProtoflyError `E_INTERNAL` if its number isn't above all others */
  add(entry: T): void {
    if (this.#size === 0) {
      this.#entries = [];
      this.#head = 0;
      this.#start = entry.seq;
    }
    const index = entry.seq - this.#start;
    if (index < this.#entries.length) throw new ProtoflyError('E_INTERNAL', `number ${String(entry.seq)} comes after ${String(this.#start + this.#entries.length - 1)} in a window`);
    while (this.#entries.length < index) this.#entries.push(undefined);
    this.#entries.push(entry);
    this.#size += 1;
    this.#bytes += entry.bytes;
  }

  get(seq: number): T | undefined {
    return this.#entries[seq - this.#start];
  }

  delete(seq: number): boolean {
    const entry = this.get(seq);
    if (entry === undefined) return false;
    this.#entries[seq - this.#start] = undefined;
    this.#size -= 1;
    this.#bytes -= entry.bytes;
    while (this.#entries.length > 0 && this.#entries.at(-1) === undefined) this.#entries.pop();
    while (this.#head < this.#entries.length && this.#entries[this.#head] === undefined) this.#head += 1;
    if (this.#head > SLACK && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head);
      this.#start += this.#head;
      this.#head = 0;
    }
    return true;
  }

  /** Returns the entries from `first` to `last`, both included. */
  between(first: number, last: number): T[] {
    const from = Math.max(first - this.#start, this.#head);
    const end = Math.min(last - this.#start + 1, this.#entries.length);
    return from < end ? this.#entries.slice(from, end).filter((entry) => entry !== undefined) : [];
  }

  /** Returns all entries, the oldest first. */
  all(): T[] {
    return this.#entries.slice(this.#head).filter((entry) => entry !== undefined);
  }

  /** Returns the first entry with a number above `seq`. */
  after(seq: number): T | undefined {
    for (let index = Math.max(seq + 1 - this.#start, this.#head); index < this.#entries.length; index += 1) {
      if (this.#entries[index] !== undefined) return this.#entries[index];
    }
    return undefined;
  }

  find(fits: (entry: T) => boolean): T | undefined {
    for (let index = this.#head; index < this.#entries.length; index += 1) {
      const entry = this.#entries[index];
      if (entry !== undefined && fits(entry)) return entry;
    }
    return undefined;
  }
}
