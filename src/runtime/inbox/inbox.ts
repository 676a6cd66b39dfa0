import type { Pressure } from '../../bus/index.js';
import {
  asProtoflyError, expectationOf, isResponse, ProtoflyError, refuse, respond,
  type Address, type Clock, type Message, type MessageId, type Request, type Response,
} from '../../protocol/index.js';
import type { Collection } from '../../store/index.js';
import { flowOf, Incoming, type FlowMark } from '../delivery/index.js';
import { Positions, type KeptPosition } from './positions.js';
import { Recent } from './recent.js';

/** How a message came in. */
export type Path = 'p2p' | 'msg-node' | 'local';

/** What is known of how a message came in, and told to its sender. */
export interface Arrival {
  readonly path: Path;
  /** Of the P2P connection over which it came. */
  readonly generation?: number;
}

/** What the store keeps of a message that waits. */
export interface Stored {
  readonly message: Request;
  readonly path: Path;
  readonly bytes: number;
  /** Where it stood in its sender's stream: what came before it must not be taken again by the next life of this inbox. */
  readonly flow?: FlowMark;
}

/** A program that wants a hyperty's messages. */
export interface Program {
  deliver(message: Message): Pressure;
  /** How many messages may be under way without having been declared taken. Absent: delivered is taken. */
  readonly window?: number;
}

export interface Attachment {
  /** The first `count` messages delivered to this program have been taken. */
  taken(count: number): void;
  /** What this program hasn't taken, and no other has, waits for the next. Idempotent. */
  detach(): void;
}

export interface InboxComponents {
  readonly stored: Collection<Stored>;
  /** How far senders' messages have been taken. @default that isn't kept: a later life takes again what is sent again */
  readonly positions?: Collection<KeptPosition>;
  readonly clock: Clock;
  /** Sends a receipt or refusal on its way. */
  readonly reply: (response: Response) => void;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface InboxInit {
  readonly address: Address;
  /** How much waits on disk while no program is attached. @default 1000 */
  readonly maxMessages?: number;
  /** @default 16 MiB */
  readonly maxBytes?: number;
  /** How many messages beyond that may wait for room, their senders stalled. @default 4096 */
  readonly maxStalled?: number;
  /** How long they may, in milliseconds. @default 30_000 */
  readonly stallMs?: number;
  /** How long what has been taken may be known in memory only, in milliseconds. @default 50 */
  readonly positionMs?: number;
}

interface Item {
  readonly key: string;
  readonly bytes: number;
  readonly arrival: Arrival;
  readonly arrived: number;
  readonly flow: FlowMark | undefined;
  /** Absent when it is on disk only. */
  message: Request | undefined;
  state: 'here' | 'storing' | 'stored';
}

interface Attached {
  readonly program: Program;
  /** Numbers of items since the inbox began: the next to deliver, and the first not taken. */
  next: number;
  taken: number;
  readonly from: number;
  /** A delivery that the program's link hasn't swallowed yet. */
  busy: boolean;
}

const ASKING: ReadonlySet<Message['type']> = new Set(['read', 'execute', 'subscribe', 'unsubscribe', 'ping']);
/** So many requests of programs at least are remembered until they are answered. */
const MIN_AWAITED = 10_000;

/** Whether somebody has to answer this now, so that it is of no use to keep it. */
const asks = (message: Request): boolean => {
  const expectation = expectationOf(message);
  return expectation === 'response' || (expectation === undefined && ASKING.has(message.type));
};

/**
 * What arrives for one hyperty: goes to the programs that are attached to it, at the pace of the slowest; waits on
 * disk, bounded, while there is none. A receipt is sent when a message has been taken by every attached program, or
 * is safely on disk.
 */
export class Inbox {
  readonly #stored: Collection<Stored>;
  readonly #clock: Clock;
  readonly #reply: (response: Response) => void;
  readonly #log: InboxComponents['log'];
  readonly #init: Required<InboxInit>;
  readonly #incoming = new Incoming();
  readonly #positions: Positions | undefined;
  readonly #attached = new Set<Attached>();
  /** Item `#first + i` is `#items[i]`. */
  #items: Item[] = [];
  #first = 0;
  #bytes = 0;
  #lastKey = 0;
  #closed = false;
  /** Receipts that are still to come, so that a repeated message isn't acknowledged before its first copy. */
  readonly #unreceipted = new Set<string>();
  readonly #awaited = new Recent<MessageId, (response: Response) => void>(MIN_AWAITED);

