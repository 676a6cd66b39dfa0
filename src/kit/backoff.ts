/** Pauses between attempts at one thing, in milliseconds: each twice as long, up to a limit. */
export class Backoff {
  #failures = 0;

  constructor(private readonly init: { readonly firstMs: number; readonly maxMs: number }) {}

  /** It has failed once more. @returns how long to wait before the next attempt */
  failed(): number {
    const pause = Math.min(this.init.firstMs * 2 ** Math.min(this.#failures, 20), this.init.maxMs);
    this.#failures += 1;
    return pause;
  }

  /** It has lasted: the next pause is the first one again. */
  reset(): void {
    this.#failures = 0;
  }
}
