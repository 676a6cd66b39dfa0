/** The state that a receipt reports (docs/cli.md, `msg send --receipt`). */
export type State = 'delivered' | 'relayed' | 'queued' | 'failed' | 'unknown';

export interface Counts {
  readonly sent: number;
  readonly received: number;
  /** Not received, and not reported to the sender as such. */
  readonly lost: number;
  /** Number of messages that came more often than they were sent. */
  readonly repeated: number;
  readonly reordered: number;
  /** Not received, and reported to the sender as failed or unknown. */
  readonly refused: number;
  /** Received although reported as failed. */
  readonly refusedAndReceived: number;
}

/** Counts numbered messages: those sent, the receipts for them, and those received. */
export class Ledger {
  readonly #count: number;
  readonly #store: boolean;
  /** Number of times that each number was given to a sender. */
  readonly #sendings = new Map<number, number>();
  readonly #acknowledged = new Set<number>();
  /** The last receipt of a number that was not acknowledged. */
  readonly #refusals = new Map<number, State>();
  readonly #received: number[] = [];
  readonly #seen = new Set<number>();

  /** @param store true if a message kept on disk counts as acknowledged */
  constructor({ count, store = false }: { readonly count: number; readonly store?: boolean | undefined }) {
    this.#count = count;
    this.#store = store;
  }

  /** Gives numbers to a sender. Forgets earlier refusals of them, which were about another sending. */
  sending(numbers: readonly number[]): void {
    for (const number of numbers) {
      this.#sendings.set(number, (this.#sendings.get(number) ?? 0) + 1);
      this.#refusals.delete(number);
    }
  }

  /** Records a receipt. @returns true if it acknowledges the message */
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

  /** Numbers without an acknowledging receipt, ascending. */
  get unacknowledged(): number[] {
    return Array.from({ length: this.#count }, (_, index) => index + 1).filter((number) => !this.#acknowledged.has(number));
  }

  /** Number of messages neither received nor refused. */
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
      // A number that was sent twice, because its fate was unknown, may arrive twice.
      repeated: [...times].reduce((total, [number, came]) => total + Math.max(0, came - (this.#sendings.get(number) ?? 0)), 0),
      reordered: first.filter((number, index) => index > 0 && number < first[index - 1]!).length,
      refused: refused.filter(([number]) => !this.#seen.has(number)).length,
      refusedAndReceived: refused.filter(([number, state]) => state !== 'unknown' && this.#seen.has(number)).length,
    };
  }
}
