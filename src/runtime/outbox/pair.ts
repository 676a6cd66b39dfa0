import { expectationOf, isWithinRange, type Address, type FlowRange, type MessageId, type Pressure, type Request } from '../../protocol/index.js';
import { sizeOf } from '../delivery/index.js';

/** How long anything is kept, in seconds, and how long where nobody says: a week. */
const MAX_TTL = 7 * 24 * 3600;

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;

/** The newest of what a domain keeps of one pair. */
export interface LastMail {
  readonly id: MessageId;
  readonly epoch: string;
  readonly seq: number;
  readonly until: number;
}

/** One message of the outbox. */
export interface Entry {
  readonly id: MessageId;
  /** Whether its sender wants to hear of it. */
  readonly asked: boolean;
  /** Where it is in the store, once it is. */
  readonly key: string;
  readonly epoch: string;
  readonly seq: number;
  readonly bytes: number;
  readonly until: number;
  /** Since when it has been under way, in milliseconds; undefined while it waits. */
  sentAt: number | undefined;
  state: 'here' | 'storing' | 'stored';
  /** Absent when it waits on disk. */
  message: Request | undefined;
}

export interface PairInit {
  /** Names the stream of the messages that come next. */
  readonly epoch: string;
  /** How many may be under way at a time. */
  readonly maxUnderWay: number;
}

/** What one sender sends to one receiver, in order and at its own pace: first what is under way, then what waits for that. */
export class Pair {
  readonly waiting: Entry[] = [];
  readonly sent = new Map<MessageId, Entry>();
  /** Sending is being tried. */
  pumping = false;
  /** What of it is on disk, or on its way there. */
  kept = 0;
  bytes = 0;
  /** The last message that waits at the receiver's domain: until it has been taken, what follows has to pass there, too. */
  atDomain: LastMail | undefined;

  readonly #init: PairInit;
  #nextSeq = 1;
  /** Something has changed while sending was being tried. */
  #woken = false;
  /** Not before this is a way looked for again, unless something has changed. */
  #notBefore = 0;
  #failures = 0;
  #relief: Promise<void> | undefined;
  #relieve: () => void = () => undefined;

  constructor(readonly from: Address, readonly to: Address, init: PairInit) {
    this.#init = init;
  }

  get size(): number {
    return this.waiting.length + this.sent.size;
  }

  /** Everything, what is under way first. */
  get entries(): readonly Entry[] {
    return [...this.sent.values(), ...this.waiting];
  }

  /** What is under way of that id. */
  sentWithId(id: MessageId): readonly Entry[] {
    const entry = this.sent.get(id);
    return entry === undefined ? [] : [entry];
  }

  /** What is under way of those numbers. */
  sentWithin(range: FlowRange): readonly Entry[] {
    return [...this.sent.values()].filter((entry) => isWithinRange(range, entry));
  }

  /** The next number for a message. @param key where it goes in the store, should it have to */
  number(message: Request, key: string, now: number): Entry {
    const { ttl } = message.body ?? {};
    const seconds = typeof ttl === 'number' && ttl >= 0 ? Math.min(ttl, MAX_TTL) : MAX_TTL;
    return {
      id: message.id, asked: expectationOf(message) === 'receipt', key, epoch: this.#init.epoch, seq: this.#nextSeq++, bytes: sizeOf(message),
      until: now + seconds * 1000, sentAt: undefined, state: 'here', message,
    };
  }

  /** Takes an entry from wherever it is. */
  remove(entry: Entry): void {
    this.sent.delete(entry.id);
    const at = this.waiting.indexOf(entry);
    if (at >= 0) this.waiting.splice(at, 1);
  }

  /** Whether there is room for one more under way. A stream follows another only when that has been settled. */
  maySend({ epoch }: Entry): boolean {
    if (this.sent.size >= this.#init.maxUnderWay) return false;
    const [under] = this.sent.values();
    return under === undefined || under.epoch === epoch;
  }

  /** Whether a message comes after all that the domain keeps. A stream follows another when that has been settled. */
  isBehindMail({ epoch, seq }: Pick<Entry, 'epoch' | 'seq'>): boolean {
    return this.atDomain === undefined || epoch !== this.atDomain.epoch || seq > this.atDomain.seq;
  }

  isPausing(now: number): boolean {
    return this.#notBefore > now;
  }

  /** There was no way: waits before the next try, longer each time. */
  pause(now: number): void {
    this.#notBefore = now + Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this.#failures, 10));
    this.#failures += 1;
  }

  /** There was a way. */
  went(): void {
    this.#failures = 0;
  }

  /** Something has changed: a way may be looked for at once. */
  wake(): void {
    this.#notBefore = 0;
    this.#failures = 0;
    this.#woken = this.pumping;
  }

  /** Ends a try. @returns whether something has changed meanwhile, so that the next may come at once */
  rest(): boolean {
    this.pumping = false;
    if (!this.#woken) return false;
    this.#woken = false;
    this.#notBefore = 0;
    return true;
  }

  /** Settles when its sender may go on; undefined when it may now. */
  get pressure(): Pressure {
    if (this.#inMemory < this.#init.maxUnderWay * 2) return undefined;
    this.#relief ??= new Promise((resolve) => { this.#relieve = resolve; });
    return this.#relief;
  }

  /** Lets the sender go on if there is room. */
  relieve(): void {
    if (this.#inMemory < this.#init.maxUnderWay) this.release();
  }

  /** Lets the sender go on in any case. */
  release(): void {
    this.#relieve();
    this.#relief = undefined;
  }

  /** How many are in memory only. */
  get #inMemory(): number {
    return this.size - this.kept;
  }
}

export const pairKey = (from: Address, to: Address): string => `${from} ${to}`;
