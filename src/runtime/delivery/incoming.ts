import type { FlowMark } from '../../protocol/index.js';

export interface IncomingComponents<T> {
  /** Returns the approximate size of an item in bytes. */
  readonly sizeOf: (item: T) => number;
}

export interface IncomingInit {
  /** Maximum number of messages of one flow that are held back for an earlier one. @default 8192 */
  readonly maxHeld?: number;
  /** Maximum number of bytes held back for all flows together. @default 32 MiB */
  readonly maxHeldBytes?: number;
  /** Maximum number of flows of one sender. Beyond it, the one that was quiet longest is forgotten. @default 1024 */
  readonly maxStreams?: number;
}

/** Maximum number of senders. Beyond it, the one that was quiet longest is forgotten. */
const MAX_SENDERS = 4096;
/** Maximum number of flows of all senders. Beyond it, the sender with the most loses one. */
const MAX_ALL_STREAMS = 16_384;

/** Progress of one sender's flow. It must outlive the receiver, or messages are taken twice or never. */
export interface Checkpoint {
  readonly from: string;
  readonly epoch: string;
  /** The first known number. */
  readonly first: number;
  /** The first unsettled number. All known numbers below have been taken, unless listed here. */
  readonly next: number;
  /** Numbers above `next` that have been taken. */
  readonly ahead: readonly number[];
  /** Numbers that were refused for good. */
  readonly refused: readonly number[];
  /** Numbers below `next` that were never handed on, because their sender had given them up. */
  readonly skipped: readonly number[];
}

/** Checkpoints changed, and flows forgotten, since the last write. */
export interface Changes {
  readonly changed: readonly Checkpoint[];
  readonly forgotten: readonly Pick<Checkpoint, 'from' | 'epoch'>[];
}

interface IncomingFlow<T> {
  readonly from: string;
  readonly epoch: string;
  /** The first known number. */
  first: number;
  /** The number to be handed on next. */
  next: number;
  /** Items held back until the numbers before them come. */
  readonly held: Map<number, T>;
  /** Numbers handed on in order and not settled yet. */
  readonly open: Set<number>;
  /** Numbers handed on late and not settled yet. */
  readonly late: Set<number>;
  /** Numbers from `next` on that have been taken already. */
  readonly ahead: Set<number>;
  readonly refused: Set<number>;
  readonly skipped: Set<number>;
  /** Orders flows by their last use. */
  used: number;
}

/** The outcome for a message that came in. */
export type Sorted<T> =
  | { readonly kind: 'ready'; readonly items: readonly T[] }
  /** An earlier number, or the first copy of this one, isn't settled yet. */
  | { readonly kind: 'held' }
  /** The message has been taken before. */
  | { readonly kind: 'repeated' }
  /** The message has been refused before. */
  | { readonly kind: 'refused' }
  /** The message was never handed on, and its sender has given it up. */
  | { readonly kind: 'late' }
  | { readonly kind: 'overflow' };

/**
 * The receiving half of delivery, for one receiver. It puts the messages of each flow in order and drops repetitions. It
 * only knows numbers. The inbox interprets the items and reports whether each was taken.
 */
export class Incoming<T> {
  readonly #sizeOf: (item: T) => number;
  readonly #senders = new Map<string, Map<string, IncomingFlow<T>>>();
  readonly #init: Required<IncomingInit>;
  /** Flows whose checkpoint has changed since the last call of `changes`. */
  #changed = new Set<IncomingFlow<T>>();
  #forgotten: Pick<Checkpoint, 'from' | 'epoch'>[] = [];
  #heldBytes = 0;
  #streams = 0;
  #uses = 0;

  constructor({ sizeOf }: IncomingComponents<T>, init: IncomingInit = {}) {
    this.#sizeOf = sizeOf;
    this.#init = { maxHeld: 8192, maxHeldBytes: 32 * 1024 * 1024, maxStreams: 1024, ...init };
  }

  /**
   * Places a message in its flow.
   * @param isMail true if its domain has promised delivery: then it is handed on late rather than dropped
   */
  sort(item: T, from: string, mark: FlowMark, isMail = false): Sorted<T> {
    const stream = this.#stream(from, mark.epoch, mark.base);
    const ready: T[] = [];
    // The sender no longer waits for numbers below `base`: skip them.
    if (stream.next < mark.base) this.#skip(stream, ready, mark.base);
    if (stream.refused.size > 0) for (const seq of stream.refused) if (seq < mark.base) stream.refused.delete(seq);
    const own = this.#place(stream, item, mark.seq, ready, isMail);
    return ready.length > 0 ? { kind: 'ready', items: ready } : { kind: own };
  }

