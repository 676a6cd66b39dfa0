export interface BackoffInit {
  /** The first pause, in milliseconds. */
  readonly firstMs: number;
  /** The longest pause, in milliseconds. */
  readonly maxMs: number;
  /** Random numbers from 0 to 1: each pause is shortened by up to half. @default no jitter */
  readonly random?: () => number;
}

/** Returns the pause after so many failures in a row, in milliseconds. It doubles with each failure. */
export const pauseAfter = (failures: number, { firstMs, maxMs, random }: BackoffInit): number => {
  const longest = Math.min(firstMs * 2 ** Math.min(Math.max(failures - 1, 0), 20), maxMs);
  return random === undefined ? longest : longest * (0.5 + 0.5 * random());
};

/** Counts the failures of one thing, and says how long to pause before the next attempt. */
export class Backoff {
  readonly #init: BackoffInit;
  #failures = 0;

  constructor(init: BackoffInit) {
    this.#init = init;
  }

  /** Counts a failure. @returns the pause before the next attempt, in milliseconds */
  failed(): number {
    this.#failures += 1;
    return pauseAfter(this.#failures, this.#init);
  }

  /** Forgets all failures: the next pause is the first one again. */
  reset(): void {
    this.#failures = 0;
  }
}
