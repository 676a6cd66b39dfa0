/** The one promise that all who wait for congestion to end share. It never rejects. */
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
