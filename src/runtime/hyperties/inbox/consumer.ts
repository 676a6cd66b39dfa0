import { asProtoflyError, bodyWith, type Message, type Backpressure, type Request, type ReceivedVia } from '../../../protocol/index.js';
import type { Queue } from './queue.js';

/** A program attached to a hyperty. */
export interface Program {
  deliver(message: Message): Backpressure;
  /**
   * Maximum number of delivered messages that the program hasn't declared taken. Absent: a delivered message counts as
   * taken.
   */
  readonly window?: number;
  /** False for a program that answers no requests, so that no answer is expected from it. @default true */
  readonly answers?: boolean;
}

export interface ConsumerComponents {
  readonly program: Program;
  readonly queue: Pick<Queue, 'first' | 'at' | 'read'>;
  /** Called when `taken` has gone up. */
  readonly onTaken: () => void;
  /** Called when the program's link has ended. Nothing more is delivered; `end` must follow. */
  readonly onBroken: (thrown: Error) => void;
}

/** One attached program, served at its own pace: tracks the messages delivered to it and those that it has taken. */
export class Consumer {
  readonly #components: ConsumerComponents;
  readonly #from: number;
  /** Numbers of the queue's items: the next to deliver, and the first not taken. */
  #next: number;
  #taken: number;
  /** True while the program's link exerts backpressure. */
  #busy = false;
  #ended = false;

  constructor(components: ConsumerComponents) {
    this.#components = components;
    this.#from = this.#next = this.#taken = components.queue.first;
  }

  get program(): Program {
    return this.#components.program;
  }

  /** Number of the first item that the program hasn't taken. */
  get taken(): number {
    return this.#taken;
  }

  /** Delivers messages as far as the window and the link allow. */
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

  /** Marks the first `count` delivered messages as taken, as the program declared. */
  declare(count: number): void {
    this.#taken = Math.min(Math.max(this.#taken, this.#from + count), this.#next);
    this.#components.onTaken();
    this.pump();
  }

  /** Skips items that have already left the queue. */
  catchUp(): void {
    this.#next = Math.max(this.#next, this.#components.queue.first);
  }

  /** Delivers a message that isn't in the queue, such as a response. */
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

  /** Marks delivered messages as taken when the link has accepted them, for a program without a window. */
  #swallowed(): void {
    if (this.#components.program.window !== undefined || this.#taken === this.#next || this.#busy) return;
    this.#taken = this.#next;
    this.#components.onTaken();
  }
}

/** Returns a message as programs get it: with the path by which it came, without its flow mark. */
const arrived = (message: Request, { path, generation }: ReceivedVia): Request =>
  ({ id: message.id, type: message.type, from: message.from, to: message.to, body: bodyWith(message.body, { path, generation, flow: undefined }) });
