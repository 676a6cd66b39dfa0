import type { Address, MessageId, Request } from '../../protocol/index.js';

/** What the store keeps of a message that waits. */
export interface KeptMessage {
  readonly message: Request;
  readonly to: Address;
  readonly epoch: string;
  readonly seq: number;
  readonly bytes: number;
  /** When it is given up, in milliseconds since 1970. */
  readonly until: number;
}

/** The newest of what a domain keeps of one pair. */
export interface LastMail {
  readonly id: MessageId;
  readonly epoch: string;
  readonly seq: number;
  readonly until: number;
}

/** One message of the outbox. */
export interface Entry {
  readonly id: MessageId;
  /** Whether its sender wants to hear of it. */
  readonly asked: boolean;
  /** Where it is in the store, once it is. */
  readonly key: string;
  readonly epoch: string;
  readonly seq: number;
  readonly bytes: number;
  readonly until: number;
  /** Since when it has been under way, in milliseconds; undefined while it waits. */
  sentAt: number | undefined;
  state: 'here' | 'storing' | 'stored';
  /** Absent when it waits on disk. */
  message: Request | undefined;
}

/** What one sender sends to one receiver, in order: first what is under way, then what waits for that. */
export class Pair {
  readonly waiting: Entry[] = [];
  readonly sent = new Map<MessageId, Entry>();
  /** Names the stream of the messages that come next. */
  epoch: string;
  nextSeq = 1;
  /** Sending is being tried. */
  pumping = false;
  /** Something has changed meanwhile. */
  woken = false;
  /** Not before this is a way looked for again, unless something has changed. */
  notBefore = 0;
  failures = 0;
  /** What of it is on disk, or on its way there. */
  kept = 0;
  bytes = 0;
  /** The last message that waits at the receiver's domain: until it has been taken, what follows has to pass there, too. */
  atDomain: LastMail | undefined;

  #relief: Promise<void> | undefined;
  #relieve: () => void = () => undefined;

  constructor(readonly from: Address, readonly to: Address, epoch: string) {
    this.epoch = epoch;
  }

  get size(): number {
    return this.waiting.length + this.sent.size;
  }

  /** Whether a message comes after all that the domain keeps. A stream follows another when that has been settled. */
  isBehindMail({ epoch, seq }: Pick<Entry, 'epoch' | 'seq'>): boolean {
    return this.atDomain === undefined || epoch !== this.atDomain.epoch || seq > this.atDomain.seq;
  }

  /** How many are in memory only. */
  get inMemory(): number {
    return this.size - this.kept;
  }

  /** Settles when its sender may go on. */
  relief(): Promise<void> {
    this.#relief ??= new Promise((resolve) => { this.#relieve = resolve; });
    return this.#relief;
  }

  relieve(): void {
    this.#relieve();
    this.#relief = undefined;
  }
}

export const pairKey = (from: Address, to: Address): string => `${from} ${to}`;
