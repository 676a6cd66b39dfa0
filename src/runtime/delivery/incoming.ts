import type { FlowMark } from '../../protocol/index.js';

export interface IncomingComponents<T> {
  /** About what an item takes, in bytes. */
  readonly sizeOf: (item: T) => number;
}

export interface IncomingInit {
  /** How many messages of one flow may wait for one before them. @default 8192 */
  readonly maxHeld?: number;
  /** How many bytes of all flows together. @default 32 MiB */
  readonly maxHeldBytes?: number;
  /** How many senders are remembered; the one that was quiet longest is forgotten beyond. @default 4096 */
  readonly maxSenders?: number;
  /** How many flows of one sender are remembered; the one that was quiet longest is forgotten beyond. @default 1024 */
  readonly maxStreams?: number;
  /** How many flows of all senders are remembered; beyond, the sender with the most loses one. @default 16_384 */
  readonly maxAllStreams?: number;
}

/** How far the flow of a sender has been taken: must outlive the receiver, or messages are taken twice or never. */
export interface Checkpoint {
  readonly from: string;
  readonly epoch: string;
  /** The first number of which anything is known. */
  readonly first: number;
  /** The first number that has not been settled. From `first` on everything below has been taken, or is listed here. */
  readonly next: number;
  /** Numbers above `next` that have been taken. */
  readonly ahead: readonly number[];
  /** Numbers that were refused for good. */
  readonly refused: readonly number[];
  /** Numbers below `next` that were never handed on: their sender had gone on without them. */
  readonly skipped: readonly number[];
}

/** What has changed since it was written last: positions, and flows that are forgotten. */
export interface Changes {
  readonly changed: readonly Checkpoint[];
  readonly forgotten: readonly Pick<Checkpoint, 'from' | 'epoch'>[];
}

interface IncomingFlow<T> {
  readonly from: string;
  readonly epoch: string;
  /** Below it nothing is known. */
  first: number;
  /** The seq that is handed on next. */
  next: number;
  /** Waits for a number before it. */
  readonly held: Map<number, T>;
  /** Handed on in order, and not settled yet. */
  readonly open: Set<number>;
  /** Handed on late, and not settled yet. */
  readonly late: Set<number>;
  /** At or above `next`, and taken already. */
  readonly ahead: Set<number>;
  readonly refused: Set<number>;
  readonly skipped: Set<number>;
  /** Orders flows by their last use. */
  used: number;
}

/** What becomes of a message that came in. */
export type Sorted<T> =
  | { readonly kind: 'ready'; readonly items: readonly T[] }
  /** A number before it, or its own first copy, hasn't been settled yet. */
  | { readonly kind: 'held' }
  /** It has been taken before. */
  | { readonly kind: 'repeated' }
  /** It has been refused before. */
  | { readonly kind: 'refused' }
  /** It was never handed on, and its sender has gone on without it. */
  | { readonly kind: 'late' }
  | { readonly kind: 'overflow' };

/**
 * The receiving half of delivery, for one receiver: puts the messages of each flow in order and drops those that have come
 * before. Knows numbers only; the inbox knows what an item is, and says whether it was taken.
 */
export class Incoming<T> {
  readonly #sizeOf: (item: T) => number;
  readonly #senders = new Map<string, Map<string, IncomingFlow<T>>>();
  readonly #init: Required<IncomingInit>;
  /** Flows whose position has changed since `changes`. */
  #changed = new Set<IncomingFlow<T>>();
  #forgotten: Pick<Checkpoint, 'from' | 'epoch'>[] = [];
  #heldBytes = 0;
  #streams = 0;
  #uses = 0;

  constructor({ sizeOf }: IncomingComponents<T>, init: IncomingInit = {}) {
    this.#sizeOf = sizeOf;
    this.#init = { maxHeld: 8192, maxHeldBytes: 32 * 1024 * 1024, maxSenders: 4096, maxStreams: 1024, maxAllStreams: 16_384, ...init };
  }

  /** @param isMail its domain has promised to deliver it: then it is handed on late rather than not at all */
  sort(item: T, from: string, mark: FlowMark, isMail = false): Sorted<T> {
    const stream = this.#stream(from, mark.epoch, mark.base);
    const ready: T[] = [];
    // The sender no longer waits for what is below: go on behind it.
    if (stream.next < mark.base) this.#skip(stream, ready, mark.base);
    if (stream.refused.size > 0) for (const seq of stream.refused) if (seq < mark.base) stream.refused.delete(seq);
    const own = this.#place(stream, item, mark.seq, ready, isMail);
    return ready.length > 0 ? { kind: 'ready', items: ready } : { kind: own };
  }

  /** @returns what became of this one, which is in `ready` where it is `ready` */
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
    // A copy of one that isn't settled yet says nothing new.
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

