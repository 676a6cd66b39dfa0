export interface SharesInit {
  /** The amount for all holders together. */
  readonly most: number;
  /** The largest part of it that one holder may have, from 0 to 1. */
  readonly part: number;
}

/** Divides a limited resource, so that one holder can't use up what others need. Holders are named by any text. */
export class Shares {
  readonly #most: number;
  readonly #perHolder: number;
  readonly #held = new Map<string, number>();
  #total = 0;
  #refused = 0;

  constructor({ most, part }: SharesInit) {
    this.#most = most;
    this.#perHolder = Math.max(1, Math.floor(most * part));
  }

  /** The amount that all holders have. */
  get total(): number {
    return this.#total;
  }

  /** The number of requests refused because their holder had his share, since the start. */
  get refused(): number {
    return this.#refused;
  }

  /** Returns by how much `more` would exceed the holder's share. @param holder undefined: limited by the total alone */
  excess(holder: string | undefined, more: number): number {
    return holder === undefined ? 0 : Math.max(0, (this.#held.get(holder) ?? 0) + more - this.#perHolder);
  }

  /** True if the holder may have `more`. Otherwise the refusal is counted. */
  allows(holder: string | undefined, more: number): boolean {
    if (this.excess(holder, more) === 0) return true;
    this.#refused += 1;
    return false;
  }

  /** True if there is `more` for anybody. */
  hasRoom(more: number): boolean {
    return this.#total + more <= this.#most;
  }

  /** Records that a holder has `amount` more, or less if it is negative. Check before. */
  add(holder: string | undefined, amount: number): void {
    this.#total += amount;
    if (holder === undefined) return;
    const held = (this.#held.get(holder) ?? 0) + amount;
    if (held > 0) this.#held.set(holder, held);
    else this.#held.delete(holder);
  }
}
