import type { Message } from '../../../protocol/index.js';

/** How far a numbered POST has been taken. */
export interface AcceptedBatch {
  /** 0: without a number. */
  readonly number: number;
  /** How many of its items have been taken, the malformed ones included. */
  taken: number;
  /** How many of those were messages. */
  accepted: number;
  complete: boolean;
}

const beginning = (number: number): AcceptedBatch => ({ number, taken: 0, accepted: 0, complete: false });

/**
 * What of a REST session outlives its link, so that numbers still mean the same after a `re-open`: those of messages,
 * what the client acknowledged, and which POST was taken last.
 */
export class Ledger {
  /** Whether the client acknowledges: without that, what has been written counts as taken. */
  acknowledging = false;
  /**
   * The longest that the client of an event stream has taken to acknowledge something, in milliseconds. Undefined: it has
   * yet to send a POST for nothing but that, and may mean to acknowledge with its next messages, or when it comes again.
   */
  slowest: number | undefined;
  /** The last number that was acknowledged, or taken otherwise. */
  acknowledged: number;
  /** The last number that was given to the client, on whichever link. */
  given: number;
  /** The numbered POST that came last. */
  batch: AcceptedBatch = beginning(0);
  #last: number;
  readonly #numbers = new WeakMap<Message, number>();

  /** @param last the number before the first; a session whose ledger was lost begins above all that it gave */
  constructor(last = 0) {
    this.#last = last;
    this.given = last;
    this.acknowledged = last;
  }

  /** The number under which a message goes: what comes back for another link keeps its own. */
  numberFor(message: Message): number {
    const kept = this.#numbers.get(message);
    return kept ?? (this.#last += 1);
  }

  keep(message: Message, number: number): void {
    this.#numbers.set(message, number);
  }

  /**
   * How far the POST of a number has been taken: one that was cut off goes on where it was, one below the last came
   * late and is over. Without a number each is a new one.
   * @param first whether it is the first on its link: then a lower number says that its client counts anew
   */
  begin(number: number | undefined, first: boolean): AcceptedBatch {
    if (number === undefined) return beginning(0);
    if (number === this.batch.number) return this.batch;
    if (number < this.batch.number && !first) return { ...beginning(number), complete: true };
    return this.batch = beginning(number);
  }
}
