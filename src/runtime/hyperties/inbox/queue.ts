import { asProtoflyError, ProtoflyError, type Address, type Clock, type FlowMark, type Request, type Timer, type ReceivedVia, type Path } from '../../../protocol/index.js';
import type { Collection } from '../../../store/index.js';
import { sizeOf } from '../../delivery/index.js';

/** What the store keeps of a message that waits. */
export interface Stored {
  readonly message: Request;
  readonly path: Path;
  readonly bytes: number;
  /** Where it stood in its sender's stream: what came before it must not be taken again by the next life of this inbox. */
  readonly flow?: FlowMark;
}

/** A message that left the queue before anybody took it. */
export interface Dropped {
  readonly message: Request;
  readonly via: ReceivedVia;
  readonly flow: FlowMark | undefined;
}

/** A message that has left the queue. */
export interface Taken {
  readonly item: QueuedMessage;
  readonly was: QueuedMessage['state'];
  /** Settles when it is gone from the disk. Undefined: it never went there. */
  readonly erased: Promise<unknown> | undefined;
}

/** A message that waits. */
export interface QueuedMessage {
  readonly key: string;
  readonly bytes: number;
  readonly via: ReceivedVia;
  readonly arrived: number;
  readonly flow: FlowMark | undefined;
  /** Absent when it is on disk only. */
  message: Request | undefined;
  state: 'here' | 'storing' | 'stored' | 'gone';
}

export interface QueueComponents {
  readonly stored: Collection<Stored>;
  readonly clock: Clock;
  /** Whether somebody takes what waits, so that it need not go to disk. */
  readonly isAttended: () => boolean;
  /** Whether somebody has to answer a message now, so that it is of no use to keep it. */
  readonly asks: (message: Request) => boolean;
  /** It is safely on disk. */
  readonly onStored: (item: QueuedMessage, message: Request) => void;
  /** It waits no longer, and nobody has taken it. */
  readonly onDropped: (item: QueuedMessage, message: Request, error: ProtoflyError) => void;
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
  readonly #items: QueuedMessage[] = [];
  #first = 0;
  #bytes = 0;
  /** So many items from the first on are on disk, or on their way there. */
  #kept = 0;
  #keptBytes = 0;
  #lastKey = 0;
  #unattendedSince = 0;
  /** Ends the patience with the first item that has no room. */
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
      this.#push({ key, bytes, via: { path }, flow, arrived: clock.now(), message: undefined, state: 'stored' });
      this.#kept += 1;
      this.#keptBytes += bytes;
      each(message, flow);
      this.#lastKey = Number(key.slice(this.#prefix.length));
    }
  }

  /** Adds a message behind all others; in memory, until `keep`. */
  add(message: Request, via: ReceivedVia, flow: FlowMark | undefined): QueuedMessage {
    this.#lastKey += 1;
    const item: QueuedMessage = {
      key: this.#prefix + String(this.#lastKey).padStart(16, '0'),
      bytes: sizeOf(message), via, message, flow, arrived: this.#components.clock.now(), state: 'here',
    };
    this.#push(item);
    return item;
  }

  /** The item of that number, if it has come and waits. */
  at(number: number): QueuedMessage | undefined {
    return this.#items[number - this.#first];
  }

  /** The message of an item, from wherever it is. */
  read(item: QueuedMessage): Request | undefined {
    return item.message ?? this.#components.stored.get(item.key)?.message;
  }

  /** Takes the items with numbers below `end` from here, and from the disk. */
  take(end: number): readonly Taken[] {
    const items = this.#items.splice(0, end - this.#first);
    this.#first += items.length;
    for (const { bytes } of items.slice(0, this.#kept)) this.#keptBytes -= bytes;
    this.#kept = Math.max(0, this.#kept - items.length);
    return items.map((item) => ({ item, was: item.state, erased: this.#end(item) }));
  }

  /** Nobody takes messages from now on: as many as there is room for go to disk, the others have `stallMs` to find a program. */
  keepAll(): void {
    this.#unattendedSince = this.#components.clock.now();
    this.keepOn();
  }

  /** Puts messages on disk in their order, as far as there is room. */
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

  /** Takes back the messages of a flow behind a number that are on nobody's disk yet. Not while anybody takes messages. */
  takeBack(from: Address, { epoch, seq }: FlowMark): readonly Dropped[] {
    const items = this.#items.filter((item) => item.state !== 'stored' && item.flow?.epoch === epoch && item.flow.seq > seq && item.message?.from === from);
    for (const item of items) this.#remove(item);
    return items.flatMap(({ message, via, flow }) => (message === undefined ? [] : [{ message, via, flow }]));
  }

  full(): ProtoflyError {
    return new ProtoflyError('E_TOO_MANY', `the inbox of ${this.#init.address} is full`, { hint: 'attach a program that takes its messages' });
  }

  /** Forgets everything. @returns how many messages that were, when they are gone from the disk, too */
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

  /** From now on nobody is told of what reaches the disk. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #push(item: QueuedMessage): void {
    this.#items.push(item);
    this.#bytes += item.bytes;
  }

  /** The first message without room has `stallMs` from when it came, or from when the last program left. */
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

  /** An item waits no longer. @returns when the disk knows that, too */
  #end(item: QueuedMessage): Promise<unknown> | undefined {
    this.#bytes -= item.bytes;
    const wasHere = item.state === 'here';
    item.state = 'gone';
    return wasHere ? undefined : this.#components.stored.delete(item.key).catch(this.#components.onFailed);
  }

  /** Only the first `count` items are on disk, or on their way there. */
  #keepOnly(count: number): void {
    this.#kept = count;
    this.#keptBytes = 0;
    for (const { bytes } of this.#items.slice(0, count)) this.#keptBytes += bytes;
  }
}
