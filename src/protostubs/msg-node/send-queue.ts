import type { Clock, Message, Timer } from '../../protocol/index.js';
import type { Item } from './transport.js';

interface Waiter extends Item {
  readonly until: number;
}

export interface SendQueueInit {
  /** Called with a message that waited too long or didn't fit. */
  readonly onRefused: (message: Message, why: string) => void;
}

/** Maximum number of waiting messages. */
const MAX_MESSAGES = 1000;
/** Their maximum size, in UTF-16 code units. */
const MAX_SIZE = 4 * 1024 * 1024;
/** Maximum time that a message waits, in milliseconds. */
const MAX_AGE_MS = 10_000;

/** Send queue of messages that wait for a connection. Bounded in number, size and time. */
export class SendQueue {
  readonly #clock: Clock;
  readonly #init: SendQueueInit;
  #items: Waiter[] = [];
  #size = 0;
  #timer: Timer | undefined;

  constructor(clock: Clock, init: SendQueueInit) {
    this.#clock = clock;
    this.#init = init;
  }

  get isEmpty(): boolean {
    return this.#items.length === 0;
  }

  add({ message, text }: Item): void {
    if (this.#items.length >= MAX_MESSAGES || this.#size + text.length > MAX_SIZE) {
      this.#init.onRefused(message, 'the send queue for the message node is full');
      return;
    }
    this.#items.push({ message, text, until: this.#until() });
    this.#size += text.length;
    if (this.#items.length === 1) this.#watch();
  }

  /** Puts taken items back at the front, in order. Ignores the limits. */
  putBack(items: readonly Item[]): void {
    if (items.length === 0) return;
    const until = this.#until();
    this.#items = [...items.map(({ message, text }) => ({ message, text, until })), ...this.#items];
    for (const { text } of items) this.#size += text.length;
    this.#watch();
  }

  /** @returns the oldest item */
  take(): Item | undefined {
    const item = this.#items.shift();
    if (item !== undefined) this.#size -= item.text.length;
    return item;
  }

  /** Refuses all queued messages. */
  refuseAll(why: string): void {
    this.#timer?.cancel();
    this.#size = 0;
    for (const { message } of this.#items.splice(0)) this.#init.onRefused(message, why);
  }

  #until(): number {
    return this.#clock.now() + MAX_AGE_MS;
  }

  #watch(): void {
    this.#timer?.cancel();
    const [first] = this.#items;
    if (first === undefined) return;
    this.#timer = this.#clock.setTimeout(() => {
      const now = this.#clock.now();
      while (this.#items[0] !== undefined && this.#items[0].until <= now) {
        this.#init.onRefused(this.take()!.message, 'the message node could not be reached in time');
      }
      this.#watch();
    }, Math.max(1, first.until - this.#clock.now()));
  }
}
