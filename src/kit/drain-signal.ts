/** Resolves when a full queue has room again. All waiting senders share one promise. It never rejects. */
export class DrainSignal {
  #promise: Promise<void> | undefined;
  #settle: (() => void) | undefined;

  wait(): Promise<void> {
    this.#promise ??= new Promise((resolve) => { this.#settle = resolve; });
    return this.#promise;
  }

  release(): void {
    const settle = this.#settle;
    if (settle === undefined) return;
    this.#promise = undefined;
    this.#settle = undefined;
    settle();
  }
}
