import { createHash } from 'node:crypto';
import { asProtoflyError, expectationOf, ProtoflyError, type Address, type Clock, type Request } from '../../../protocol/index.js';
import type { Collection } from '../../../store/index.js';
import { MAX_TTL, pairKey, type OutboxEntry, type LastMail, type OutboxFlow } from './flow.js';

/** A stored message. */
export interface KeptMessage {
  readonly message: Request;
  readonly to: Address;
  readonly epoch: string;
  readonly seq: number;
  readonly bytes: number;
  /** Deadline in milliseconds since 1970. */
  readonly until: number;
}

/** A note that a domain keeps mail from one sender to one receiver. */
export interface KeptPair {
  readonly from: Address;
  readonly to: Address;
  /** `until` is in milliseconds since 1970. */
  readonly last: LastMail;
}

export interface SpoolComponents {
  readonly messages: Collection<KeptMessage>;
  readonly pairs: Collection<KeptPair>;
  readonly clock: Clock;
  /** Called when a message is on disk. */
  readonly onStored: (pair: OutboxFlow, entry: OutboxEntry, message: Request) => void;
  /** Called when a message could not be written. It stays in memory. */
  readonly onFailed: (pair: OutboxFlow, entry: OutboxEntry, error: ProtoflyError) => void;
  readonly log: (level: 'warn', text: string) => void;
}

export interface SpoolInit {
  /** Maximum number of stored messages. */
  readonly maxMessages: number;
  readonly maxBytes: number;
  /** Maximum number from one sender to one receiver. */
  readonly maxPerPair: number;
}

/** The outbox's messages on disk, within bounds. It sends no responses: it reports the result of each write to its owner. */
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

  /** Loads the messages and mail notes of an earlier run. */
  load(pairOf: (from: Address, to: Address) => OutboxFlow): void {
    const { messages, pairs, clock } = this.#components;
    for (const [key, { message, to, epoch, seq, bytes, until }] of messages.entries()) {
      const pair = pairOf(message.from, to);
      pair.waiting.push({ id: message.id, asked: expectationOf(message) === 'receipt', key, epoch, seq, bytes, until: this.#steady(until), sentAt: undefined, state: 'stored', message: undefined });
      this.#count(pair, 1, bytes);
      this.#last = Math.max(this.#last, Number(key.slice(key.lastIndexOf(' ') + 1)));
    }
    for (const [key, { from, to, last }] of pairs.entries()) {
      const until = this.#steady(last.until);
      if (until <= clock.now()) pairs.delete(key).catch((thrown: unknown) => { this.#warn(thrown); });
      else pairOf(from, to).atDomain = { ...last, until };
    }
  }

  /** Returns the key for the next message of a pair. It sorts behind all earlier ones. */
  nextKey(pair: OutboxFlow): string {
    this.#last += 1;
    return `${digestOf(pair)} ${String(this.#last).padStart(16, '0')}`;
  }

  hasRoom(pair: OutboxFlow, entry: OutboxEntry): boolean {
    const { maxMessages, maxBytes, maxPerPair } = this.#init;
    return this.#messages < maxMessages && this.#bytes + entry.bytes <= maxBytes && pair.kept < maxPerPair && pair.bytes + entry.bytes <= maxBytes / 2;
  }

  /** Returns the message of an entry, from memory or disk. */
  read(entry: OutboxEntry): Request | undefined {
    return entry.message ?? this.#components.messages.get(entry.key)?.message;
  }

  /** Begins to write a message to disk. `onStored` or `onFailed` follows, unless the entry is removed before. */
  keep(pair: OutboxFlow, entry: OutboxEntry): void {
    const { message } = entry;
    if (entry.state !== 'here' || message === undefined) return;
    entry.state = 'storing';
    this.#count(pair, 1, entry.bytes);
    const { key, epoch, seq, bytes, until } = entry;
    const failed = (thrown: unknown): void => {
      this.#warn(thrown);
      if (entry.state !== 'storing') return;
      entry.state = 'here';
      this.#count(pair, -1, -entry.bytes);
      if (!this.#closed) this.#components.onFailed(pair, entry, asProtoflyError(thrown));
    };
    try {
      this.#components.messages.put(key, { message, to: pair.to, epoch, seq, bytes, until: this.#date(until) }).then(() => {
        if (this.#closed || entry.state !== 'storing') return;
        entry.state = 'stored';
        if (entry.sentAt === undefined) entry.message = undefined;
        this.#components.onStored(pair, entry, message);
      }, failed);
    } catch (thrown) {
      failed(thrown);
    }
  }

  /** Removes an entry from disk, also while it is being written. */
  discard(pair: OutboxFlow, entry: OutboxEntry): void {
    if (entry.state !== 'here') {
      this.#count(pair, -1, -entry.bytes);
      this.#components.messages.delete(entry.key).catch((thrown: unknown) => { this.#warn(thrown); });
    }
    entry.state = 'here';
  }

  /**
   * Notes the last mail of a pair that the receiver's domain keeps.
   * @returns a promise that resolves when the write has ended, even if it failed
   */
  noteMail(pair: OutboxFlow, last: LastMail | undefined): Promise<void> {
    pair.atDomain = last;
    const { pairs } = this.#components;
    const written = last === undefined ? pairs.delete(digestOf(pair)) : pairs.put(digestOf(pair), { from: pair.from, to: pair.to, last: { ...last, until: this.#date(last.until) } });
    return written.then(() => undefined, (thrown: unknown) => { this.#warn(thrown); });
  }

  full(): ProtoflyError {
    return new ProtoflyError('E_QUOTA', `the outbox is full: ${String(this.#messages)} messages wait already`, { hint: 'wait until the receiver, or its domain, can be reached' });
  }

  /** Ends all callbacks. Writes that have begun continue. */
  close(): void {
    this.#closed = true;
  }

  #count(pair: OutboxFlow, messages: number, bytes: number): void {
    this.#messages += messages;
    this.#bytes += bytes;
    pair.kept += messages;
    pair.bytes += bytes;
  }

  /** Converts a deadline in steady time to a date, which survives a restart. */
  #date(until: number): number {
    const { clock } = this.#components;
    return until - clock.now() + clock.date();
  }

  /** Converts a stored date to steady time. A clock that was set back extends no deadline beyond a week. */
  #steady(date: number): number {
    const { clock } = this.#components;
    return clock.now() + Math.min(date - clock.date(), MAX_TTL * 1000);
  }

  #warn(thrown: unknown): void {
    this.#components.log('warn', `the outbox can't be written: ${asProtoflyError(thrown).message}`);
  }
}

const digestOf = ({ from, to }: OutboxFlow): string => createHash('sha256').update(pairKey(from, to)).digest('base64url').slice(0, 22);
