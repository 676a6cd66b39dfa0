import { asProtoflyError, ProtoflyError, type Address, type Clock, type FlowMark, type Request, type Timer, type ReceivedVia, type Path } from '../../../protocol/index.js';
import type { Collection } from '../../../store/index.js';
import { sizeOf } from '../../delivery/index.js';

/** A message on disk. */
export interface Stored {
  readonly message: Request;
  readonly path: Path;
  readonly bytes: number;
  /** Its flow mark: after a restart, it and earlier messages must not be taken again. */
  readonly flow?: FlowMark;
}

/** A message that left the queue before it was taken. */
export interface Dropped {
  readonly message: Request;
  readonly via: ReceivedVia;
  readonly flow: FlowMark | undefined;
}

/** A message that has left the queue. */
export interface Taken {
  readonly item: QueuedMessage;
  readonly was: QueuedMessage['state'];
  /** Settles when the message is erased from disk. Undefined if it was never there. */
  readonly erased: Promise<unknown> | undefined;
}

/** A waiting message. */
export interface QueuedMessage {
  readonly key: string;
  readonly bytes: number;
  readonly via: ReceivedVia;
  readonly arrived: number;
  readonly flow: FlowMark | undefined;
  /** Absent if the message is only on disk. */
  message: Request | undefined;
  state: 'here' | 'storing' | 'stored' | 'gone';
}

export interface QueueComponents {
  readonly stored: Collection<Stored>;
  readonly clock: Clock;
  /** True while a program takes messages, so that they need not go to disk. */
  readonly isAttended: () => boolean;
  /** True if a program has to answer the message now, so that it is useless to keep it. */
  readonly asks: (message: Request) => boolean;
  /** Called when a message is on disk. */
  readonly onStored: (item: QueuedMessage, message: Request) => void;
  /** Called when a message leaves the queue without having been taken. */
  readonly onDropped: (item: QueuedMessage, message: Request, error: ProtoflyError) => void;
  readonly onFailed: (thrown: unknown) => void;
}

export interface QueueInit {
  /** The receiver. */
  readonly address: Address;
  /** Maximum number of messages on disk. */
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** Maximum number of further messages that wait for room. */
  readonly maxStalled: number;
  /** Maximum time that they wait, in milliseconds. */
  readonly stallMs: number;
}

/**
 * The waiting messages of one hyperty, in order of arrival, each under a permanent number. They are in memory while a
 * program takes them, and on disk, within bounds, otherwise. The inbox decides which program takes them and which
 * responses are sent.
 */
export class Queue {
  readonly #components: QueueComponents;
  readonly #init: QueueInit;
  readonly #prefix: string;
  /** Item `#first + i` is `#items[i]`. */
  readonly #items: QueuedMessage[] = [];
  #first = 0;
  #bytes = 0;
  /** Number of items from the first on that are stored or being stored. */
  #kept = 0;
  #keptBytes = 0;
  #lastKey = 0;
  #unattendedSince = 0;
  /** Ends the wait of the first item without room. */
  #timer: Timer | undefined;
  #closed = false;

  constructor(components: QueueComponents, init: QueueInit) {
    this.#components = components;
    this.#init = init;
    this.#prefix = `${init.address} `;
  }

