import { DrainSignal } from '../../../kit/drain-signal.js';
import type { Backpressure } from '../../../protocol/index.js';
import type { Ledger } from './ledger.js';
import type { RestLimits } from './limits.js';

/** A numbered message for a client, as text. */
export interface Numbered {
  readonly number: number;
  readonly frame: string;
  readonly size: number;
}

export interface Unacknowledged {
  /** The number of the first unacknowledged message. */
  readonly first: number;
  readonly bytes: number;
}

/** An open GET. */
export interface Reader {
  /** True if the reader takes only one write. */
  readonly once: boolean;
  /**
   * Writes frames. Calls `done` once, asynchronously, with true if the frames have left. Nothing more may be written
   * before that.
   */
  write(frames: readonly Numbered[], done: (left: boolean) => void): void;
  /** Returns a number that changes when bytes leave. */
  progress(): number;
  /** Ends the reader. Idempotent. */
  end(): void;
}

/** The bytes in the send queues of all sessions together. */
export interface SendQueueBudget {
  bytes: number;
}

export interface RestSendQueueComponents {
  readonly ledger: Ledger;
  readonly budget: SendQueueBudget;
}

export type OutboxInit = Pick<RestLimits, 'unacknowledged' | 'unacknowledgedBytes' | 'unacknowledgedInAll'>;

/** Maximum bytes of one write, unless a single message is larger. */
const WRITE_BYTES = 256 * 1024;
/** Limit of one session, in bytes, while all together exceed theirs. */
const FAIR_BYTES = 256 * 1024;

/**
 * The numbered messages that a client hasn't taken yet, in order, and the one reader that receives them. A new reader
 * starts at the first unacknowledged message.
 */
export class RestSendQueue {
  readonly #ledger: Ledger;
  readonly #budget: SendQueueBudget;
  readonly #init: OutboxInit;
  readonly #relief = new DrainSignal();
  #frames: Numbered[] = [];
  /** Indexes into `#frames`: `#head` is the first message not taken, `#next` the first not given. */
  #head = 0;
  #next = 0;
  #bytes = 0;
  #moved = 0;
  #reader: Reader | undefined;
  #state: 'idle' | 'scheduled' | 'writing' | 'stopped' = 'idle';
  #again = false;
  #onEmpty: (() => void) | undefined;

  constructor({ ledger, budget }: RestSendQueueComponents, init: OutboxInit) {
    this.#ledger = ledger;
    this.#budget = budget;
    this.#init = init;
  }

