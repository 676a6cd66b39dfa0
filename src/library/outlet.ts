import { Fifo } from '../kit/fifo.js';
import type { Message } from '../protocol/index.js';

export interface OutletComponents {
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
 * What a program's hyperties send, at the pace of their link, however fast it comes: what the link doesn't take yet waits
 * here, in order. A program that doesn't care for backpressure costs itself memory, and not its link.
 */
export class ProgramSendQueue {
  readonly #post: OutletComponents['post'];
  readonly #waiting = new Fifo<Waiting>();
  /** While the link is congested. */
  #held: Promise<void> | undefined;

  constructor({ post }: OutletComponents) {
    this.#post = post;
  }

  /**
   * @param isWanted asked once more before a message goes that had to wait
   * @returns nothing, or a promise while there is congestion, that rejects if the message can't be sent
   * @throws ProtoflyError `E_LINK_CLOSED`, `E_TOO_LARGE`
   */
  send(message: Message, isWanted = always): void | Promise<void> {
    if (this.#held === undefined) return this.#hand(message);
    const handed = new Promise<void>((resolve, reject) => { this.#waiting.push({ message, isWanted, resolve, reject }); });
    // Whoever waits is told; whoever doesn't isn't ended by it.
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
