import { expectationOf, isWithinRange, type Address, type FlowRange, type MessageId, type Backpressure, type Request } from '../../../protocol/index.js';
import { Backoff } from '../../../kit/backoff.js';
import { DrainSignal } from '../../../kit/drain-signal.js';
import { sizeOf } from '../index.js';

/** Longest time that a message is kept, in seconds, and the time if its sender names none: a week. */
export const MAX_TTL = 7 * 24 * 3600;

/** Pauses between attempts while there is no route. */
const BACKOFF = { firstMs: 1000, maxMs: 60_000 } as const;

/** Longest way of a message to a domain, in milliseconds. The domain counts the message's time from its arrival. */
const LATE_MS = 60_000;

/** The end of one flow's mail at the receiver's domain. */
export interface LastMail {
  /** Id of the newest message. */
  readonly id: MessageId;
  readonly epoch: string;
  readonly seq: number;
  /** Time when all of it has expired, in steady time. */
  readonly until: number;
}

/** One message of the outbox. */
export interface OutboxEntry {
  readonly id: MessageId;
  /** True if the sender wants to hear of it. */
  readonly asked: boolean;
  /** Key in the store. */
  readonly key: string;
  readonly epoch: string;
  readonly seq: number;
  readonly bytes: number;
  /** Time when it expires, in steady time. */
  readonly until: number;
  /** Time when it was sent, in steady time; undefined while it waits. */
  sentAt: number | undefined;
  state: 'here' | 'storing' | 'stored';
  /** Absent when it waits on disk. */
  message: Request | undefined;
}

export interface OutboxFlowInit {
  /** Epoch of the messages that come next. */
  readonly epoch: string;
  /** Most messages in flight at a time. */
  readonly maxInFlight: number;
}

/** State of sending. `pauseUntil` is in steady time; `isWoken`: something has changed since the attempt began. */
type Sending =
  | { readonly kind: 'idle' }
  | { readonly kind: 'sending'; readonly isWoken: boolean; readonly pauseUntil: number }
  | { readonly kind: 'pausing'; readonly pauseUntil: number };

const NO_PAUSE = Number.NEGATIVE_INFINITY;

/** The stored messages of one sender to one receiver, in order: first those in flight, then those that wait behind them. */
export class OutboxFlow {
  readonly waiting: OutboxEntry[] = [];
  /** Messages in flight by number. All of them are of one epoch. */
  readonly #inFlight = new Map<number, OutboxEntry>();
  /** Messages on disk, or on their way there. */
  kept = 0;
  bytes = 0;
  /** Until the mail at the receiver's domain has been taken, later messages also go through that domain, or they would overtake it. */
  atDomain: LastMail | undefined;
  /** Set while mail at the domain is being noted on disk; settles when a sender may hear of that mail. */
  noting: Promise<void> | undefined;
  /** Time when a message was last here, in steady time. */
  usedAt: number;

  readonly #init: OutboxFlowInit;
  #nextSeq = 1;
  readonly #backoff = new Backoff(BACKOFF);
  readonly #room = new DrainSignal();
  #sending: Sending = { kind: 'idle' };

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

  /** Returns an entry with the next number. @param key of the message in the store, if it has to go there */
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

  /** Removes an entry. @returns true if it was here */
  remove(entry: OutboxEntry, now: number): boolean {
    this.usedAt = now;
    if (this.#isInFlight(entry)) return this.#inFlight.delete(entry.seq);
    const at = this.waiting.indexOf(entry);
    if (at >= 0) this.waiting.splice(at, 1);
    return at >= 0;
  }

  /** True if one more may be in flight. A new epoch waits until no message of the last is in flight. */
  maySend({ epoch }: OutboxEntry): boolean {
    if (this.#inFlight.size >= this.#init.maxInFlight) return false;
    return this.oldest === undefined || this.oldest.epoch === epoch;
  }

  /** True if mail of this flow may still wait at the receiver's domain. */
  hasMail(now: number): boolean {
    return this.atDomain !== undefined && this.atDomain.until > now;
  }

  /** True if a message comes after all mail at the domain. */
  isBehindMail({ epoch, seq }: Pick<OutboxEntry, 'epoch' | 'seq'>): boolean {
    return this.atDomain === undefined || epoch !== this.atDomain.epoch || seq > this.atDomain.seq;
  }

  /** Returns the end of the mail once the domain keeps this message, too. */
  withMail(entry: OutboxEntry): LastMail {
    const { id, epoch, seq } = this.atDomain === undefined || this.isBehindMail(entry) ? entry : this.atDomain;
    return { id, epoch, seq, until: Math.max(entry.until + LATE_MS, this.atDomain?.until ?? 0) };
  }

  /** Has `noting` wait for a write to disk. */
  note(written: Promise<void>): void {
    const noting = Promise.all([this.noting, written]).then(() => {
      if (this.noting === noting) this.noting = undefined;
    });
    this.noting = noting;
  }

  /** True while an attempt to send goes on. */
  get isSending(): boolean {
    return this.#sending.kind === 'sending';
  }

  isPausing(now: number): boolean {
    return this.#sending.kind !== 'idle' && this.#sending.pauseUntil > now;
  }

  /** Begins an attempt to send. */
  begin(): void {
    this.#sending = { kind: 'sending', isWoken: false, pauseUntil: NO_PAUSE };
  }

  /** There was no route: the next attempt comes after a pause, longer each time. */
  pause(now: number): void {
    const pauseUntil = now + this.#backoff.failed();
    this.#sending = this.#sending.kind === 'sending' ? { ...this.#sending, pauseUntil } : { kind: 'pausing', pauseUntil };
  }

  /** There was a route. */
  went(): void {
    this.#backoff.reset();
  }

  /** Allows the next attempt at once, because a route may be there now. */
  wake(): void {
    this.#backoff.reset();
    this.#sending = this.isSending ? { kind: 'sending', isWoken: true, pauseUntil: NO_PAUSE } : { kind: 'idle' };
  }

  /** Ends an attempt. @returns true if something has changed meanwhile and the next attempt may come at once */
  rest(): boolean {
    const sending = this.#sending;
    if (sending.kind !== 'sending') return false;
    this.#sending = sending.isWoken || sending.pauseUntil === NO_PAUSE ? { kind: 'idle' } : { kind: 'pausing', pauseUntil: sending.pauseUntil };
    return sending.isWoken;
  }

  /** A promise that settles when the sender may go on; undefined if it may now. */
  get backpressure(): Backpressure {
    if (this.#inMemory < this.#init.maxInFlight * 2) return undefined;
    return this.#room.wait();
  }

  /** Lets the sender go on if there is room. */
  relieve(): void {
    if (this.#inMemory < this.#init.maxInFlight) this.release();
  }

  /** Lets the sender go on in any case. */
  release(): void {
    this.#room.release();
  }

  #isInFlight(entry: OutboxEntry): boolean {
    return this.#inFlight.get(entry.seq) === entry;
  }

  /** Messages that are in memory only. */
  get #inMemory(): number {
    return this.size - this.kept;
  }
}

export const pairKey = (from: Address, to: Address): string => `${from} ${to}`;