  get count(): number {
    return this.#frames.length - this.#head;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** A number that changes while the client takes anything. */
  get progress(): number {
    return this.#moved + (this.#reader?.progress() ?? 0);
  }

  /** The messages given to an acknowledging client and not acknowledged yet. */
  get unacknowledged(): Unacknowledged | undefined {
    const first = this.#ledger.acknowledging && this.#next > this.#head ? this.#frames[this.#head] : undefined;
    if (first === undefined) return undefined;
    let bytes = 0;
    for (let at = this.#head; at < this.#next; at += 1) bytes += this.#frames[at]?.size ?? 0;
    return { first: first.number, bytes };
  }

  push(item: Numbered): Backpressure {
    if (this.#state === 'stopped') return undefined;
    this.#frames.push(item);
    this.#bytes += item.size;
    this.#budget.bytes += item.size;
    this.#schedule();
    const { unacknowledged, unacknowledgedBytes, unacknowledgedInAll } = this.#init;
    const full = this.count >= unacknowledged || this.#bytes > unacknowledgedBytes || (this.#budget.bytes > unacknowledgedInAll && this.#bytes > FAIR_BYTES);
    return full ? this.#relief.wait() : undefined;
  }

  /** Acknowledges all messages up to `number`. Ignores numbers that were never given. */
  acknowledge(number: number): void {
    if (this.#state === 'stopped') return;
    this.#ledger.acknowledging = true;
    if (number <= this.#ledger.given) this.#drop(number);
  }

  /** Makes this the reader of all messages from now on. The previous reader ends. */
  read(reader: Reader): void {
    if (this.#state === 'stopped') { reader.end(); return; }
    const before = this.#reader;
    this.#reader = reader;
    // A write in progress still belongs to the previous reader.
    if (this.#state === 'writing') this.#again = true;
    else this.#next = this.#head;
    before?.end();
    if (this.#state !== 'writing') this.#flush();
  }

  /** Removes the reader, if it is the current one. */
  leave(reader: Reader): void {
    if (this.#reader === reader) this.#reader = undefined;
  }

  /** Calls `run` once, when the reader has been given everything, or when there is no reader. */
  whenEmpty(run: () => void): void {
    this.#onEmpty = run;
    if (this.#state !== 'writing') this.#flush();
    this.#settle();
  }

  /** Stops giving messages. @returns the messages not taken */
  stop(): readonly Numbered[] {
    const left = this.#frames.slice(this.#head);
    this.#state = 'stopped';
    this.#budget.bytes -= this.#bytes;
    this.#bytes = 0;
    this.#frames = [];
    this.#head = 0;
    this.#next = 0;
    this.#relief.release();
    const reader = this.#reader;
    this.#reader = undefined;
    reader?.end();
    return left;
  }

  #schedule(): void {
    if (this.#state !== 'idle' || this.#reader === undefined) return;
    this.#state = 'scheduled';
    setImmediate(() => { this.#flush(); });
  }

  #flush(): void {
    if (this.#state === 'stopped' || this.#state === 'writing') return;
    this.#state = 'idle';
    const reader = this.#reader;
    if (reader === undefined || this.#next === this.#frames.length) return;
    const frames = this.#gather();
    const last = frames.at(-1)?.number ?? 0;
    this.#ledger.given = Math.max(this.#ledger.given, last);
    this.#state = 'writing';
    if (reader.once) this.#reader = undefined;
    reader.write(frames, (left) => { this.#written(last, left); });
  }

  #gather(): Numbered[] {
    const from = this.#next;
    let bytes = 0;
    while (this.#next < this.#frames.length) {
      bytes += this.#frames[this.#next]?.size ?? 0;
      if (bytes > WRITE_BYTES && this.#next > from) break;
      this.#next += 1;
    }
    return this.#frames.slice(from, this.#next);
  }

  #written(last: number, left: boolean): void {
    if (this.#state !== 'writing') return;
    this.#state = 'idle';
    if (left) {
      this.#moved += 1;
      if (!this.#ledger.acknowledging) this.#drop(last);
    }
    if (this.#again) this.#next = this.#head;
    this.#again = false;
    this.#flush();
    this.#settle();
  }

  #drop(number: number): void {
    const from = this.#head;
    let item = this.#frames[this.#head];
    while (item !== undefined && item.number <= number) {
      this.#bytes -= item.size;
      this.#budget.bytes -= item.size;
      item = this.#frames[this.#head += 1];
    }
    this.#ledger.acknowledged = Math.max(this.#ledger.acknowledged, number);
    if (this.#head === from) return;
    this.#moved += this.#head - from;
    this.#next = Math.max(this.#next, this.#head);
    if (this.#head * 2 >= this.#frames.length) {
      this.#frames = this.#frames.slice(this.#head);
      this.#next -= this.#head;
      this.#head = 0;
    }
    const { unacknowledged, unacknowledgedBytes, unacknowledgedInAll } = this.#init;
    const roomy = this.#budget.bytes <= unacknowledgedInAll || this.#bytes <= FAIR_BYTES;
    if (roomy && this.count <= unacknowledged / 2 && this.#bytes <= unacknowledgedBytes * 0.9) this.#relief.release();
  }

  #settle(): void {
    if (this.#onEmpty === undefined || this.#state === 'writing' || (this.#reader !== undefined && this.#next < this.#frames.length)) return;
    const run = this.#onEmpty;
    this.#onEmpty = undefined;
    run();
  }
}
