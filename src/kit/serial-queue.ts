import { ProtoflyError } from '../protocol/index.js';

interface Line {
  /** Pieces of work that have not ended. */
  size: number;
  /** Settles when the last of them has ended. Never rejects. */
  last: Promise<unknown>;
}

/** Runs the work of one key one after the other, in the order of asking. Work of different keys runs side by side. */
export class SerialQueue<K> {
  readonly #limit: number;
  readonly #lines = new Map<K, Line>();

  /** @param limit how many pieces of work one key may have at a time @default no limit */
  constructor(limit = Number.POSITIVE_INFINITY) {
    this.#limit = limit;
  }

  /** Runs `work` after all earlier work of its key, whether that failed or not. @throws ProtoflyError `E_TOO_MANY` beyond the limit, and what `work` throws, as rejections */
  run<T>(key: K, work: () => Promise<T>): Promise<T> {
    const line = this.#lines.get(key) ?? { size: 0, last: Promise.resolve() };
    if (line.size >= this.#limit) return Promise.reject(new ProtoflyError('E_TOO_MANY', `${String(line.size)} requests are in progress already`));
    line.size += 1;
    this.#lines.set(key, line);
    const done = line.last.then(work).finally(() => {
      line.size -= 1;
      if (line.size === 0) this.#lines.delete(key);
    });
    line.last = done.catch(() => undefined);
    return done;
  }

  /** Resolves when the work that a key has now, or all keys have, has ended. */
  async idle(key?: K): Promise<void> {
    if (key !== undefined) await this.#lines.get(key)?.last;
    else await Promise.all([...this.#lines.values()].map(({ last }) => last));
  }
}