  constructor({ stored, positions, clock, reply, log }: InboxComponents, init: InboxInit) {
    this.#stored = stored;
    this.#clock = clock;
    this.#reply = reply;
    this.#log = log;
    this.#init = { maxMessages: 1000, maxBytes: 16 * 1024 * 1024, maxStalled: 4096, stallMs: 30_000, positionMs: 50, ...init };
    this.#positions = positions && new Positions({ kept: positions, clock, incoming: this.#incoming, onFailed: (thrown) => { this.#failed(thrown); } }, this.#init);
    for (const [key, { bytes, path, flow, message }] of stored.entries({ prefix: this.#prefix })) {
      this.#push({ key, bytes, arrival: { path }, flow, arrived: clock.now(), message: undefined, state: 'stored' });
      if (flow !== undefined) this.#incoming.resume(message.from, flow);
      this.#lastKey = Number(key.slice(this.#prefix.length));
    }
  }

  get waiting(): { readonly messages: number; readonly bytes: number } {
    return { messages: this.#items.length, bytes: this.#bytes };
  }

  get attached(): number {
    return this.#attached.size;
  }

  /** Where the response to a request that a program sent as this hyperty is to go. */
  expectResponse(id: MessageId, deliver: (response: Response) => void): void {
    this.#awaited.set(id, deliver);
  }

  /** @throws ProtoflyError `E_UNAVAILABLE`: it is to be answered and no program is attached; `E_TOO_MANY` */
  receive(message: Message, arrival: Arrival): void {
    if (isResponse(message)) { this.#answer(message); return; }
    if (asks(message)) {
      if (this.#attached.size === 0) throw new ProtoflyError('E_UNAVAILABLE', `no program is attached to ${this.#init.address}`);
      this.#admit(message, arrival);
      return;
    }
    const flow = arrival.path === 'local' ? undefined : flowOf(message);
    if (flow === undefined) { this.#admit(message, arrival); return; }
    const sorted = this.#incoming.sort(message, flow);
    switch (sorted.kind) {
      case 'ready':
        for (const ready of sorted.messages) this.#admit(withoutFlow(ready as Request), arrival, flowOf(ready));
        return;
      case 'repeated':
        if (!this.#unreceipted.has(receiptKey(message))) this.#receipt(message, arrival);
        return;
      case 'overflow': throw new ProtoflyError('E_TOO_MANY', `too many messages to ${this.#init.address} wait for one that is missing`);
      case 'held': return;
    }
  }

  attach(program: Program): Attachment {
    const attached: Attached = { program, next: this.#first, taken: this.#first, from: this.#first, busy: false };
    this.#attached.add(attached);
    this.#pump(attached);
    return {
      taken: (count) => {
        if (!Number.isSafeInteger(count)) return;
        attached.taken = Math.min(Math.max(attached.taken, attached.from + count), attached.next);
        this.#settle();
        this.#pump(attached);
      },
      detach: () => {
        if (!this.#attached.delete(attached)) return;
        this.#settle(this.#attached.size === 0 ? attached.taken : undefined);
        if (this.#attached.size === 0) this.#storeWaiting();
      },
    };
  }

  /** Forgets everything that waits, without an answer to anybody. @returns how many messages that were */
  async discard(): Promise<number> {
    const items = this.#items.splice(0);
    this.#first += items.length;
    this.#bytes = 0;
    this.#closed = true;
    await Promise.all([...[...this.#stored.entries({ prefix: this.#prefix })].map(([key]) => this.#stored.delete(key)), this.#positions?.discard()]);
    return items.length;
  }

  /** Idempotent. What it writes last is on its way to the store. */
  close(): void {
    this.#closed = true;
    this.#positions?.close();
    this.#attached.clear();
  }

  get #prefix(): string {
    return `${this.#init.address} `;
  }

  #answer(response: Response): void {
    const deliver = this.#awaited.get(response.id);
    if (deliver !== undefined) {
      if (response.body.code >= 200) this.#awaited.delete(response.id);
      deliver(response);
      return;
    }
    for (const { program } of this.#attached) void program.deliver(response);
  }

  #admit(message: Request, arrival: Arrival, flow?: FlowMark): void {
    if (this.#items.length >= this.#init.maxMessages + this.#init.maxStalled || this.#bytes >= this.#init.maxBytes * 2) {
      this.#turnedAway(message, flow);
      this.#reply(refuse(message, this.#full(), this.#init.address));
      return;
    }
    this.#lastKey += 1;
    const item: Item = {
      key: this.#prefix + String(this.#lastKey).padStart(16, '0'),
      bytes: sizeOf(message), arrival, message, flow, arrived: this.#clock.now(), state: 'here',
    };
    if (expectationOf(message) === 'receipt') this.#unreceipted.add(receiptKey(message));
    this.#push(item);
    if (this.#attached.size === 0) this.#keep(item, this.#items.length, this.#bytes);
    else for (const attached of this.#attached) this.#pump(attached);
  }

  #push(item: Item): void {
    this.#items.push(item);
    this.#bytes += item.bytes;
  }

  /** Delivers to a program what it has room for. */
  #pump(attached: Attached): void {
    const window = attached.program.window ?? Number.POSITIVE_INFINITY;
    while (!attached.busy && this.#attached.has(attached) && attached.next - attached.taken < window) {
      const item = this.#items[attached.next - this.#first];
      if (item === undefined) break;
      const message = item.message ?? this.#stored.get(item.key)?.message;
      attached.next += 1;
      const pressure = message === undefined ? undefined : this.#deliver(attached, message);
      if (pressure !== undefined) {
        attached.busy = true;
        void pressure.then(() => {
          attached.busy = false;
          this.#delivered(attached);
          this.#pump(attached);
        });
      }
    }
    this.#delivered(attached);
  }

  #deliver(attached: Attached, message: Message): Pressure {
    try {
      return attached.program.deliver(message);
    } catch (thrown) {
      // Its link has just ended: the detach that follows keeps what wasn't taken.
      this.#log('debug', `not delivered to a program of ${this.#init.address}: ${asProtoflyError(thrown).message}`);
      attached.next -= 1;
      attached.busy = true;
      return undefined;
    }
  }

  /** For a program without a window: what its link has swallowed is taken. */
  #delivered(attached: Attached): void {
    if (attached.program.window !== undefined || attached.taken === attached.next || attached.busy) return;
    attached.taken = attached.next;
    this.#settle();
  }

  /** Ends the items that every attached program has taken; those below `upTo` in any case. */
  #settle(upTo?: number): void {
    const done = upTo ?? Math.min(...[...this.#attached].map(({ taken }) => taken));
    if (!Number.isFinite(done) || done <= this.#first) return;
    const items = this.#items.splice(0, done - this.#first);
    this.#first += items.length;
    let written = false;
    for (const item of items) {
      this.#bytes -= item.bytes;
      if (item.state !== 'here') {
        written = true;
        this.#stored.delete(item.key).catch((thrown: unknown) => { this.#failed(thrown); });
      }
      if (item.message !== undefined && item.state !== 'stored') this.#taken(item, item.message);
    }
    // What goes from the disk there must go together with the news that it has been taken.
    if (written) this.#positions?.write();
    for (const attached of this.#attached) attached.next = Math.max(attached.next, this.#first);
  }

  /** Puts on disk what waits, as far as there is room. */
  #storeWaiting(): void {
    let bytes = 0;
    for (const [index, item] of [...this.#items].entries()) {
      bytes += item.bytes;
      if (item.state === 'here') this.#keep(item, index + 1, bytes);
    }
  }

  /** Puts one item on disk if there is room for so many messages and bytes; else it has `stallMs` to find a program. */
  #keep(item: Item, messages: number, bytes: number): void {
    if (messages <= this.#init.maxMessages && bytes <= this.#init.maxBytes) {
      if (item.message !== undefined) void this.#storeItem(item, item.message);
      return;
    }
    const left = item.arrived + this.#init.stallMs - this.#clock.now();
    this.#clock.setTimeout(() => {
      if (item.state === 'here' && this.#attached.size === 0) this.#drop(item, this.#full());
    }, Math.max(left, 0));
  }

  async #storeItem(item: Item, message: Request): Promise<void> {
    if (asks(message)) {
      this.#drop(item, new ProtoflyError('E_UNAVAILABLE', `the program that was attached to ${this.#init.address} is gone`));
      return;
    }
    item.state = 'storing';
    try {
      await this.#stored.put(item.key, { message, path: item.arrival.path, bytes: item.bytes, ...(item.flow === undefined ? {} : { flow: item.flow }) });
    } catch (thrown) {
      this.#failed(thrown);
      item.state = 'here';
      if (this.#attached.size === 0) this.#drop(item, asProtoflyError(thrown));
      return;
    }
    if (this.#closed || !this.#items.includes(item)) return;
    item.state = 'stored';
    item.message = undefined;
    this.#taken(item, message);
  }

  #drop(item: Item, error: ProtoflyError): void {
    const index = this.#items.indexOf(item);
    if (index < 0) return;
    this.#items.splice(index, 1);
    this.#bytes -= item.bytes;
    if (item.message === undefined) return;
    this.#turnedAway(item.message, item.flow);
    this.#unreceipted.delete(receiptKey(item.message));
    this.#reply(refuse(item.message, error, this.#init.address));
  }

  /** By a program, or by the disk. */
  #taken({ flow, arrival }: Item, message: Request): void {
    if (flow !== undefined) {
      this.#incoming.taken(message.from, flow);
      this.#positions?.note();
    }
    this.#receipt(message, arrival);
  }

  /** For want of room. Who keeps a message sends it again until it is taken; for others a refusal is the end. */
  #turnedAway(message: Request, flow: FlowMark | undefined): void {
    if (flow === undefined) return;
    if (message.body?.store === true) this.#incoming.refused(message.from, flow);
    else this.#incoming.taken(message.from, flow);
    this.#positions?.note();
  }

  #receipt(message: Request, { path, generation }: Arrival): void {
    if (expectationOf(message) !== 'receipt') return;
    this.#unreceipted.delete(receiptKey(message));
    this.#reply(respond(message, 200, { path, ...(generation === undefined ? {} : { generation }) }, this.#init.address));
  }

  #full(): ProtoflyError {
    return new ProtoflyError('E_TOO_MANY', `the inbox of ${this.#init.address} is full`, { hint: 'attach a program that takes its messages' });
  }

  #failed(thrown: unknown): void {
    this.#log('warn', `the inbox of ${this.#init.address} can't be written: ${asProtoflyError(thrown).message}`);
  }
}

const receiptKey = (message: Request): string => `${message.from} ${String(message.id)}`;

const withoutFlow = (message: Request): Request => {
  const { flow: _flow, ...body } = message.body ?? {};
  return { ...message, body };
};

/** About what a message takes, in bytes: exact enough to bound an inbox, cheap enough for every message. */
const sizeOf = (message: Request): number => {
  const value = message.body?.value;
  return 256 + (typeof value === 'string' ? value.length : value === undefined ? 0 : JSON.stringify(value).length);
};
