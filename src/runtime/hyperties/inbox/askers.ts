import type { MessageId, Response } from '../../../protocol/index.js';
import { LruMap } from '../../../kit/lru-map.js';

/** Hands an answer to the program that asked. */
export type Deliver = (response: Response) => void;

/** Requests of programs that are remembered until they are answered, at most. */
const MAX_AWAITED = 20_000;

/**
 * Which program the answers to a hyperty's requests are for. As a rule one program sends as a hyperty: then they are
 * its own, and nothing is kept of each. Of those of further programs it is.
 */
export class PendingRequests {
  /** The first program that has asked, while it is here. */
  #first: Deliver | undefined;
  /** What others have asked. */
  readonly #asked = new LruMap<MessageId, Deliver>(MAX_AWAITED);

  asks(id: MessageId, deliver: Deliver): void {
    this.#first ??= deliver;
    if (deliver !== this.#first) this.#asked.set(id, deliver);
  }

  /** Who is to have an answer; undefined when nobody here has asked. @param isLast whether none follows it */
  of(id: MessageId, isLast: boolean): Deliver | undefined {
    const asker = this.#asked.get(id) ?? this.#first;
    if (isLast) this.#asked.delete(id);
    return asker;
  }

  /** A program has gone. */
  forget(deliver: Deliver): void {
    if (this.#first === deliver) this.#first = undefined;
  }
}
