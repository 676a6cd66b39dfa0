import type { Clock } from '../protocol/index.js';

export interface TokenBucketInit {
  /** Tokens that come back in a second. */
  readonly perSecond: number;
  /** Maximum number of tokens. The bucket is full at first. */
  readonly burst: number;
}

/** Measures a rate: tokens are taken from the bucket, and come back evenly. Steps of a clock backwards give nothing. */
export class TokenBucket {
  readonly #clock: Clock;
  readonly #init: TokenBucketInit;
  #tokens: number;
  #filledAt: number;

  constructor({ clock }: { readonly clock: Clock }, init: TokenBucketInit) {
    this.#clock = clock;
    this.#init = init;
    this.#tokens = init.burst;
    this.#filledAt = clock.now();
  }

  /** The number of tokens now; negative if more were taken than there were. */
  get level(): number {
    const { perSecond, burst } = this.#init;
    const now = this.#clock.now();
    this.#tokens = Math.min(burst, this.#tokens + (Math.max(0, now - this.#filledAt) / 1000) * perSecond);
    this.#filledAt = now;
    return this.#tokens;
  }

  /** Takes tokens, whether there are as many or not. @returns the level afterwards */
  take(amount: number): number {
    this.#tokens = this.level - amount;
    return this.#tokens;
  }
}
