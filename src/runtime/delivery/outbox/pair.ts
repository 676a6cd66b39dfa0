import { expectationOf, isWithinRange, type Address, type FlowRange, type MessageId, type Backpressure, type Request } from '../../../protocol/index.js';
import { sizeOf } from '../index.js';

/** How long anything is kept, in seconds, and how long where nobody says: a week. */
export const MAX_TTL = 7 * 24 * 3600;

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 60_000;

/** A domain counts a message's time from when it comes: so much later, in milliseconds, than it was sent at most. */
const LATE_MS = 60_000;

/** Where the mail of one pair ends that the receiver's domain keeps. */
export interface LastMail {
  /** The newest of it. */
  readonly id: MessageId;
  readonly epoch: string;
  readonly seq: number;
  /** When the last of it to expire does, in steady time. */
  readonly until: number;
}

/** One message of the outbox. */
export interface OutboxEntry {
  readonly id: MessageId;
  /** Whether its sender wants to hear of it. */
  readonly asked: boolean;
  /** Where it is in the store, once it is. */
  readonly key: string;
  readonly epoch: string;
  readonly seq: number;
  readonly bytes: number;
  /** When it expires, in steady time. */
  readonly until: number;
  /** Since when it has been in flight, in steady time; undefined while it waits. */
  sentAt: number | undefined;
  state: 'here' | 'storing' | 'stored';
  /** Absent when it waits on disk. */
  message: Request | undefined;
}

export interface OutboxFlowInit {
  /** Names the flow of the messages that come next. */
  readonly epoch: string;
  /** How many may be in flight at a time. */
  readonly maxInFlight: number;
}

/** The stored messages of one sender to one receiver, in order: first those in flight, then those that wait behind them. */
export class OutboxFlow {
  readonly waiting: OutboxEntry[] = [];
  /** Messages in flight by number. All of them are of one epoch. */
  readonly #inFlight = new Map<number, OutboxEntry>();
  /** Sending is being tried. */
  pumping = false;
  /** How many messages are on disk, or on their way there. */
  kept = 0;
  bytes = 0;
  /** Until the mail at the receiver's domain has been taken, later messages also go through that domain, or they would overtake it. */
  atDomain: LastMail | undefined;
  /** While it is being written that the domain keeps mail: settles when a sender may hear of that. */
  noting: Promise<void> | undefined;
  /** When a message was last here, in steady time. */
  usedAt: number;

  readonly #init: OutboxFlowInit;
  #nextSeq = 1;
  /** Something has changed while sending was being tried. */
  #woken = false;
  /** Earliest time of the next try in steady time; `wake()` clears it. */
  #notBefore = Number.NEGATIVE_INFINITY;
  #failures = 0;
  #relief: Promise<void> | undefined;
  #relieve: () => void = () => undefined;

  constructor(readonly from: Address, readonly to: Address, init: OutboxFlowInit, now: number) {
    this.#init = init;
    this.usedAt = now;
  }

  get size(): number {
    return this.waiting.length + this.#inFlight.size;
  }

  get inFlight(): number {
    return this.#inFlight.size;
  }

  /** The message that has been in flight longest. */
  get oldest(): OutboxEntry | undefined {
    const [oldest] = this.#inFlight.values();
    return oldest;
  }