  get size(): { readonly messages: number; readonly bytes: number } {
    return { messages: this.#items.length, bytes: this.#bytes };
  }

  /** Number of the first item, or of the next one if the queue is empty. */
  get first(): number {
    return this.#first;
  }

  /** True if no more messages fit. Those here already wait for room. */
  get isFull(): boolean {
    return this.#items.length >= this.#init.maxMessages + this.#init.maxStalled || this.#bytes >= this.#init.maxBytes * 2;
  }

  /** True if three quarters of the room on disk are used. */
  get isScarce(): boolean {
    return this.#items.length >= this.#init.maxMessages * 0.75 || this.#bytes >= this.#init.maxBytes * 0.75;
  }

  /** Loads the messages of an earlier run. @param each called with each message, in order */
  load(each: (message: Request, flow: FlowMark | undefined) => void): void {
    const { stored, clock } = this.#components;
    for (const [key, { bytes, path, flow, message }] of stored.entries({ prefix: this.#prefix })) {
      this.#push({ key, bytes, via: { path }, flow, arrived: clock.now(), message: undefined, state: 'stored' });
      this.#kept += 1;
      this.#keptBytes += bytes;
      each(message, flow);
      this.#lastKey = Number(key.slice(this.#prefix.length));
    }
  }

  /** Adds a message behind all others. It stays in memory until `keepAll` or `keepOn`. */
  add(message: Request, via: ReceivedVia, flow: FlowMark | undefined): QueuedMessage {
    this.#lastKey += 1;
    const item: QueuedMessage = {
      key: this.#prefix + String(this.#lastKey).padStart(16, '0'),
      bytes: sizeOf(message), via, message, flow, arrived: this.#components.clock.now(), state: 'here',
    };
    this.#push(item);
    return item;
  }

  /** Returns the item of a number, if it is waiting. */
  at(number: number): QueuedMessage | undefined {
    return this.#items[number - this.#first];
  }

  /** Returns the message of an item, from memory or disk. */
  read(item: QueuedMessage): Request | undefined {
    return item.message ?? this.#components.stored.get(item.key)?.message;
  }

  /** Removes the items with numbers below `end`, also from disk. */
  take(end: number): readonly Taken[] {
    const items = this.#items.splice(0, end - this.#first);
    this.#first += items.length;
    for (const { bytes } of items.slice(0, this.#kept)) this.#keptBytes -= bytes;
    this.#kept = Math.max(0, this.#kept - items.length);
    return items.map((item) => ({ item, was: item.state, erased: this.#end(item) }));
  }

  /**
   * Called when no program is left. Stores messages as far as there is room; the others wait up to `stallMs` for a
   * program.
   */
  keepAll(): void {
    this.#unattendedSince = this.#components.clock.now();
    this.keepOn();
  }

  /** Stores messages in order, as far as there is room. */
  keepOn(): void {
    const { asks } = this.#components;
    for (let item = this.#items[this.#kept]; item !== undefined; item = this.#items[this.#kept]) {
      if (item.message !== undefined && item.state === 'here') {
        if (asks(item.message)) {
          this.#drop(item, new ProtoflyError('E_UNAVAILABLE', `the program that was attached to ${this.#init.address} is gone`));
          continue;
        }
        if (this.#kept >= this.#init.maxMessages || this.#keptBytes + item.bytes > this.#init.maxBytes) break;
        void this.#store(item, item.message);
      }
      this.#kept += 1;
      this.#keptBytes += item.bytes;
    }
    this.#awaitRoom();
  }

  /**
   * Removes the messages of a flow behind a number that aren't on disk yet. Must not be called while a program is
   * attached.
   */
  takeBack(from: Address, { epoch, seq }: FlowMark): readonly Dropped[] {
    const items = this.#items.filter((item) => item.state !== 'stored' && item.flow?.epoch === epoch && item.flow.seq > seq && item.message?.from === from);
    for (const item of items) this.#remove(item);
    return items.flatMap(({ message, via, flow }) => (message === undefined ? [] : [{ message, via, flow }]));
  }

  full(): ProtoflyError {
    return new ProtoflyError('E_TOO_MANY', `the inbox of ${this.#init.address} is full`, { hint: 'attach a program that takes its messages' });
  }

  /** Discards all messages. @returns their number, once they are erased from disk */
  async discard(): Promise<number> {
    const items = this.#items.splice(0);
    this.#first += items.length;
    this.#bytes = 0;
    this.#keepOnly(0);
    this.close();
    const { stored } = this.#components;
    await Promise.all([...stored.entries({ prefix: this.#prefix })].map(([key]) => stored.delete(key)));
    return items.length;
  }

  /** Closes the queue: `onStored` isn't called any more. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #push(item: QueuedMessage): void {
    this.#items.push(item);
    this.#bytes += item.bytes;
  }

  /** Drops the first message without room `stallMs` after its arrival, or after the last program left. */
  #awaitRoom(): void {
    const item = this.#items[this.#kept];
    if (item === undefined || this.#timer !== undefined || this.#closed) return;
    const { clock, isAttended } = this.#components;
    const deadline = Math.max(item.arrived, this.#unattendedSince) + this.#init.stallMs;
    this.#timer = clock.setTimeout(() => {
      this.#timer = undefined;
      if (isAttended() || this.#closed) return;
      if (this.#items[this.#kept] === item && clock.now() >= deadline) this.#drop(item, this.full());
      this.keepOn();
    }, Math.max(deadline - clock.now(), 0));
  }

  async #store(item: QueuedMessage, message: Request): Promise<void> {
    const { stored, isAttended, onStored, onFailed } = this.#components;
    item.state = 'storing';
    try {
      await stored.put(item.key, { message, path: item.via.path, bytes: item.bytes, ...(item.flow === undefined ? {} : { flow: item.flow }) });
    } catch (thrown) {
      onFailed(thrown);
      if (item.state !== 'storing') return;
      item.state = 'here';
      const index = this.#items.indexOf(item);
      if (index >= 0 && index < this.#kept) this.#keepOnly(index);
      if (!isAttended() && !this.#closed) this.#drop(item, asProtoflyError(thrown));
      return;
    }
    if (this.#closed || item.state !== 'storing') return;
    item.state = 'stored';
    item.message = undefined;
    onStored(item, message);
  }

  #drop(item: QueuedMessage, error: ProtoflyError): void {
    const { message } = item;
    if (this.#remove(item) && message !== undefined) this.#components.onDropped(item, message, error);
  }

  #remove(item: QueuedMessage): boolean {
    const index = this.#items.indexOf(item);
    if (index < 0) return false;
    if (index < this.#kept) {
      this.#kept -= 1;
      this.#keptBytes -= item.bytes;
    }
    this.#items.splice(index, 1);
    void this.#end(item);
    return true;
  }

  /** Marks an item as gone. @returns a promise that settles when it is erased from disk; undefined if it wasn't there */
  #end(item: QueuedMessage): Promise<unknown> | undefined {
    this.#bytes -= item.bytes;
    const wasHere = item.state === 'here';
    item.state = 'gone';
    return wasHere ? undefined : this.#components.stored.delete(item.key).catch(this.#components.onFailed);
  }

  /** Records that only the first `count` items are stored or being stored. */
  #keepOnly(count: number): void {
    this.#kept = count;
    this.#keptBytes = 0;
    for (const { bytes } of this.#items.slice(0, count)) this.#keptBytes += bytes;
  }
}
