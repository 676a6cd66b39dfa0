import type { FlowMark } from '../../protocol/index.js';

export interface IncomingComponents<T> {
  /** About what an item takes, in bytes. */
  readonly sizeOf: (item: T) => number;
}

export interface IncomingInit {
  /** How many messages of one stream may wait for one before them. @default 8192 */
  readonly maxHeld?: number;
  /** How many bytes of all streams together. @default 32 MiB */
  readonly maxHeldBytes?: number;
  /** How many senders are remembered; the one that was quiet longest is forgotten beyond. @default 4096 */
  readonly maxSenders?: number;
  /** How many streams of one sender are. @default 32 */
  readonly maxStreams?: number;
}

/** How far the stream of a sender has been taken: what has to outlive the receiver, so that it takes nothing twice. */
export interface Position {
  readonly from: string;
  readonly epoch: string;
  /** Everything below has been taken, or is kept. */
  readonly next: number;
  /** But for these, which were refused and may come again. */
  readonly missing: readonly number[];
}

interface Stream<T> {
  readonly from: string;
  readonly epoch: string;
  /** The seq that is handed on next. */
  next: number;
  readonly held: Map<number, T>;
  /** Handed on, and not taken yet. */
  readonly open: Set<number>;
  /** Handed on and refused for now: its next copy is no repetition. */
  readonly again: Set<number>;
  /** Handed on and refused for good: its next copy is refused as well. */
  readonly refused: Set<number>;
}

/** What becomes of a message that came in. */
export type Sorted<T> =
  | { readonly kind: 'ready'; readonly items: readonly T[] }
  /** Somebody before it, or its own first copy, hasn't been taken yet. */
  | { readonly kind: 'held' }
  /** It has been taken before. */
  | { readonly kind: 'repeated' }
  /** It has been refused before. */
  | { readonly kind: 'refused' }
  | { readonly kind: 'overflow' };

/**
 * The receiving half of delivery, for one receiver: puts the messages of each stream in order and drops what has come
 * before. Knows numbers only; what an item is, and whether it was taken, is the inbox's business, which says so.
 */
export class Incoming<T> {
  readonly #sizeOf: (item: T) => number;
  readonly #senders = new Map<string, Map<string, Stream<T>>>();
  readonly #maxHeld: number;
  readonly #maxHeldBytes: number;
  readonly #maxSenders: number;
  readonly #maxStreams: number;
  /** Streams whose position has changed since `changes`. */
  #changed = new Set<Stream<T>>();
  #forgotten: Stream<T>[] = [];
  #heldBytes = 0;

  constructor({ sizeOf }: IncomingComponents<T>, init: IncomingInit = {}) {
    this.#sizeOf = sizeOf;
    this.#maxHeldBytes = init.maxHeldBytes ?? 32 * 1024 * 1024;
    this.#maxHeld = init.maxHeld ?? 8192;
    this.#maxSenders = init.maxSenders ?? 4096;
    this.#maxStreams = init.maxStreams ?? 32;
  }

  sort(item: T, from: string, mark: FlowMark): Sorted<T> {
    const stream = this.#stream(from, mark.epoch, mark.base);
    const ready: T[] = [];
    // What the sender no longer waits for will not come: go on behind it.
    if (stream.next < mark.base) this.#skip(stream, ready, mark.base);
    if (stream.again.delete(mark.seq)) {
      stream.open.add(mark.seq);
      ready.push(item);
    } else if (mark.seq === stream.next) {
      this.#hand(stream, item, ready);
      for (let held = stream.held.get(stream.next); held !== undefined; held = stream.held.get(stream.next)) this.#release(stream, held, ready);
    } else if (mark.seq > stream.next) {
      const isHeld = stream.held.has(mark.seq) || this.#hold(stream, mark.seq, item);
      if (ready.length === 0) return { kind: isHeld ? 'held' : 'overflow' };
    }
    if (ready.length > 0) return { kind: 'ready', items: ready };
    if (stream.refused.has(mark.seq)) return { kind: 'refused' };
    // A copy of one that isn't taken yet says nothing new.
    return { kind: stream.open.has(mark.seq) ? 'held' : 'repeated' };
  }

  /** A message that was handed on has been taken, or kept. */
  taken(from: string, { epoch, seq }: FlowMark): void {
    const stream = this.#find(from, epoch);
    if (stream?.open.delete(seq) === true) this.#changed.add(stream);
  }