  /** All entries, those in flight first. */
  get entries(): readonly OutboxEntry[] {
    return [...this.#inFlight.values(), ...this.waiting];
  }

  /** The oldest entry in flight with that id, which its program chose and may have chosen twice. */
  inFlightWithId(id: MessageId): readonly OutboxEntry[] {
    for (const entry of this.#inFlight.values()) if (entry.id === id) return [entry];
    return [];
  }

  inFlightWithin(range: FlowRange): readonly OutboxEntry[] {
    return [...this.#inFlight.values()].filter((entry) => isWithinRange(range, entry));
  }

  /** The next number for a message. @param key where it goes in the store, should it have to */
  number(message: Request, key: string, now: number): OutboxEntry {
    const { ttl } = message.body ?? {};
    const seconds = typeof ttl === 'number' && ttl >= 0 ? Math.min(ttl, MAX_TTL) : MAX_TTL;
    return {
      id: message.id, asked: expectationOf(message) === 'receipt', key, epoch: this.#init.epoch, seq: this.#nextSeq++, bytes: sizeOf(message),
      until: now + seconds * 1000, sentAt: undefined, state: 'here', message,
    };
  }

  /** Takes the first entry that waits into flight. */
  depart(now: number): void {
    const entry = this.waiting.shift();
    if (entry === undefined) return;
    entry.sentAt = now;
    this.#inFlight.set(entry.seq, entry);
  }

  /** Puts an entry in flight that could not be sent back in front of those that wait. */
  comeBack(entry: OutboxEntry): void {
    if (!this.#isInFlight(entry)) return;
    this.#inFlight.delete(entry.seq);
    entry.sentAt = undefined;
    this.waiting.unshift(entry);
  }

  /** Takes an entry from wherever it is. @returns whether it was here */
  remove(entry: OutboxEntry, now: number): boolean {
    this.usedAt = now;
    if (this.#isInFlight(entry)) return this.#inFlight.delete(entry.seq);
    const at = this.waiting.indexOf(entry);
    if (at >= 0) this.waiting.splice(at, 1);
    return at >= 0;
  }

  /** Whether there is room for one more in flight. A flow follows another only when that has been settled. */
  maySend({ epoch }: OutboxEntry): boolean {
    if (this.#inFlight.size >= this.#init.maxInFlight) return false;
    return this.oldest === undefined || this.oldest.epoch === epoch;
  }

  /** Whether mail of this pair may still wait at the receiver's domain. */
  hasMail(now: number): boolean {
    return this.atDomain !== undefined && this.atDomain.until > now;
  }

  /** Whether a message comes after all mail at the domain. A flow follows another when that has been settled. */
  isBehindMail({ epoch, seq }: Pick<OutboxEntry, 'epoch' | 'seq'>): boolean {
    return this.atDomain === undefined || epoch !== this.atDomain.epoch || seq > this.atDomain.seq;
  }

  /** Where the mail at the domain ends when that keeps one more message. */
  withMail(entry: OutboxEntry): LastMail {
    const { id, epoch, seq } = this.atDomain === undefined || this.isBehindMail(entry) ? entry : this.atDomain;
    return { id, epoch, seq, until: Math.max(entry.until + LATE_MS, this.atDomain?.until ?? 0) };
  }

  /** What its sender is to hear waits until something is on disk. */
  note(written: Promise<void>): void {
    const noting = Promise.all([this.noting, written]).then(() => {
      if (this.noting === noting) this.noting = undefined;
    });
    this.noting = noting;
  }

  isPausing(now: number): boolean {
    return this.#notBefore > now;
  }

  /** There was no route: waits before the next try, longer each time. */
  pause(now: number): void {
    this.#notBefore = now + Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(this.#failures, 10));
    this.#failures += 1;
  }

  /** There was a route. */
  went(): void {
    this.#failures = 0;
  }

  /** Something has changed: a route may be looked for at once. */
  wake(): void {
    this.#notBefore = Number.NEGATIVE_INFINITY;
    this.#failures = 0;
    this.#woken = this.pumping;
  }

  /** Ends a try. @returns whether something has changed meanwhile, so that the next may come at once */
  rest(): boolean {
    this.pumping = false;
    if (!this.#woken) return false;
    this.#woken = false;
    this.#notBefore = Number.NEGATIVE_INFINITY;
    return true;
  }

  /** Settles when its sender may go on; undefined when it may now. */
  get backpressure(): Backpressure {
    if (this.#inMemory < this.#init.maxInFlight * 2) return undefined;
    this.#relief ??= new Promise((resolve) => { this.#relieve = resolve; });
    return this.#relief;
  }

  /** Lets the sender go on if there is room. */
  relieve(): void {
    if (this.#inMemory < this.#init.maxInFlight) this.release();
  }

  /** Lets the sender go on in any case. */
  release(): void {
    this.#relieve();
    this.#relief = undefined;
  }

  #isInFlight(entry: OutboxEntry): boolean {
    return this.#inFlight.get(entry.seq) === entry;
  }

  /** How many are in memory only. */
  get #inMemory(): number {
    return this.size - this.kept;
  }
}

export const pairKey = (from: Address, to: Address): string => `${from} ${to}`;
