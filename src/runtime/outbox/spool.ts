import { createHash } from 'node:crypto';
import {
  asProtoflyError, expectationOf, ProtoflyError, refuse, respond, type Address, type Request, type Response,
} from '../../protocol/index.js';
import type { Collection } from '../../store/index.js';
import { pairKey, type Entry, type LastMail, type Pair } from './pair.js';

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

/** That a domain keeps mail from one sender to one receiver. */
export interface KeptPair {
  readonly from: Address;
  readonly to: Address;
  readonly last: LastMail;
}

export interface SpoolComponents {
  readonly messages: Collection<KeptMessage>;
  readonly pairs: Collection<KeptPair>;
  /** Answers a program of this runtime. */
  readonly reply: (response: Response) => void;
  readonly log: (level: 'warn', text: string) => void;
}

export interface SpoolInit {
  /** How many messages are kept. */
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** How many from one sender to one receiver. */
  readonly maxPerPair: number;
}

/** What of the outbox is on disk, within bounds; and what a sender hears of it: that its message is kept, or can't be. */
export class Spool {
  readonly #components: SpoolComponents;
  readonly #init: SpoolInit;
  #last = 0;
  #messages = 0;
  #bytes = 0;
  #closed = false;

  constructor(components: SpoolComponents, init: SpoolInit) {
    this.#components = components;
    this.#init = init;
  }

  get size(): { readonly messages: number; readonly bytes: number } {
    return { messages: this.#messages, bytes: this.#bytes };
  }

  /** Brings back what an earlier life of the runtime kept. */
  load(pairOf: (from: Address, to: Address) => Pair, now: number): void {
    const { messages, pairs } = this.#components;
    for (const [key, { message, to, epoch, seq, bytes, until }] of messages.entries()) {
      const pair = pairOf(message.from, to);
      pair.waiting.push({ id: message.id, asked: expectationOf(message) === 'receipt', key, epoch, seq, bytes, until, sentAt: undefined, state: 'stored', message: undefined });
      this.#count(pair, 1, bytes);
      this.#last = Math.max(this.#last, Number(key.slice(key.lastIndexOf(' ') + 1)));
    }
    for (const [key, { from, to, last }] of pairs.entries()) {
      if (last.until < now) pairs.delete(key).catch((thrown: unknown) => { this.#failed(thrown); });
      else pairOf(from, to).atDomain = last;
    }
  }

  /** Where the next message of a pair goes: in order behind all that have one. */
  nextKey(pair: Pair): string {
    this.#last += 1;
    return `${digestOf(pair)} ${String(this.#last).padStart(16, '0')}`;
  }

  hasRoom(pair: Pair, entry: Entry): boolean {
    const { maxMessages, maxBytes, maxPerPair } = this.#init;
    return this.#messages < maxMessages && this.#bytes + entry.bytes <= maxBytes && pair.kept < maxPerPair && pair.bytes + entry.bytes <= maxBytes / 2;
  }

  /** The message of an entry, from wherever it is. */
  read(entry: Entry): Request | undefined {
    return entry.message ?? this.#components.messages.get(entry.key)?.message;
  }

  /** Puts one message on disk, then tells its sender. */
  keep(pair: Pair, entry: Entry): void {
    const { message } = entry;
    if (entry.state !== 'here' || message === undefined) return;
    entry.state = 'storing';
    this.#count(pair, 1, entry.bytes);
    const { key, epoch, seq, bytes, until } = entry;
    const failed = (thrown: unknown): void => {
      this.#failed(thrown);
      if (entry.state !== 'storing') return;
      this.remove(pair, entry);
      this.#components.reply(refuse(message, asProtoflyError(thrown), pair.to));
    };
    try {
      this.#components.messages.put(key, { message, to: pair.to, epoch, seq, bytes, until }).then(() => {
        if (this.#closed || entry.state !== 'storing') return;
        entry.state = 'stored';
        if (entry.sentAt === undefined) entry.message = undefined;
        if (entry.asked) this.#components.reply(respond(message, 202, { stored: 'runtime' }, pair.to));
        pair.relieve();
      }, failed);
    } catch (thrown) {
      failed(thrown);
    }
  }

  /** Nobody is there for this pair: what isn't on disk goes there, as far as there is room; the rest is refused, or under way. */
  keepAll(pair: Pair): void {
    for (const entry of pair.entries) {
      if (entry.state !== 'here') continue;
      if (this.hasRoom(pair, entry)) this.keep(pair, entry);
      else {
        this.remove(pair, entry);
        if (entry.message !== undefined) this.#components.reply(refuse(entry.message, this.full(), pair.to));
      }
    }
  }

  /** Takes an entry from its pair, and from the disk if it is there. */
  remove(pair: Pair, entry: Entry): void {
    pair.remove(entry);
    if (entry.state !== 'here') {
      this.#count(pair, -1, -entry.bytes);
      this.#components.messages.delete(entry.key).catch((thrown: unknown) => { this.#failed(thrown); });
    }
    entry.state = 'here';
    pair.relieve();
  }

  /** Remembers what the receiver's domain keeps of a pair. */
  noteMail(pair: Pair, last: LastMail | undefined): void {
    pair.atDomain = last;
    const { pairs } = this.#components;
    const written = last === undefined ? pairs.delete(digestOf(pair)) : pairs.put(digestOf(pair), { from: pair.from, to: pair.to, last });
    written.catch((thrown: unknown) => { this.#failed(thrown); });
  }

  full(): ProtoflyError {
    return new ProtoflyError('E_QUOTA', `the outbox is full: ${String(this.#messages)} messages wait already`, { hint: 'wait until the receiver, or its domain, can be reached' });
  }

  /** From now on nobody is told anything. What is on its way to the disk goes there. */
  close(): void {
    this.#closed = true;
  }

  #count(pair: Pair, messages: number, bytes: number): void {
    this.#messages += messages;
    this.#bytes += bytes;
    pair.kept += messages;
    pair.bytes += bytes;
  }

  #failed(thrown: unknown): void {
    this.#components.log('warn', `the outbox can't be written: ${asProtoflyError(thrown).message}`);
  }
}

const digestOf = ({ from, to }: Pair): string => createHash('sha256').update(pairKey(from, to)).digest('base64url').slice(0, 22);
