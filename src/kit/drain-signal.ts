/** Resolves when a full queue has room again. All waiting senders share one promise. It never rejects. */
export class DrainSignal {
  #promise: Promise<void> | undefined;
  #resolve: (() => void) | undefined;

  /** The promise while anybody waits; undefined otherwise. */
  get pending(): Promise<void> | undefined {
    return this.#promise;
  }

  /** Returns the promise that resolves with the next `release`. */
  wait(): Promise<void> {
    this.#promise ??= new Promise((resolve) => { this.#resolve = resolve; });
    return this.#promise;
  }

  /** Resolves the promise: the queue has room. */
  release(): void {
    const resolve = this.#resolve;
    this.#promise = undefined;
    this.#resolve = undefined;
    resolve?.();
  }
}
