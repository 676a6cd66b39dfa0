/** What a receipt says of a message (docs/cli.md, `msg send --receipt`). */
export type State = 'delivered' | 'relayed' | 'queued' | 'failed' | 'unknown';

export interface Counts {
  readonly sent: number;
  readonly received: number;
  /** Neither received, nor did its sender hear that it wasn't. */
  readonly lost: number;
  /** How many came more often than they were sent. */
  readonly repeated: number;
  readonly reordered: number;
  /** Not received, and its sender was told so, or that nobody knows. */
  readonly refused: number;
  /** Received, although its sender was told that it wasn't and won't be. */
  readonly refusedAndReceived: number;
}

/** Keeps count of numbered messages: what was sent, what its sender heard of it, and what came. */
export class Ledger {
  readonly #count: number;
  readonly #store: boolean;
  /** How often each number was given to a sender. */
  readonly #sendings = new Map<number, number>();
  readonly #acknowledged = new Set<number>();
  /** The last receipt of a number that was not acknowledged. */
  readonly #refusals = new Map<number, State>();
  readonly #received: number[] = [];
  readonly #seen = new Set<number>();

  /** @param store whether a message counts as acknowledged when it is kept on disk */
  constructor({ count, store = false }: { readonly count: number; readonly store?: boolean | undefined }) {
    this.#count = count;
    this.#store = store;
  }

  /** Gives numbers to a sender. An earlier sender's refusal of them counts no longer: it was about another sending. */
  sending(numbers: readonly number[]): void {
    for (const number of numbers) {
      this.#sendings.set(number, (this.#sendings.get(number) ?? 0) + 1);
      this.#refusals.delete(number);
    }
  }

  /** Notes what a receipt says. @returns whether it acknowledges the message */
  receipt(number: number, state: State): boolean {
    if (state === 'delivered' || (state === 'queued' && this.#store)) {
      this.#acknowledged.add(number);
      return true;
    }
    this.#refusals.set(number, state);
    return false;
  }

  receive(number: number): void {
    this.#received.push(number);
    this.#seen.add(number);
  }

  get acknowledged(): number {
    return this.#acknowledged.size;
  }

  /** Numbers without a receipt that acknowledges them, ascending. */
  get unacknowledged(): number[] {
    return Array.from({ length: this.#count }, (_, index) => index + 1).filter((number) => !this.#acknowledged.has(number));
  }

  /** How many were neither received nor refused. */
  get missing(): number {
    return this.#count - new Set([...this.#seen, ...this.#refusals.keys()]).size;
  }

  counts(): Counts {
    const times = new Map<number, number>();
    for (const number of this.#received) times.set(number, (times.get(number) ?? 0) + 1);
    const first = [...times.keys()];
    const refused = [...this.#refusals];
    return {
      sent: this.#count, received: this.#seen.size, lost: this.missing,
      // A number that was sent twice, because nobody knew, may arrive twice.
      repeated: [...times].reduce((total, [number, came]) => total + Math.max(0, came - (this.#sendings.get(number) ?? 0)), 0),
      reordered: first.filter((number, index) => index > 0 && number < first[index - 1]!).length,
      refused: refused.filter(([number]) => !this.#seen.has(number)).length,
      refusedAndReceived: refused.filter(([number, state]) => state !== 'unknown' && this.#seen.has(number)).length,
    };
  }
}
