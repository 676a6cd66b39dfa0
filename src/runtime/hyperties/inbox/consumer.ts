import { asProtoflyError, bodyWith, type Message, type Backpressure, type Request, type ReceivedVia } from '../../../protocol/index.js';
import type { Queue } from './queue.js';

/** A program that wants a hyperty's messages. */
export interface Program {
  deliver(message: Message): Backpressure;
  /** How many messages may be under way without having been declared taken. Absent: delivered is taken. */
  readonly window?: number;
  /** False for a program that answers no requests: nobody waits for its answer. @default true */
  readonly answers?: boolean;
}

export interface ConsumerComponents {
  readonly program: Program;
  readonly queue: Pick<Queue, 'first' | 'at' | 'read'>;
  /** `taken` has gone up. */
  readonly onTaken: () => void;
  /** The program's link has just ended: nothing more is delivered, and `end` is to follow. */
  readonly onBroken: (thrown: Error) => void;
}

/** One attached program: what of the queue has been delivered to it, at its own pace, and what it has taken. */
export class Consumer {
  readonly #components: ConsumerComponents;
  readonly #from: number;
  /** Numbers of the queue's items: the next to deliver, and the first not taken. */
  #next: number;
  #taken: number;
  /** A delivery that the program's link hasn't swallowed yet. */
  #busy = false;
  #ended = false;

  constructor(components: ConsumerComponents) {
    this.#components = components;
    this.#from = this.#next = this.#taken = components.queue.first;
  }

  get program(): Program {
    return this.#components.program;
  }

  /** The number of the first item that it hasn't taken. */
  get taken(): number {
    return this.#taken;
  }

  /** Delivers what there is room for. */
  pump(): void {
    const { program, queue } = this.#components;
    const window = program.window ?? Number.POSITIVE_INFINITY;
    while (!this.#busy && !this.#ended && this.#next - this.#taken < window) {
      const item = queue.at(this.#next);
      if (item === undefined) break;
      const message = queue.read(item);
      this.#next += 1;
      const backpressure = message === undefined ? undefined : this.#deliver(arrived(message, item.via));
      if (backpressure !== undefined) {
        this.#busy = true;
        void backpressure.then(() => {
          this.#busy = false;
          this.#swallowed();
          this.pump();
        });
      }
    }
    this.#swallowed();
  }

  /** The program has declared the first `count` messages that were delivered to it taken. */
  declare(count: number): void {
    this.#taken = Math.min(Math.max(this.#taken, this.#from + count), this.#next);
    this.#components.onTaken();
    this.pump();
  }

  /** What comes before the queue's first item needs no delivery any more. */
  catchUp(): void {
    this.#next = Math.max(this.#next, this.#components.queue.first);
  }

  /** Passes on what doesn't wait in the queue. */
  pass(message: Message): void {
    void this.#components.program.deliver(message);
  }

  end(): void {
    this.#ended = true;
  }

  #deliver(message: Message): Backpressure {
    try {
      return this.#components.program.deliver(message);
    } catch (thrown) {
      this.#components.onBroken(asProtoflyError(thrown));
      this.#next -= 1;
      this.#busy = true;
      return undefined;
    }
  }

  /** For a program without a window: what its link has swallowed is taken. */
  #swallowed(): void {
    if (this.#components.program.window !== undefined || this.#taken === this.#next || this.#busy) return;
    this.#taken = this.#next;
    this.#components.onTaken();
  }
}

/** A message as programs get it: with the way by which it came, without what was between the runtimes. */
const arrived = (message: Request, { path, generation }: ReceivedVia): Request =>
  ({ id: message.id, type: message.type, from: message.from, to: message.to, body: bodyWith(message.body, { path, generation, flow: undefined }) });
