import { batchOf, bodyWith, ProtoflyError, withFlow, type Address, type Clock, type FlowMark, type Message, type Backpressure, type Request } from '../../protocol/index.js';
import type { GatheredBatch } from './batch.js';
import type { Carrier } from './carrier.js';
import { nextCourse, type Course, type CourseEvent } from './course.js';
import type { InFlight } from './in-flight.js';
import { sizeOf } from './in-flight.js';
import { Window } from './window.js';

export interface FlowInit {
  /** Never used again: a stream that was forgotten and begins anew must not look like a repetition of its beginning. */
  readonly epoch: string;
  readonly from: Address;
  readonly to: Address;
  /** Beyond this many unacknowledged bytes its sender is stalled. */
  readonly maxBytes: number;
}

/** One stream: what one sender sends to one receiver with receipts, and how far it is. */
export class Flow {
  readonly from: Address;
  readonly to: Address;
  readonly window = new Window<InFlight>();
  /** Messages that leave together at the end of this turn of the event loop. */
  batch: GatheredBatch | undefined;
  /** Backpressure of the carrier of the last batch. */
  backpressure: Promise<void> | undefined;
  /** A carrier that brought no receipt. Until a receipt comes, messages go again over another carrier where there is one. */
  avoid: Carrier | undefined;
  resentAt: number;
  resends = 0;
  readonly #clock: Clock;
  readonly #maxBytes: number;
  readonly #waiting: (() => void)[] = [];
  #course: Course = { name: 'even' };
  #epoch: string;
  #nextSeq = 1;
  #progress: number;

  constructor({ clock }: { readonly clock: Clock }, { epoch, from, to, maxBytes }: FlowInit) {
    this.#clock = clock;
    this.#epoch = epoch;
    this.from = from;
    this.to = to;
    this.#maxBytes = maxBytes;
    this.#progress = this.resentAt = clock.now();
  }

  get epoch(): string {
    return this.#epoch;
  }

  get course(): Course {
    return this.#course;
  }

  /** Pending while messages in flight are being sent again. Resolves when new messages may follow. */
  get moving(): Promise<void> | undefined {
    return this.#course.name === 'moving' ? this.#course.done : undefined;
  }

  /** The last error for which a message could not be sent, unless all have been sent since. */
  get trouble(): ProtoflyError | undefined {
    return this.#course.name === 'even' ? undefined : this.#course.trouble;
  }

  /** Time of the last receipt for the oldest message, or when the window stopped being empty. */
  get progress(): number {
    return this.#progress;
  }

  /**
   * @param mark where it stands, for a caller that keeps count itself
   * @param until see `InFlight`
   * @throws ProtoflyError `E_INTERNAL` for a number that isn't above those in the window, or another epoch than theirs
   */
  add(message: Message, mark?: Pick<FlowMark, 'epoch' | 'seq'>, until?: number): InFlight {
    const now = this.#clock.now();
    const { epoch, seq } = mark ?? { epoch: this.#epoch, seq: this.#nextSeq };
    if (epoch !== this.#epoch && this.window.size > 0) throw new ProtoflyError('E_INTERNAL', `epoch ${epoch} begins while ${String(this.window.size)} messages of ${this.#epoch} are in flight`);
    const entry: InFlight = { seq, bytes: sizeOf(message), message, since: now, until, carrier: undefined, doubted: undefined, ack: undefined, given: 0, returned: 0 };
    if (this.window.size === 0) this.#progress = now;
    this.window.add(entry);
    this.#epoch = epoch;
    this.#nextSeq = seq + 1;
    return entry;
  }

  /** Makes every change of the course. @returns the course before */
  step(event: CourseEvent): Course {
    const before = this.#course;
    this.#course = nextCourse(before, event);
    return before;
  }

  /** Notes a receipt. */
  acknowledge(entry: InFlight): void {
    // Receipts come in order: behind a missing one, later ones are no progress.
    if (this.window.oldest?.seq === entry.seq) {
      this.#progress = this.#clock.now();
      this.resends = 0;
      this.avoid = undefined;
    }
    this.drop(entry);
  }

  /** Takes a message out of the window, without a conclusion about others. */
  drop({ seq }: InFlight): void {
    this.window.delete(seq);
    if (this.#waiting.length > 0 && this.window.bytes < this.#maxBytes / 2) this.release();
  }

  /** A promise while the window is full. It resolves when half of the window is free. */
  get room(): Backpressure {
    return this.window.bytes < this.#maxBytes ? undefined : new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Notes the backpressure of the carrier. */
  press(backpressure: Backpressure): void {
    if (backpressure === undefined) return;
    this.backpressure = backpressure;
    void backpressure.then(() => {
      if (this.backpressure === backpressure) this.backpressure = undefined;
    });
  }

  /** Notes that the carrier of a message brings no receipt for it, so that another carrier is tried. */
  doubt(entry: InFlight): void {
    if (entry.carrier === undefined) return;
    this.avoid = entry.doubted = entry.carrier;
  }

  /** Returns the carrier of a new message. While `carrier` is avoided, that is the carrier of the oldest message in flight. */
  insteadOf(carrier: Carrier, { body }: Message): Carrier {
    if (carrier !== this.avoid || body?.p2p === false || body?.p2p === 'require') return carrier;
    return this.window.oldest?.carrier ?? carrier;
  }

  /** Lets all waiting senders go on. */
  release(): void {
    for (const go of this.#waiting.splice(0)) go();
  }

  /** Returns messages with consecutive numbers as they travel: one, or a batch. */
  marked(entries: readonly [InFlight, ...InFlight[]]): Message {
    const [{ seq, ack }] = entries;
    const mark = { epoch: this.#epoch, seq, base: this.window.oldest?.seq ?? seq };
    return entries.length === 1 ? withFlow(this.#aged(entries[0]), mark, ack) : batchOf(entries.map((entry) => entry.message as Request), mark, ack);
  }

  /** Returns a message with the rest of its `ttl`: a domain counts from when the message comes. */
  #aged({ message, until }: InFlight): Message {
    if (until === undefined) return message;
    return { ...message, body: bodyWith(message.body, { ttl: Math.max(0, until - this.#clock.now()) / 1000 }) } as Message;
  }

  /** True if a message in flight was last given to that carrier. */
  wentOver(carrier: Carrier): boolean {
    return this.window.find((entry) => entry.carrier === carrier) !== undefined;
  }
}
