import { isBatch, parseAddress, ProtoflyError, unbatched, type Message, type Backpressure, type Request } from '../../../src/protocol/index.js';
import type { Carrier } from '../../../src/runtime/delivery/index.js';

/** A message in flight. */
export interface Transit {
  readonly message: Message;
  /** Time of sending. */
  readonly at: number;
}

export interface LaneComponents {
  readonly now: () => number;
  /** Called with everything that is sent. @throws ProtoflyError if it is too much for one turn of the event loop */
  readonly onSend: (lane: Lane, message: Message) => void;
}

export interface LaneInit {
  /** `a-b` leads from runtime a to runtime b directly, `a-node` to the message node. */
  readonly name: string;
  readonly kind: 'p2p' | 'msg-node';
  /** Number of messages above which senders get backpressure. */
  readonly room: number;
  readonly generation: number;
}

/** One direction between two parties. Messages arrive in order, when a history says so. */
export class Lane implements Carrier {
  readonly name: string;
  readonly kind: 'p2p' | 'msg-node';
  readonly address;
  readonly generation: number;
  isAway = false;
  /** False: the lane has ended without its sender's knowledge. */
  up = true;
  readonly #components: LaneComponents;
  readonly #room: number;
  #transits: Transit[] = [];
  #drained: { readonly promise: Promise<void>; readonly resolve: () => void } | undefined;

  constructor(components: LaneComponents, { name, kind, room, generation }: LaneInit) {
    this.#components = components;
    this.name = name;
    this.kind = kind;
    this.#room = room;
    this.generation = generation;
    this.address = parseAddress(`hyperty-runtime://example.com/${name}/${String(generation)}`);
  }

  get transits(): readonly Transit[] {
    return this.#transits;
  }

  get size(): number {
    return this.#transits.length;
  }

  /** True while senders are under backpressure. */
  get isFull(): boolean {
    return this.#drained !== undefined;
  }

  send(message: Message): Backpressure {
    this.#components.onSend(this, message);
    if (!this.up) throw new ProtoflyError('E_LINK_CLOSED', `${this.name} is closed`);
    this.#transits.push({ message, at: this.#components.now() });
    if (this.#transits.length < this.#room) return undefined;
    this.#drained ??= drain();
    return this.#drained.promise;
  }

  /** Removes and returns the next message. */
  take(): Transit | undefined {
    const next = this.#transits.shift();
    this.#relieve();
    return next;
  }

  /** Sends the first message a second time, after all others. */
  repeat(): void {
    this.#transits.push(...this.#transits.slice(0, 1));
  }

  /** Puts messages queued elsewhere in front. */
  putFirst(transits: readonly Transit[]): void {
    this.#transits = [...transits, ...this.#transits];
  }

  /** Removes and returns all messages. */
  clear(): readonly Transit[] {
    const transits = this.#transits.splice(0);
    this.#relieve();
    return transits;
  }

  #relieve(): void {
    if (this.#transits.length >= this.#room / 2) return;
    this.#drained?.resolve();
    this.#drained = undefined;
  }
}

const drain = (): { readonly promise: Promise<void>; readonly resolve: () => void } => {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((done) => { resolve = done; });
  return { promise, resolve };
};

/** The value of a message: its number in the ledger. */
export const numberOf = ({ body }: Message): number => {
  const value = body?.value;
  return typeof value === 'number' ? value : (value as { readonly n: number }).n;
};

/** Returns the messages of a batch, or the message itself. */
export const apart = (message: Message): readonly Message[] => (isBatch(message) ? unbatched(message as Request) : [message]);

/** Formats a message for a trace: its number in the ledger, and its flow mark. */
export const wordsOf = (message: Message): string => {
  if (message.type !== 'response') return apart(message).map((one) => `#${String(numberOf(one))} ${JSON.stringify(one.body?.['flow'])}`).join(' and ');
  const flow = message.body['flow'];
  return `${String(message.body.code)} for ${String(message.id)}${flow === undefined ? '' : ` ${JSON.stringify(flow)}`}`;
};
