/** Growing pauses between attempts, in milliseconds: each pause is twice as long as the one before, up to a limit. */
export class Backoff {
  #failures = 0;

  constructor(private readonly init: { readonly firstMs: number; readonly maxMs: number }) {}

  /** Records a failure. @returns the pause before the next attempt, in milliseconds */
  failed(): number {
    const pause = Math.min(this.init.firstMs * 2 ** Math.min(this.#failures, 20), this.init.maxMs);
    this.#failures += 1;
    return pause;
  }

  /** Starts again with the first pause, after a lasting success. */
  reset(): void {
    this.#failures = 0;
  }
}
