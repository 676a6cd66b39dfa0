import { ProtoflyError, type Address, type Request } from '../../protocol/index.js';
import { sizeOf } from '../delivery/index.js';

/** Maximum size of all messages that wait, in bytes. */
const MAX_BYTES = 16 * 1024 * 1024;

/**
 * Messages that wait until it is known who sends them, each sender's in order. Their carrier goes on meanwhile: the answer
 * that is waited for may come by it.
 */
export class HeldMessages {
  /** The last work of each sender whose messages wait. */
  readonly #last = new Map<Address, Promise<void>>();
  #bytes = 0;

  /** True if messages of the sender wait. Later ones have to wait behind them. */
  has(from: Address): boolean {
    return this.#last.has(from);
  }

  /**
   * Holds a message. When the earlier ones of its sender are done, runs `step`, which must not fail.
   * @throws ProtoflyError `E_TOO_MANY`
   */
  hold(message: Request, step: () => Promise<void>): void {
    const { from } = message;
    const bytes = sizeOf(message);
    if (this.#bytes + bytes > MAX_BYTES) throw new ProtoflyError('E_TOO_MANY', 'too many messages wait until it is known who sends them');
    this.#bytes += bytes;
    const work = (this.#last.get(from) ?? Promise.resolve()).then(step).finally(() => {
      this.#bytes -= bytes;
      if (this.#last.get(from) === work) this.#last.delete(from);
    });
    this.#last.set(from, work);
  }
}