  /** A message that was handed on has been taken, or kept. */
  taken(from: string, { epoch, seq }: Pick<FlowMark, 'epoch' | 'seq'>): void {
    const stream = this.#find(from, epoch);
    if (stream !== undefined && settle(stream, seq)) this.#changed.add(stream);
  }

  /** A message that was handed on has been refused for good: its copies are refused as well. */
  refused(from: string, { epoch, seq }: Pick<FlowMark, 'epoch' | 'seq'>): void {
    const stream = this.#find(from, epoch);
    if (stream === undefined || !settle(stream, seq)) return;
    remember(stream.refused, seq, this.#init.maxHeld);
    this.#changed.add(stream);
  }

  /**
   * A message that was handed on has been refused for now. The flow goes back: that message and those after it that are
   * not taken yet are handed on again when they come again.
   * @returns whether it did; of a number that was handed on late only that one waits for its next copy
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

  /** A message that was handed on in an earlier life is kept. */
  resume(from: string, mark: FlowMark): void {
    const stream = this.#stream(from, mark.epoch, mark.base);
    stream.skipped.delete(mark.seq);
    if (mark.seq >= stream.next) stream.ahead.add(mark.seq);
    this.#goOn(stream, []);
    this.#changed.add(stream);
  }

  /** Goes on where an earlier life was. */
  restore(position: Checkpoint): void {
    const stream = this.#stream(position.from, position.epoch, position.first);
    stream.next = Math.max(stream.next, position.next);
    for (const [numbers, kept] of [[stream.ahead, position.ahead], [stream.refused, position.refused], [stream.skipped, position.skipped]] as const) {
      for (const seq of kept) numbers.add(seq);
    }
    this.#goOn(stream, []);
  }

  /** The positions that have changed since this was asked last, and the flows that have been forgotten. */
  changes(): Changes {
    const changed = [...this.#changed].filter((stream) => this.#find(stream.from, stream.epoch) === stream).map(positionOf);
    const forgotten = this.#forgotten.filter(({ from, epoch }) => this.#find(from, epoch) === undefined);
    this.#changed = new Set();
    this.#forgotten = [];
    return { changed, forgotten };
  }

  /** Changes that could not be written are there again when they are asked for next. */
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

  /** Forgets what is too much: only a flow's beginning leads here, and that is rare. */
  #makeRoom(from: string, streams: Map<string, IncomingFlow<T>>): void {
    const { maxStreams, maxSenders, maxAllStreams } = this.#init;
    if (streams.size > maxStreams) this.#forget(quietest(streams.values()));
    if (this.#senders.size > maxSenders) {
      const others = [...this.#senders].filter(([name]) => name !== from).map(([, theirs]) => ({ theirs, used: Math.max(...[...theirs.values()].map(({ used }) => used)) }));
      for (const stream of quietest(others)?.theirs.values() ?? []) this.#forget(stream);
    }
    if (this.#streams <= maxAllStreams) return;
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

  /** Goes on to `base`, over the held messages below it. */
  #skip(stream: IncomingFlow<T>, ready: T[], base: number): void {
    // Of a very large gap the end is remembered.
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

  /** Hands on what was held behind the last number, and passes over numbers that are settled. */
  #goOn(stream: IncomingFlow<T>, ready: T[]): void {
    for (;;) {
      if (stream.held.has(stream.next)) this.#release(stream, ready);
      else if (stream.ahead.delete(stream.next) || stream.refused.has(stream.next)) stream.next += 1;
      else return;
    }
  }

  /** @returns whether there was room for it */
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

/** Whether a number below `next` that isn't open was taken. */
const isTaken = ({ late, refused, skipped }: IncomingFlow<unknown>, seq: number): boolean => !late.has(seq) && !refused.has(seq) && !skipped.has(seq);

/** Ends that a number is unsettled. @returns whether it was */
const settle = ({ open, late }: IncomingFlow<unknown>, seq: number): boolean => open.delete(seq) || late.delete(seq);

/** Adds a number to a bounded set; the one that is there longest goes. */
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

/** Handed on doesn't count: a message that isn't taken yet has to come again in the next life. */
const positionOf = (stream: IncomingFlow<unknown>): Checkpoint => {
  const { from, epoch, first, next, open, late, ahead, refused, skipped } = stream;
  let lowest = next;
  for (const seq of open) lowest = Math.min(lowest, seq);
  const taken = [...ahead];
  for (let seq = lowest; seq < next; seq += 1) if (!open.has(seq) && isTaken(stream, seq)) taken.push(seq);
  return { from, epoch, first, next: lowest, ahead: taken, refused: [...refused], skipped: [...skipped, ...late] };
};
