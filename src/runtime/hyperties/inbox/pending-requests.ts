import type { MessageId, Response } from '../../../protocol/index.js';
import { LruMap } from '../../../kit/lru-map.js';

/** Hands a response to the program that sent the request. */
export type Deliver = (response: Response) => void;

/** Maximum number of unanswered requests that are remembered. */
const MAX_AWAITED = 20_000;

/**
 * Finds the program that a response is for. As a rule, only one program sends requests as a hyperty, and gets all
 * responses. Requests are recorded one by one only for further programs.
 */
export class PendingRequests {
  /** The first program that sent a request, until it goes. */
  #first: Deliver | undefined;
  /** Requests of further programs. */
  readonly #asked = new LruMap<MessageId, Deliver>(MAX_AWAITED);

  asks(id: MessageId, deliver: Deliver): void {
    this.#first ??= deliver;
    if (deliver !== this.#first) this.#asked.set(id, deliver);
  }

  /**
   * Returns the program that gets a response; undefined if none here sent the request.
   * @param isLast true for the final response
   */
  of(id: MessageId, isLast: boolean): Deliver | undefined {
    const asker = this.#asked.get(id) ?? this.#first;
    if (isLast) this.#asked.delete(id);
    return asker;
  }

  /** Forgets a program that has gone. */
  forget(deliver: Deliver): void {
    if (this.#first === deliver) this.#first = undefined;
  }
}
