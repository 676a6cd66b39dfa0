import type { Message } from '../../protocol/index.js';
import type { FlowMark } from './carrier.js';

export interface IncomingInit {
  /** How many messages of one stream may wait for one before them. @default 8192 */
  readonly maxHeld?: number;
  /** How many streams are remembered; the one that was quiet longest is forgotten beyond. @default 4096 */
  readonly maxStreams?: number;
}

interface Stream {
  readonly epoch: string;
  /** The seq that is handed on next. */
  next: number;
  readonly held: Map<number, Message>;
}

/** What becomes of a message that came in. */
export type Sorted =
  | { readonly kind: 'ready'; readonly messages: readonly Message[] }
  | { readonly kind: 'held' }
  /** It has been handed on before. */
  | { readonly kind: 'repeated' }
  | { readonly kind: 'overflow' };

/**
 * The receiving half of delivery, for one receiver: puts the messages of each sender's stream in order and drops
 * what has come before. Knows numbers only; whether something was taken is the inbox's business.
 */
export class Incoming {
  readonly #streams = new Map<string, Stream>();
  readonly #maxHeld: number;
  readonly #maxStreams: number;

  constructor(init: IncomingInit = {}) {
    this.#maxHeld = init.maxHeld ?? 8192;
    this.#maxStreams = init.maxStreams ?? 4096;
  }

  sort(message: Message, mark: FlowMark): Sorted {
    const stream = this.#stream(message.from, mark);
    const ready: Message[] = [];
    // What the sender no longer waits for will not come: go on behind it.
    if (stream.next < mark.base) this.#skip(stream, ready, mark.base);
    const fresh = mark.seq >= stream.next && !stream.held.has(mark.seq);
    if (fresh) {
      if (stream.held.size >= this.#maxHeld && mark.seq !== stream.next) return ready.length > 0 ? { kind: 'ready', messages: ready } : { kind: 'overflow' };
      stream.held.set(mark.seq, message);
    }
    for (let held = stream.held.get(stream.next); held !== undefined; held = stream.held.get(stream.next)) this.#hand(stream, held, ready);
    if (ready.length > 0) return { kind: 'ready', messages: ready };
    return { kind: fresh ? 'held' : 'repeated' };
  }

  /** Goes on behind a message that was handed on in an earlier life and is kept. */
  resume(from: string, mark: FlowMark): void {
    const stream = this.#stream(from, mark);
    stream.next = Math.max(stream.next, mark.seq + 1);
  }

  #stream(from: string, mark: FlowMark): Stream {
    const known = this.#streams.get(from);
    if (known?.epoch === mark.epoch) return known;
    const stream: Stream = { epoch: mark.epoch, next: mark.base, held: new Map() };
    this.#streams.delete(from);
    this.#streams.set(from, stream);
    if (this.#streams.size > this.#maxStreams) {
      const [oldest] = this.#streams.keys();
      this.#streams.delete(oldest!);
    }
    return stream;
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
    stream.next += 1;
    ready.push(message);
  }
}
