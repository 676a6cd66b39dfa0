import { ProtoflyError } from '../../protocol/index.js';

/** Something that awaits its receipt. */
export interface Numbered {
  readonly seq: number;
  readonly bytes: number;
}

/** Below this many settled entries at the front nothing is moved. */
const SLACK = 1024;

/**
 * The messages of one flow that await their receipts, by number. Entries come with ascending numbers and go in any order;
 * no call but `find` costs more because there are many.
 */
export class Window<T extends Numbered> {
  /** The entry of number `#start + i` is `#entries[i]`; settled ones, and numbers that were left out, are undefined. The last is an entry. */
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

  /** Adds an entry whose number is above all that are here. @throws ProtoflyError `E_INTERNAL` when it isn't */
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

  /** The entries from one number to another, both included. */
  between(first: number, last: number): T[] {
    const from = Math.max(first - this.#start, this.#head);
    const end = Math.min(last - this.#start + 1, this.#entries.length);
    return from < end ? this.#entries.slice(from, end).filter((entry) => entry !== undefined) : [];
  }

  /** All entries, the oldest first. */
  all(): T[] {
    return this.#entries.slice(this.#head).filter((entry) => entry !== undefined);
  }

  /** The next entry above a number. */
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
