import { asProtoflyError, type Backpressure, type ProtoflyError } from '../protocol/index.js';
import type { LinkStats } from './link.js';

export interface FrameReaderEvents<T> {
  /** The next item at hand; undefined when there is none. */
  pull(): T | undefined;
  /** The receiver has taken an item and is ready for the next. */
  onTaken?(): void;
  /** Nothing is at hand and the receiver is ready for more: called each time that state is reached. */
  onIdle(): void;
  /** The receiver doesn't want more for now. */
  onBlocked(): void;
  /** What a receiver threw. */
  onReject(error: ProtoflyError): void;
}

type State = 'unset' | 'ready' | 'giving' | 'blocked' | 'stopped';

/** The receiving half of every link: gives items to the receiver, one after the other, as fast as that one takes them. */
export class FrameReader<T> {
  readonly #events: FrameReaderEvents<T>;
  readonly #stats: LinkStats;
  #receiver: (item: T) => Backpressure = () => undefined;
  #state: State = 'unset';

  constructor(events: FrameReaderEvents<T>, stats: LinkStats) {
    this.#events = events;
    this.#stats = stats;
  }

  get ready(): boolean {
    return this.#state === 'ready';
  }

  receive(receiver: (item: T) => Backpressure): void {
    this.#receiver = receiver;
    if (this.#state === 'unset') this.#state = 'ready';
  }

  /** Gives what is at hand. Safe to call at any time, from within a receiver too. */
  pump(): void {
    if (this.#state !== 'ready') return;
    this.#state = 'giving';
    for (;;) {
      const item = this.#events.pull();
      if (item === undefined) break;
      this.#give(item);
      if ((this.#state as State) !== 'giving') return;
    }
    if ((this.#state as State) !== 'giving') return;
    this.#state = 'ready';
    this.#events.onIdle();
  }

  /** Gives nothing more, ever. */
  stop(): void {
    this.#state = 'stopped';
  }

  #give(item: T): void {
    let backpressure: Backpressure = undefined;
    try {
      backpressure = this.#receiver(item);
      this.#stats.received += 1;
    } catch (thrown) {
      this.#events.onReject(asProtoflyError(thrown));
    }
    if (backpressure === undefined) {
      this.#events.onTaken?.();
      return;
    }
    if (this.#state === 'giving') {
      this.#state = 'blocked';
      this.#events.onBlocked();
    }
    backpressure.catch((thrown: unknown) => { this.#events.onReject(asProtoflyError(thrown)); }).then(() => { this.#unblock(); }, () => undefined);
  }

  #unblock(): void {
    if (this.#state !== 'blocked') return;
    this.#state = 'ready';
    this.#events.onTaken?.();
    this.pump();
  }
}
