import type { Backpressure, Clock } from '../protocol/index.js';
import { DrainSignal } from './drain-signal.js';

export interface PaceInit {
  /** How much is allowed in a second, and at once. */
  readonly perSecond: number;
}

/** Slows a source down to a rate. Everything is let through; a source that exceeds the rate is told to wait afterwards. */
export class Pace {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #drained = new DrainSignal();
  #left: number;
  #at: number;

  constructor({ clock }: { readonly clock: Clock }, { perSecond }: PaceInit) {
    this.#clock = clock;
    this.#perSecond = perSecond;
    this.#left = perSecond;
    this.#at = clock.now();
  }

  /** Records that `amount` came. @returns backpressure that settles when the source is within its rate again */
  take(amount: number): Backpressure {
    const now = this.#clock.now();
    this.#left = Math.min(this.#perSecond, this.#left + ((now - this.#at) * this.#perSecond) / 1000) - amount;
    this.#at = now;
    if (this.#left >= 0) return undefined;
    if (this.#drained.pending === undefined) this.#wait();
    return this.#drained.wait();
  }

  #wait(): void {
    this.#clock.setTimeout(() => {
      if (this.take(0) === undefined) this.#drained.release();
      else this.#wait();
    }, Math.ceil((-this.#left * 1000) / this.#perSecond));
  }
}
