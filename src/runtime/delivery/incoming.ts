import type { FlowMark, Message } from '../../protocol/index.js';

export interface IncomingInit {
  /** How many messages of one stream may wait for one before them. @default 8192 */
  readonly maxHeld?: number;
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

interface Stream {
  readonly from: string;
  readonly epoch: string;
  /** The seq that is handed on next. */
  next: number;
  readonly held: Map<number, Message>;
  /** Handed on, and not taken yet. */
  readonly open: Set<number>;
  /** Handed on and refused: its next copy is no repetition. */
  readonly again: Set<number>;
}

/** What becomes of a message that came in. */
export type Sorted =
  | { readonly kind: 'ready'; readonly messages: readonly Message[] }
  | { readonly kind: 'held' }
  /** It has been handed on before. */
  | { readonly kind: 'repeated' }
  | { readonly kind: 'overflow' };

/**
 * The receiving half of delivery, for one receiver: puts the messages of each stream in order and drops what has come
 * before. Knows numbers only; whether something was taken is the inbox's business, which says so.
 */
export class Incoming {
  readonly #senders = new Map<string, Map<string, Stream>>();
  readonly #maxHeld: number;
  readonly #maxSenders: number;
  readonly #maxStreams: number;
  /** Streams whose position has changed since `changes`. */
  #changed = new Set<Stream>();
  #forgotten: Stream[] = [];

  constructor(init: IncomingInit = {}) {
    this.#maxHeld = init.maxHeld ?? 8192;
    this.#maxSenders = init.maxSenders ?? 4096;
    this.#maxStreams = init.maxStreams ?? 32;
  }

  sort(message: Message, mark: FlowMark): Sorted {
    const stream = this.#stream(message.from, mark.epoch, mark.base);
    const ready: Message[] = [];
    // What the sender no longer waits for will not come: go on behind it.
    if (stream.next < mark.base) this.#skip(stream, ready, mark.base);
    if (stream.again.delete(mark.seq)) {
      stream.open.add(mark.seq);
      return { kind: 'ready', messages: [...ready, message] };
    }
    // A copy of one that is held says nothing new: it is no repetition until the first has been handed on.
    const fresh = mark.seq >= stream.next;
    if (fresh && !stream.held.has(mark.seq)) {
      if (stream.held.size >= this.#maxHeld && mark.seq !== stream.next) return ready.length > 0 ? { kind: 'ready', messages: ready } : { kind: 'overflow' };
      stream.held.set(mark.seq, message);
    }
    for (let held = stream.held.get(stream.next); held !== undefined; held = stream.held.get(stream.next)) this.#hand(stream, held, ready);
    if (ready.length > 0) return { kind: 'ready', messages: ready };
    return { kind: fresh ? 'held' : 'repeated' };
  }

  /** A message that was handed on has been taken, or kept, or refused for good. */
  taken(from: string, { epoch, seq }: FlowMark): void {
    const stream = this.#find(from, epoch);
    if (stream?.open.delete(seq) === true) this.#changed.add(stream);
  }

  /** A message that was handed on has been refused for now: its next copy is handed on, though others have overtaken it. */
  refused(from: string, { epoch, seq }: FlowMark): void {
    const stream = this.#find(from, epoch);
    if (stream?.open.delete(seq) !== true) return;
    stream.again.add(seq);
    if (stream.again.size > this.#maxHeld) {
      const [oldest] = stream.again;
      stream.again.delete(oldest!);
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

  #find(from: string, epoch: string): Stream | undefined {
    return this.#senders.get(from)?.get(epoch);
  }

  #stream(from: string, epoch: string, base: number): Stream {
    let streams = this.#senders.get(from);
    const known = streams?.get(epoch);
    if (known !== undefined) return known;
    // Beginning a stream is what makes a sender the newest: that is rare, and messages are many.
    if (streams !== undefined) this.#senders.delete(from);
    this.#senders.set(from, streams ??= new Map());
    const stream: Stream = { from, epoch, next: base, held: new Map(), open: new Set(), again: new Set() };
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

  #forget(streams: Map<string, Stream>, epoch: string): void {
    const stream = streams.get(epoch);
    streams.delete(epoch);
    if (stream !== undefined) this.#forgotten.push(stream);
  }

  /** Goes on to `base`, over the held messages below it. */
  #skip(stream: Stream, ready: Message[], base: number): void {
    for (const seq of [...stream.held.keys()].filter((held) => held < base).sort((a, b) => a - b)) {
      stream.next = seq;
      this.#hand(stream, stream.held.get(seq)!, ready);
    }
    stream.next = Math.max(stream.next, base);
  }

  #hand(stream: Stream, message: Message, ready: Message[]): void {
    stream.held.delete(stream.next);
    stream.open.add(stream.next);
    stream.next += 1;
    ready.push(message);
  }
}

const positionOf = ({ from, epoch, next, open, again }: Stream): Position => {
  let lowest = next;
  for (const seq of open) lowest = Math.min(lowest, seq);
  return { from, epoch, next: lowest, missing: [...again].filter((seq) => seq < lowest) };
};
