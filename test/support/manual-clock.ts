import type { Clock } from '../../src/protocol/index.js';

/** A clock that stands still until it is told to go on. */
export class ManualClock implements Clock {
  #now = 1_000_000;
  #next = 1;
  /** How far the date is ahead of steady time. */
  #ahead = 0;
  readonly #timers = new Map<number, { readonly at: number; readonly run: () => void }>();

  now(): number {
    return this.#now;
  }

  date(): number {
    return this.#now + this.#ahead;
  }

  /** Somebody sets the machine's clock forward, or back. */
  setBy(milliseconds: number): void {
    this.#ahead += milliseconds;
  }

  get pending(): number {
    return this.#timers.size;
  }

  setTimeout(run: () => void, milliseconds: number): { cancel(): void } {
    const id = this.#next++;
    this.#timers.set(id, { at: this.#now + milliseconds, run });
    return { cancel: () => { this.#timers.delete(id); } };
  }

  /** Time passes, and nothing runs: what fell due meanwhile is late. */
  stall(milliseconds: number): void {
    this.#now += milliseconds;
  }

  /** Lets time pass; what falls due runs in its order. */
  advance(milliseconds: number): void {
    const end = this.#now + milliseconds;
    for (;;) {
      const [due] = [...this.#timers].filter(([, { at }]) => at <= end).sort(([a, x], [b, y]) => x.at - y.at || a - b);
      if (due === undefined) break;
      this.#timers.delete(due[0]);
      this.#now = Math.max(this.#now, due[1].at);
      due[1].run();
    }
    this.#now = end;
  }
}

/** Lets everything run that waits for nothing but its turn. */
export const turns = async (count = 20): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await new Promise<void>((resolve) => { setImmediate(resolve); });
};
