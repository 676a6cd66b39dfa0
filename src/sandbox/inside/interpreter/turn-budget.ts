const processorMs = (): number => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
};

/** The processor time that the turns of a realm may use until the event loop looks for input and output again. */
export class TurnBudget {
  readonly #limitMs: number;
  #spentMs = 0;
  #isCounting = false;
  #turn = { endsAt: 0, endsAtProcessor: 0, leftMs: 0 };

  constructor(limitMs: number) {
    this.#limitMs = limitMs;
  }

  /** Starts a turn. It may use what the turns before it left over. */
  begin(): void {
    if (!this.#isCounting) {
      this.#isCounting = true;
      setImmediate(() => {
        this.#isCounting = false;
        this.#spentMs = 0;
      });
    }
    const leftMs = Math.max(0, this.#limitMs - this.#spentMs);
    this.#turn = { endsAt: performance.now() + leftMs, endsAtProcessor: processorMs() + leftMs, leftMs };
  }

  /** Counts the turn that began last. */
  end(): void {
    const { endsAt, endsAtProcessor, leftMs } = this.#turn;
    this.#spentMs += leftMs - Math.max(endsAt - performance.now(), endsAtProcessor - processorMs());
  }

  /** True from when the turn has used up its time, until the next one begins. Time in which others had the processor doesn't count. */
  isSpent(): boolean {
    return performance.now() > this.#turn.endsAt && processorMs() > this.#turn.endsAtProcessor;
  }

  /** The reason to end a realm whose turn has used up its time. */
  get reason(): string {
    return `it kept its process busy for ${String(this.#limitMs / 1000)} s`;
  }
}
