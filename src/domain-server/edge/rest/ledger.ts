import type { Message } from '../../../protocol/index.js';

/** The progress of a numbered POST. */
export interface AcceptedBatch {
  /** The number of the POST; 0 if it has none. */
  readonly number: number;
  /** The number of items processed, including malformed ones. */
  taken: number;
  /** The number of messages among them. */
  accepted: number;
  complete: boolean;
}

const beginning = (number: number): AcceptedBatch => ({ number, taken: 0, accepted: 0, complete: false });

/**
 * The state of a REST session that outlives its link, so that numbers keep their meaning after a `re-open`. It holds
 * the message numbers, the client's acknowledgements, and the last POST.
 */
export class Ledger {
  /** True if the client acknowledges. Otherwise, messages count as taken once written. */
  acknowledging = false;
  /**
   * The longest time the client of an event stream has taken to acknowledge, in milliseconds. Undefined until the
   * client sends a POST with only an acknowledgement: it may intend to acknowledge with its next messages or its next
   * request.
   */
  slowest: number | undefined;
  /** The last number acknowledged, or otherwise taken. */
  acknowledged: number;
  /** The last number given to the client, on any link. */
  given: number;
  /** The last numbered POST. */
  batch: AcceptedBatch = beginning(0);
  #last: number;
  readonly #numbers = new WeakMap<Message, number>();

  /**
   * @param last the number before the first; if a session has lost its ledger, it must start above all numbers given
   * before
   */
  constructor(last = 0) {
    this.#last = last;
    this.given = last;
    this.acknowledged = last;
  }

  /** Returns the number of a message. A message returned for another link keeps its number. */
  numberFor(message: Message): number {
    const kept = this.#numbers.get(message);
    return kept ?? (this.#last += 1);
  }

  keep(message: Message, number: number): void {
    this.#numbers.set(message, number);
  }

  /**
   * Returns the progress of a POST by its number. An interrupted POST continues where it stopped. A number below the
   * last is late, and counts as complete. Without a number, every POST is new.
   * @param first true for the first POST on its link: a lower number then means that the client counts anew
   */
  begin(number: number | undefined, first: boolean): AcceptedBatch {
    if (number === undefined) return beginning(0);
    if (number === this.batch.number) return this.batch;
    if (number < this.batch.number && !first) return { ...beginning(number), complete: true };
    return this.batch = beginning(number);
  }
}
