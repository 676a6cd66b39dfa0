import type { Clock } from '../../src/protocol/index.js';

/** A clock that a test advances by hand. */
export class ManualClock implements Clock {
  #now = 1_000_000;
  #next = 1;
  /** Offset of the date from steady time, in milliseconds. */
  #ahead = 0;
  readonly #timers = new Map<number, { readonly at: number; readonly run: () => void }>();

  now(): number {
    return this.#now;
  }

  date(): number {
    return this.#now + this.#ahead;
  }

  /** Moves the machine's date forward or back. */
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

  /** Advances the time without running timers: those that fall due are late. */
  stall(milliseconds: number): void {
    this.#now += milliseconds;
  }

  /** Advances the time and runs due timers in order. */
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

/** Lets everything run that needs only turns of the event loop. */
export const turns = async (count = 20): Promise<void> => {
  for (let turn = 0; turn < count; turn += 1) await new Promise<void>((resolve) => { setImmediate(resolve); });
};
