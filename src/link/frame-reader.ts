import { asProtoflyError, type Backpressure, type ProtoflyError } from '../protocol/index.js';
import type { LinkStats } from './link.js';

export interface FrameReaderEvents<T> {
  /** Returns the next item, or undefined if there is none. */
  pull(): T | undefined;
  /** Called when the receiver has taken an item and is ready for the next. */
  onTaken?(): void;
  /** Called each time that no item is left and the receiver is ready for more. */
  onIdle(): void;
  /** Called when the receiver exerts backpressure. */
  onBlocked(): void;
  /** Called with an error that the receiver threw. */
  onReject(error: ProtoflyError): void;
}

type State = 'unset' | 'ready' | 'giving' | 'blocked' | 'stopped';

/** The receiving half of every link: gives items to the receiver one after the other, as fast as it takes them. */
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

  /** Gives available items to the receiver. Safe to call at any time, also from within a receiver. */
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

  /** Stops giving items, for good. */
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
