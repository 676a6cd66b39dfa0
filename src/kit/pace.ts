import type { Backpressure, Clock } from '../protocol/index.js';
import { DrainSignal } from './drain-signal.js';
import { TokenBucket } from './token-bucket.js';

export interface PaceInit {
  /** The amount that a source may bring in a second. It may bring as much at once. */
  readonly perSecond: number;
}

/** Slows a source down to a rate. Everything is let through; a source that exceeds the rate is told to wait afterwards. */
export class Pace {
  readonly #clock: Clock;
  readonly #perSecond: number;
  readonly #bucket: TokenBucket;
  readonly #drained = new DrainSignal();

  constructor({ clock }: { readonly clock: Clock }, { perSecond }: PaceInit) {
    this.#clock = clock;
    this.#perSecond = perSecond;
    this.#bucket = new TokenBucket({ clock }, { perSecond, burst: perSecond });
  }

  /** Records that `amount` came. @returns backpressure that settles when the source is within its rate again */
  take(amount: number): Backpressure {
    const level = this.#bucket.take(amount);
    if (level >= 0) return undefined;
    if (this.#drained.pending === undefined) this.#wait(level);
    return this.#drained.wait();
  }

  #wait(level: number): void {
    this.#clock.setTimeout(() => {
      const now = this.#bucket.level;
      if (now >= 0) this.#drained.release();
      else this.#wait(now);
    }, Math.ceil((-level * 1000) / this.#perSecond));
  }
}
