import { Fifo } from '../kit/fifo.js';
import type { Message } from '../protocol/index.js';

export interface ProgramSendQueueComponents {
  /** @throws ProtoflyError `E_LINK_CLOSED`, `E_TOO_LARGE` */
  readonly post: (message: Message) => void | Promise<void>;
}

interface Waiting {
  readonly message: Message;
  readonly isWanted: (message: Message) => boolean;
  readonly resolve: () => void;
  readonly reject: (thrown: unknown) => void;
}

const always = (_message: Message): boolean => true;

/**
 * The send queue of a program's hyperties. It sends at the pace of the link, and holds the rest in order. A program
 * that ignores backpressure uses more memory, but keeps its link.
 */
export class ProgramSendQueue {
  readonly #post: ProgramSendQueueComponents['post'];
  readonly #waiting = new Fifo<Waiting>();
  /** The backpressure of the link, while there is any. */
  #held: Promise<void> | undefined;

  constructor({ post }: ProgramSendQueueComponents) {
    this.#post = post;
  }

  /**
   * Sends a message, or queues it.
   * @param isWanted asked again before a queued message is sent
   * @returns undefined; or, on backpressure, a promise that rejects if the message can't be sent
   * @throws ProtoflyError `E_LINK_CLOSED`, `E_TOO_LARGE`
   */
  send(message: Message, isWanted = always): void | Promise<void> {
    if (this.#held === undefined) return this.#hand(message);
    const handed = new Promise<void>((resolve, reject) => { this.#waiting.push({ message, isWanted, resolve, reject }); });
    // If the promise is ignored, its rejection must not end the program.
    handed.catch(() => undefined);
    return handed;
  }

  #hand(message: Message): void | Promise<void> {
    const backpressure = this.#post(message);
    if (backpressure === undefined) return undefined;
    this.#held = backpressure.then(() => {
      this.#held = undefined;
      this.#drain();
    });
    return backpressure;
  }

  #drain(): void {
    while (this.#held === undefined) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      try {
        const backpressure = next.isWanted(next.message) ? this.#hand(next.message) : undefined;
        if (backpressure === undefined) next.resolve();
        else void backpressure.then(next.resolve);
      } catch (thrown) {
        next.reject(thrown);
      }
    }
  }
}
