import type { Clock } from '../../../protocol/index.js';

const SECONDS = 10;

/** Counts messages, and the rate at which they arrive. */
export class Meter {
  received = 0;
  /** Messages given to a session. One message may be given to several. */
  delivered = 0;
  /** Messages answered with a refusal, and invalid frames. */
  refused = 0;
  /** Responses and publications without a receiver. */
  dropped = 0;
  readonly #clock: Clock;
  readonly #counts = new Array<number>(SECONDS).fill(0);
  #second = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#second = Math.floor(clock.now() / 1000);
  }

  receive(): void {
    this.received += 1;
    this.#turn();
    const at = this.#second % SECONDS;
    this.#counts[at] = (this.#counts[at] ?? 0) + 1;
  }

  /** Messages received per second, averaged over the last ten seconds including the current one. */
  get receivedPerSecond(): number {
    this.#turn();
    return this.#counts.reduce((sum, count) => sum + count, 0) / SECONDS;
  }

  #turn(): void {
    const now = Math.floor(this.#clock.now() / 1000);
    if (now - this.#second >= SECONDS || now < this.#second) { this.#counts.fill(0); this.#second = now; }
    while (this.#second < now) {
      this.#second += 1;
      this.#counts[this.#second % SECONDS] = 0;
    }
  }
}