  /** @returns the outcome for this message; irrelevant if `ready` isn't empty afterwards */
  #place(stream: IncomingFlow<T>, item: T, seq: number, ready: T[], isMail: boolean): Exclude<Sorted<T>['kind'], 'ready'> {
    if (seq === stream.next) {
      this.#hand(stream, item, ready);
      this.#goOn(stream, ready);
      return 'held';
    }
    if (seq > stream.next) {
      if (stream.ahead.has(seq)) return 'repeated';
      if (stream.refused.has(seq)) return 'refused';
      return stream.held.has(seq) || this.#hold(stream, seq, item) ? 'held' : 'overflow';
    }
    // The first copy isn't settled yet: ignore this one.
    if (stream.open.has(seq) || stream.late.has(seq)) return 'held';
    if (stream.refused.has(seq)) return 'refused';
    if (seq >= stream.first && !stream.skipped.has(seq)) return 'repeated';
    if (!isMail || seq < stream.first - this.#init.maxHeld) return 'late';
    for (; stream.first > seq; stream.first -= 1) remember(stream.skipped, stream.first - 1, this.#init.maxHeld);
    stream.skipped.delete(seq);
    stream.late.add(seq);
    ready.push(item);
    return 'held';
  }

  /** Notes that a message that was handed on has been taken, or kept. */
  taken(from: string, { epoch, seq }: Pick<FlowMark, 'epoch' | 'seq'>): void {
    const stream = this.#find(from, epoch);
    if (stream !== undefined && settle(stream, seq)) this.#changed.add(stream);
  }

  /** Notes that a message that was handed on has been refused for good. Its copies are refused as well. */
  refused(from: string, { epoch, seq }: Pick<FlowMark, 'epoch' | 'seq'>): void {
    const stream = this.#find(from, epoch);
    if (stream === undefined || !settle(stream, seq)) return;
    remember(stream.refused, seq, this.#init.maxHeld);
    this.#changed.add(stream);
  }

  /**
   * Notes that a message that was handed on has been refused for now, and moves its flow back. That message, and later
   * ones that aren't taken yet, are handed on again when they are repeated.
   * @returns true if the flow moved back. A number that was handed on late only waits for its next copy
   */
  goBack(from: string, { epoch, seq }: Pick<FlowMark, 'epoch' | 'seq'>): boolean {
    const stream = this.#find(from, epoch);
    if (stream?.late.delete(seq) === true) stream.skipped.add(seq);
    if (stream?.open.has(seq) !== true) return false;
    for (let number = seq + 1; number < stream.next; number += 1) {
      if (!stream.open.delete(number) && isTaken(stream, number)) stream.ahead.add(number);
    }
    stream.open.delete(seq);
    stream.next = Math.min(stream.next, seq);
    this.#changed.add(stream);
    return true;
  }

  /** Notes that a message handed on before a restart is kept. */
  resume(from: string, mark: FlowMark): void {
    const stream = this.#stream(from, mark.epoch, mark.base);
    stream.skipped.delete(mark.seq);
    if (mark.seq >= stream.next) stream.ahead.add(mark.seq);
    this.#goOn(stream, []);
    this.#changed.add(stream);
  }

  /** Restores a flow from the checkpoint of an earlier run. */
  restore(position: Checkpoint): void {
    const stream = this.#stream(position.from, position.epoch, position.first);
    stream.next = Math.max(stream.next, position.next);
    for (const [numbers, kept] of [[stream.ahead, position.ahead], [stream.refused, position.refused], [stream.skipped, position.skipped]] as const) {
      for (const seq of kept) numbers.add(seq);
    }
    this.#goOn(stream, []);
  }

  /** Returns and clears the changes since the last call. */
  changes(): Changes {
    const changed = [...this.#changed].filter((stream) => this.#find(stream.from, stream.epoch) === stream).map(positionOf);
    const forgotten = this.#forgotten.filter(({ from, epoch }) => this.#find(from, epoch) === undefined);
    this.#changed = new Set();
    this.#forgotten = [];
    return { changed, forgotten };
  }

  /** Takes back changes that could not be written. The next `changes` returns them again. */
  unwritten({ changed, forgotten }: Changes): void {
    for (const { from, epoch } of changed) {
      const stream = this.#find(from, epoch);
      if (stream !== undefined) this.#changed.add(stream);
    }
    this.#forgotten.push(...forgotten);
  }

  #find(from: string, epoch: string): IncomingFlow<T> | undefined {
    return this.#senders.get(from)?.get(epoch);
  }

  #stream(from: string, epoch: string, base: number): IncomingFlow<T> {
    let streams = this.#senders.get(from);
    const used = (this.#uses += 1);
    const known = streams?.get(epoch);
    if (known !== undefined) {
      known.used = used;
      return known;
    }
    const stream: IncomingFlow<T> = { from, epoch, first: base, next: base, held: new Map(), open: new Set(), late: new Set(), ahead: new Set(), refused: new Set(), skipped: new Set(), used };
    if (streams === undefined) this.#senders.set(from, streams = new Map());
    streams.set(epoch, stream);
    this.#streams += 1;
    this.#makeRoom(from, streams);
    return stream;
  }

  /** Forgets flows beyond the limits. Called only for new flows, which are rare. */
  #makeRoom(from: string, streams: Map<string, IncomingFlow<T>>): void {
    const { maxStreams } = this.#init;
    if (streams.size > maxStreams) this.#forget(quietest(streams.values()));
    if (this.#senders.size > MAX_SENDERS) {
      const others = [...this.#senders].filter(([name]) => name !== from).map(([, theirs]) => ({ theirs, used: Math.max(...[...theirs.values()].map(({ used }) => used)) }));
      for (const stream of quietest(others)?.theirs.values() ?? []) this.#forget(stream);
    }
    if (this.#streams <= MAX_ALL_STREAMS) return;
    let most = streams;
    for (const theirs of this.#senders.values()) if (theirs.size > most.size) most = theirs;
    this.#forget(quietest(most.values()));
  }

  #forget(stream: IncomingFlow<T> | undefined): void {
    if (stream === undefined) return;
    const streams = this.#senders.get(stream.from);
    if (streams?.delete(stream.epoch) !== true) return;
    if (streams.size === 0) this.#senders.delete(stream.from);
    this.#streams -= 1;
    for (const held of stream.held.values()) this.#heldBytes -= this.#sizeOf(held);
    this.#forgotten.push(stream);
  }

  /** Moves the flow to `base`, and hands on the held messages below it. */
  #skip(stream: IncomingFlow<T>, ready: T[], base: number): void {
    // Only the end of a very large gap is remembered.
    const from = Math.max(stream.next, base - this.#init.maxHeld);
    for (const seq of [...stream.held.keys()].filter((held) => held < from).sort((a, b) => a - b)) {
      stream.next = seq;
      this.#release(stream, ready);
    }
    for (stream.next = Math.max(stream.next, from); stream.next < base;) {
      if (stream.held.has(stream.next)) this.#release(stream, ready);
      else {
        if (!stream.ahead.delete(stream.next) && !stream.refused.has(stream.next)) remember(stream.skipped, stream.next, this.#init.maxHeld);
        stream.next += 1;
      }
    }
    for (const seq of stream.ahead) if (seq < base) stream.ahead.delete(seq);
    this.#changed.add(stream);
    this.#goOn(stream, ready);
  }

  /** Hands on consecutive held messages, and passes over settled numbers. */
  #goOn(stream: IncomingFlow<T>, ready: T[]): void {
    for (;;) {
      if (stream.held.has(stream.next)) this.#release(stream, ready);
      else if (stream.ahead.delete(stream.next) || stream.refused.has(stream.next)) stream.next += 1;
      else return;
    }
  }

  /** @returns true if there was room for it */
  #hold(stream: IncomingFlow<T>, seq: number, item: T): boolean {
    const size = this.#sizeOf(item);
    if (stream.held.size >= this.#init.maxHeld || this.#heldBytes + size > this.#init.maxHeldBytes) return false;
    stream.held.set(seq, item);
    this.#heldBytes += size;
    return true;
  }

  /** Hands on the held item of the next number. */
  #release(stream: IncomingFlow<T>, ready: T[]): void {
    const item = stream.held.get(stream.next);
    if (item === undefined) return;
    stream.held.delete(stream.next);
    this.#heldBytes -= this.#sizeOf(item);
    this.#hand(stream, item, ready);
  }

  #hand(stream: IncomingFlow<T>, item: T, ready: T[]): void {
    stream.open.add(stream.next);
    stream.skipped.delete(stream.next);
    stream.next += 1;
    ready.push(item);
  }
}

/** True if a number below `next` was taken, provided that it isn't open. */
const isTaken = ({ late, refused, skipped }: IncomingFlow<unknown>, seq: number): boolean => !late.has(seq) && !refused.has(seq) && !skipped.has(seq);

/** Marks a number as settled. @returns true if it wasn't before */
const settle = ({ open, late }: IncomingFlow<unknown>, seq: number): boolean => open.delete(seq) || late.delete(seq);

/** Adds a number to a bounded set, and removes the oldest beyond the limit. */
const remember = (numbers: Set<number>, seq: number, most: number): void => {
  numbers.add(seq);
  const [oldest] = numbers;
  if (numbers.size > most && oldest !== undefined) numbers.delete(oldest);
};

const quietest = <S extends { readonly used: number }>(streams: Iterable<S>): S | undefined => {
  let found: S | undefined;
  for (const stream of streams) if (found === undefined || stream.used < found.used) found = stream;
  return found;
};

/**
 * Returns the checkpoint of a flow. Messages that were handed on but not taken don't count: they must come again after a
 * restart.
 */
const positionOf = (stream: IncomingFlow<unknown>): Checkpoint => {
  const { from, epoch, first, next, open, late, ahead, refused, skipped } = stream;
  let lowest = next;
  for (const seq of open) lowest = Math.min(lowest, seq);
  const taken = [...ahead];
  for (let seq = lowest; seq < next; seq += 1) if (!open.has(seq) && isTaken(stream, seq)) taken.push(seq);
  return { from, epoch, first, next: lowest, ahead: taken, refused: [...refused], skipped: [...skipped, ...late] };
};
