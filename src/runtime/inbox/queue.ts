import { asProtoflyError, ProtoflyError, type Address, type Clock, type FlowMark, type Request } from '../../protocol/index.js';
import type { Collection } from '../../store/index.js';
import { sizeOf, type Arrival, type Path } from '../delivery/index.js';

/** What the store keeps of a message that waits. */
export interface Stored {
  readonly message: Request;
  readonly path: Path;
  readonly bytes: number;
  /** Where it stood in its sender's stream: what came before it must not be taken again by the next life of this inbox. */
  readonly flow?: FlowMark;
}

/** A message that waits. */
export interface Item {
  readonly key: string;
  readonly bytes: number;
  readonly arrival: Arrival;
  readonly arrived: number;
  readonly flow: FlowMark | undefined;
  /** Absent when it is on disk only. */
  message: Request | undefined;
  state: 'here' | 'storing' | 'stored';
}

export interface QueueComponents {
  readonly stored: Collection<Stored>;
  readonly clock: Clock;
  /** Whether somebody takes what waits, so that it need not go to disk. */
  readonly isAttended: () => boolean;
  /** Whether somebody has to answer a message now, so that it is of no use to keep it. */
  readonly asks: (message: Request) => boolean;
  /** It is safely on disk. */
  readonly onStored: (item: Item, message: Request) => void;
  /** It waits no longer, and nobody has taken it. */
  readonly onDropped: (item: Item, message: Request, error: ProtoflyError) => void;
  readonly onFailed: (thrown: unknown) => void;
}

export interface QueueInit {
  /** The receiver. */
  readonly address: Address;
  /** How much waits on disk. */
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** How many messages beyond that may wait for room. */
  readonly maxStalled: number;
  /** How long they may, in milliseconds. */
  readonly stallMs: number;
}

/**
 * What waits for one hyperty's programs, in the order in which it came, each item under a number that stays: in memory
 * while somebody takes it, on disk, bounded, while nobody does. Who takes it, and what its sender hears, is the inbox's
 * business.
 */
export class Queue {
  readonly #components: QueueComponents;
  readonly #init: QueueInit;
  readonly #prefix: string;
  /** Item `#first + i` is `#items[i]`. */
  readonly #items: Item[] = [];
  #first = 0;
  #bytes = 0;
  #lastKey = 0;
  #closed = false;

  constructor(components: QueueComponents, init: QueueInit) {
    this.#components = components;
    this.#init = init;
    this.#prefix = `${init.address} `;
  }

  get size(): { readonly messages: number; readonly bytes: number } {
    return { messages: this.#items.length, bytes: this.#bytes };
  }

  /** The number of the first item, or of the next to come. */
  get first(): number {
    return this.#first;
  }

  /** Nothing more may come: what is here waits for room already. */
  get isFull(): boolean {
    return this.#items.length >= this.#init.maxMessages + this.#init.maxStalled || this.#bytes >= this.#init.maxBytes * 2;
  }

  /** Brings back what an earlier life of the inbox kept. @param each is told of every message, in order */
  load(each: (message: Request, flow: FlowMark | undefined) => void): void {
    const { stored, clock } = this.#components;
    for (const [key, { bytes, path, flow, message }] of stored.entries({ prefix: this.#prefix })) {
      this.#push({ key, bytes, arrival: { path }, flow, arrived: clock.now(), message: undefined, state: 'stored' });
      each(message, flow);
      this.#lastKey = Number(key.slice(this.#prefix.length));
    }
  }

  /** Adds a message behind all others; in memory, until `keep`. */
  add(message: Request, arrival: Arrival, flow: FlowMark | undefined): Item {
    this.#lastKey += 1;
    const item: Item = {
      key: this.#prefix + String(this.#lastKey).padStart(16, '0'),
      bytes: sizeOf(message), arrival, message, flow, arrived: this.#components.clock.now(), state: 'here',
    };
    this.#push(item);
    return item;
  }

  /** The item of that number, if it has come and waits. */
  at(number: number): Item | undefined {
    return this.#items[number - this.#first];
  }

  /** The message of an item, from wherever it is. */
  read(item: Item): Request | undefined {
    return item.message ?? this.#components.stored.get(item.key)?.message;
  }

  /** Takes the items with numbers below `end` from here, and from the disk. */
  take(end: number): readonly Item[] {
    const items = this.#items.splice(0, end - this.#first);
    this.#first += items.length;
    for (const item of items) {
      this.#bytes -= item.bytes;
      if (item.state !== 'here') this.#components.stored.delete(item.key).catch(this.#components.onFailed);
    }
    return items;
  }

  /** Puts the newest item on disk, if there is room. */
  keep(item: Item): void {
    this.#keep(item, this.#items.length, this.#bytes);
  }

  /** Puts on disk what waits, as far as there is room. */
  keepAll(): void {
    let bytes = 0;
    for (const [index, item] of [...this.#items].entries()) {
      bytes += item.bytes;
      if (item.state === 'here') this.#keep(item, index + 1, bytes);
    }
  }

  full(): ProtoflyError {
    return new ProtoflyError('E_TOO_MANY', `the inbox of ${this.#init.address} is full`, { hint: 'attach a program that takes its messages' });
  }

  /** Forgets everything. @returns how many messages that were, when they are gone from the disk, too */
  async discard(): Promise<number> {
    const items = this.#items.splice(0);
    this.#first += items.length;
    this.#bytes = 0;
    this.#closed = true;
    const { stored } = this.#components;
    await Promise.all([...stored.entries({ prefix: this.#prefix })].map(([key]) => stored.delete(key)));
    return items.length;
  }

  /** From now on nobody is told of what reaches the disk. */
  close(): void {
    this.#closed = true;
  }

  #push(item: Item): void {
    this.#items.push(item);
    this.#bytes += item.bytes;
  }

  /** Puts one item on disk if there is room for so many messages and bytes; else it has `stallMs` to find a program. */
  #keep(item: Item, messages: number, bytes: number): void {
    const { maxMessages, maxBytes, stallMs } = this.#init;
    const { clock, isAttended } = this.#components;
    if (messages <= maxMessages && bytes <= maxBytes) {
      if (item.message !== undefined) void this.#store(item, item.message);
      return;
    }
    const left = item.arrived + stallMs - clock.now();
    clock.setTimeout(() => {
      if (item.state === 'here' && !isAttended()) this.#drop(item, this.full());
    }, Math.max(left, 0));
  }

  async #store(item: Item, message: Request): Promise<void> {
    const { stored, asks, isAttended, onStored, onFailed } = this.#components;
    if (asks(message)) {
      this.#drop(item, new ProtoflyError('E_UNAVAILABLE', `the program that was attached to ${this.#init.address} is gone`));
      return;
    }
    item.state = 'storing';
    try {
      await stored.put(item.key, { message, path: item.arrival.path, bytes: item.bytes, ...(item.flow === undefined ? {} : { flow: item.flow }) });
    } catch (thrown) {
      onFailed(thrown);
      item.state = 'here';
      if (!isAttended()) this.#drop(item, asProtoflyError(thrown));
      return;
    }
    if (this.#closed || !this.#items.includes(item)) return;
    item.state = 'stored';
    item.message = undefined;
    onStored(item, message);
  }

  #drop(item: Item, error: ProtoflyError): void {
    const index = this.#items.indexOf(item);
    if (index < 0) return;
    this.#items.splice(index, 1);
    this.#bytes -= item.bytes;
    if (item.message !== undefined) this.#components.onDropped(item, item.message, error);
  }
}
