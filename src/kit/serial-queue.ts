import { ProtoflyError } from '../protocol/index.js';

/** Runs tasks one after the other, in the order of the calls. */
export class SerialQueue {
  readonly #most: number;
  #waiting = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(most: number) {
    this.#most = most;
  }

  /** @throws ProtoflyError `E_TOO_MANY` at once if the queue is full, and any error of `work` */
  run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= this.#most) return Promise.reject(new ProtoflyError('E_TOO_MANY', 'too many requests of this session are under way'));
    this.#waiting += 1;
    const done = this.#last.then(work).finally(() => { this.#waiting -= 1; });
    this.#last = done.catch(() => undefined);
    return done;
  }
}