  /**
   * A message that was handed on has been refused: for good, or for now, so that its next copy is handed on, though others
   * have overtaken it.
   */
  refused(from: string, { epoch, seq }: FlowMark, how: 'for good' | 'for now'): void {
    const stream = this.#find(from, epoch);
    if (stream?.open.delete(seq) !== true) return;
    const numbers = how === 'for now' ? stream.again : stream.refused;
    numbers.add(seq);
    if (numbers.size > this.#maxHeld) {
      const [oldest] = numbers;
      numbers.delete(oldest!);
    }
    this.#changed.add(stream);
  }

  /** Goes on behind a message that was handed on in an earlier life and is kept. */
  resume(from: string, mark: FlowMark): void {
    const stream = this.#stream(from, mark.epoch, mark.base);
    stream.again.delete(mark.seq);
    stream.next = Math.max(stream.next, mark.seq + 1);
    this.#changed.add(stream);
  }

  /** Goes on where an earlier life was. */
  restore({ from, epoch, next, missing }: Position): void {
    const stream = this.#stream(from, epoch, next);
    stream.next = Math.max(stream.next, next);
    for (const seq of missing) stream.again.add(seq);
  }

  /** The positions that have changed since this was asked last, and the streams that have been forgotten. */
  changes(): { readonly changed: readonly Position[]; readonly forgotten: readonly Pick<Position, 'from' | 'epoch'>[] } {
    const changed = [...this.#changed].filter((stream) => this.#find(stream.from, stream.epoch) === stream).map(positionOf);
    const forgotten = this.#forgotten.filter(({ from, epoch }) => this.#find(from, epoch) === undefined);
    this.#changed = new Set();
    this.#forgotten = [];
    return { changed, forgotten };
  }

  #find(from: string, epoch: string): Stream<T> | undefined {
    return this.#senders.get(from)?.get(epoch);
  }

  #stream(from: string, epoch: string, base: number): Stream<T> {
    let streams = this.#senders.get(from);
    const known = streams?.get(epoch);
    if (known !== undefined) return known;
    // Beginning a stream is what makes a sender the newest: that is rare, and messages are many.
    if (streams !== undefined) this.#senders.delete(from);
    this.#senders.set(from, streams ??= new Map());
    const stream: Stream<T> = { from, epoch, next: base, held: new Map(), open: new Set(), again: new Set(), refused: new Set() };
    streams.set(epoch, stream);
    const [oldestEpoch] = streams.keys();
    if (streams.size > this.#maxStreams) this.#forget(streams, oldestEpoch!);
    const [oldestSender] = this.#senders;
    if (this.#senders.size > this.#maxSenders && oldestSender !== undefined) {
      for (const name of [...oldestSender[1].keys()]) this.#forget(oldestSender[1], name);
      this.#senders.delete(oldestSender[0]);
    }
    return stream;
  }

  #forget(streams: Map<string, Stream<T>>, epoch: string): void {
    const stream = streams.get(epoch);
    streams.delete(epoch);
    if (stream === undefined) return;
    for (const held of stream.held.values()) this.#heldBytes -= this.#sizeOf(held);
    this.#forgotten.push(stream);
  }

  /** Goes on to `base`, over the held messages below it. */
  #skip(stream: Stream<T>, ready: T[], base: number): void {
    for (const seq of [...stream.held.keys()].filter((held) => held < base).sort((a, b) => a - b)) {
      stream.next = seq;
      this.#release(stream, stream.held.get(seq)!, ready);
    }
    stream.next = Math.max(stream.next, base);
    for (const seq of stream.refused) if (seq < base) stream.refused.delete(seq);
    // What was held behind the gap follows.
    for (let held = stream.held.get(stream.next); held !== undefined; held = stream.held.get(stream.next)) this.#release(stream, held, ready);
  }

  /** @returns whether there was room for it */
  #hold(stream: Stream<T>, seq: number, item: T): boolean {
    const size = this.#sizeOf(item);
    if (stream.held.size >= this.#maxHeld || this.#heldBytes + size > this.#maxHeldBytes) return false;
    stream.held.set(seq, item);
    this.#heldBytes += size;
    return true;
  }

  /** Hands on what was held as the next. */
  #release(stream: Stream<T>, item: T, ready: T[]): void {
    stream.held.delete(stream.next);
    this.#heldBytes -= this.#sizeOf(item);
    this.#hand(stream, item, ready);
  }

  #hand(stream: Stream<T>, item: T, ready: T[]): void {
    stream.open.add(stream.next);
    stream.next += 1;
    ready.push(item);
  }
}

const positionOf = ({ from, epoch, next, open, again }: Stream<unknown>): Position => {
  let lowest = next;
  for (const seq of open) lowest = Math.min(lowest, seq);
  return { from, epoch, next: lowest, missing: [...again].filter((seq) => seq < lowest) };
};
