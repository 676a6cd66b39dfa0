import {
  asProtoflyError, isProvisional, isSuccess, isWithinRange, ProtoflyError, rangeOf, refuse, responseError, withIds,
  type Address, type Clock, type ErrorCode, type Message, type Pressure, type Request, type Response, type Timer,
} from '../../protocol/index.js';
import type { Collection } from '../../store/index.js';
import { Outgoing, WINDOW, type Carrier } from '../delivery/index.js';
import { pairKey, Pair, type Entry } from './pair.js';
import { Spool, type KeptMessage, type KeptPair } from './spool.js';

export interface OutboxComponents {
  readonly messages: Collection<KeptMessage>;
  readonly pairs: Collection<KeptPair>;
  readonly clock: Clock;
  /** The way that a message takes now. @throws ProtoflyError where there is none */
  readonly route: (message: Message, to: Address) => Carrier | Promise<Carrier>;
  /** Whether anything is known to be in the way of a message: no message node there, and no peer to which it may go. */
  readonly isAway: (message: Message, to: Address) => boolean;
  /** Answers a program of this runtime. */
  readonly reply: (response: Response) => void;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface OutboxInit {
  /** Different in each life of the runtime. */
  readonly epoch: string;
  /** How many messages are kept. @default 20_000 */
  readonly maxMessages?: number;
  /** @default 128 MiB */
  readonly maxBytes?: number;
  /** How many from one sender to one receiver. @default 5000 */
  readonly maxPerPair?: number;
  /** How many of a pair are under way at a time. @default 256 */
  readonly maxUnderWay?: number;
  /** Beyond how many unacknowledged bytes a pair waits. @default WINDOW */
  readonly window?: number;
  /** @default 3000 */
  readonly resendMs?: number;
  /** How long a message may be under way while its receiver is away before it is put on disk, in milliseconds. @default 1000 */
  readonly patienceMs?: number;
}

/** What passes: the receiver, or the way, is not there now. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['E_UNREACHABLE', 'E_UNAVAILABLE', 'E_LINK_CLOSED', 'E_TIMEOUT', 'E_NOT_DIRECT', 'E_ABORTED']);
/** What passes for a message that is kept here: there is no room at the other side now. */
const NO_ROOM: ReadonlySet<ErrorCode> = new Set(['E_TOO_MANY', 'E_QUOTA']);

/** Messages that wait when nobody can be reached, pair by pair: no pair waits for another. */
export class Outbox {
  readonly #components: OutboxComponents;
  readonly #init: Required<OutboxInit>;
  readonly #outgoing: Outgoing;
  readonly #spool: Spool;
  readonly #pairs = new Map<string, Pair>();
  #begun = 0;
  #expired = 0;
  #refused = 0;
  #sweep: Timer | undefined;
  #closed = false;

  constructor(components: OutboxComponents, init: OutboxInit) {
    this.#components = components;
    this.#init = { maxMessages: 20_000, maxBytes: 128 * 1024 * 1024, maxPerPair: 5000, maxUnderWay: 256, window: WINDOW, resendMs: 3000, patienceMs: 1000, ...init };
    const reply = (refusal: Response): void => { for (const heard of this.settle(refusal) ?? []) components.reply(heard); };
    this.#outgoing = new Outgoing({ clock: components.clock, route: (message, to) => this.#route(message, to), reply }, { epoch: init.epoch, resendMs: this.#init.resendMs, window: this.#init.window, patient: true });
    this.#spool = new Spool(components, this.#init);
    this.#spool.load((from, to) => this.#pair(from, to), components.clock.now());
  }

  /** What is on disk. */
  get waiting(): { readonly messages: number; readonly bytes: number } {
    return this.#spool.size;
  }

  /** Messages that were given up because their time was up, or refused by the receiver after their sender had been told that they are kept. */
  get givenUp(): { readonly expired: number; readonly refused: number } {
    return { expired: this.#expired, refused: this.#refused };
  }

  get resent(): number {
    return this.#outgoing.resent;
  }

  /** Sends what an earlier life of the runtime kept. */
  start(): void {
    this.wake();
  }

  /** Sends a message of a local program that is to be kept, or keeps it. @throws ProtoflyError `E_QUOTA` */
  send(message: Request, to: Address): Pressure {
    const pair = this.#pair(message.from, to);
    const now = this.#components.clock.now();
    const entry = pair.number(message, this.#spool.nextKey(pair), now);
    const waits = pair.kept > 0 || pair.isPausing(now) || this.#components.isAway(message, to);
    if (waits && !this.#spool.hasRoom(pair, entry)) throw this.#spool.full();
    pair.waiting.push(entry);
    if (waits) this.#spool.keep(pair, entry);
    this.#pump(pair);
    return pair.pressure;
  }

  /**
   * Takes note of a response from elsewhere.
   * @returns what the senders are to hear of it, which is nothing while a message is still kept, or when its keeping was
   * told before; undefined when it is about nothing of the outbox's
   */
  settle(response: Response): readonly Response[] | undefined {
    const pair = this.#pairs.get(pairKey(response.to, response.from));
    if (pair === undefined) return undefined;
    const range = rangeOf(response);
    const mail = pair.atDomain;
    const isAboutMail = mail !== undefined && (range === undefined ? mail.id === response.id : isWithinRange(range, mail));
    if (isAboutMail && isFinal(response)) this.#passed(pair);
    const entries = range === undefined ? pair.sentWithId(response.id) : pair.sentWithin(range);
    if (entries.length === 0) return isAboutMail ? [response] : undefined;
    if (isProvisional(response)) return [response];
    const before = pair.sent.size;
    const tell = entries.filter((entry) => this.#settleOne(pair, entry, response)).map(({ id }) => withIds(response, [id]));
    if (pair.sent.size < before) this.#pump(pair);
    return tell;
  }

  /** What went over `carrier` may be lost; and where it led may be reached now. */
  lost(carrier: Carrier): void {
    this.#outgoing.lost(carrier);
    this.wake();
  }

  /** There may be ways that weren't there before. */
  wake(): void {
    for (const pair of this.#pairs.values()) {
      pair.wake();
      this.#pump(pair);
    }
  }

  /** What isn't on disk is forgotten; nobody was told that it is kept. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#sweep?.cancel();
    this.#spool.close();
    for (const pair of this.#pairs.values()) pair.release();
    this.#outgoing.close();
  }

  /** @returns whether its sender is to hear of it */
  #settleOne(pair: Pair, entry: Entry, response: Response): boolean {
    const told = entry.state === 'stored';
    if (isSuccess(response)) {
      const atDomain = response.body['stored'] === 'domain';
      this.#done(pair, entry);
      if (atDomain) this.#noteMail(pair, entry);
      else if (pair.isBehindMail(entry)) this.#passed(pair);
      return entry.asked && !(told && atDomain);
    }
    const { code } = responseError(response);
    if (PASSING.has(code)) {
      this.#spool.keepAll(pair);
      return false;
    }
    if (told && NO_ROOM.has(code)) return false;
    this.#done(pair, entry);
    if (told) this.#giveUp(entry, 'refused', responseError(response).message);
    return true;
  }

  #pair(from: Address, to: Address): Pair {
    const key = pairKey(from, to);
    let pair = this.#pairs.get(key);
    if (pair === undefined) {
      this.#begun += 1;
      pair = new Pair(from, to, { epoch: `${this.#init.epoch}.s${String(this.#begun)}`, maxUnderWay: this.#init.maxUnderWay });
      this.#pairs.set(key, pair);
      this.#schedule();
    }
    return pair;
  }

  /** Sends what waits, as far as the window goes. */
  #pump(pair: Pair): void {
    if (pair.pumping || this.#closed || pair.waiting.length === 0) return;
    if (pair.isPausing(this.#components.clock.now())) return;
    pair.pumping = true;
    void this.#pumpOn(pair).finally(() => {
      if (pair.rest()) this.#pump(pair);
    });
  }

  async #pumpOn(pair: Pair): Promise<void> {
    for (let entry = pair.waiting[0]; entry !== undefined && !this.#closed && pair.maySend(entry); entry = pair.waiting[0]) {
      const message = this.#spool.read(entry);
      if (message === undefined || entry.until <= this.#components.clock.now()) {
        this.#expire(pair, entry, message);
        continue;
      }
      try {
        if (this.#components.isAway(message, pair.to)) throw new ProtoflyError('E_UNREACHABLE', `${pair.to} can't be reached now`);
        const carrier = await this.#route(message, pair.to);
        // Where there was no way for long, another entry may be the first by now.
        if (pair.waiting[0] !== entry || this.#closed) continue;
        pair.waiting.shift();
        pair.sent.set(entry.id, entry);
        entry.sentAt = this.#components.clock.now();
        await this.#outgoing.send(expecting(message), pair.to, carrier, { mark: entry });
        pair.went();
      } catch (thrown) {
        if (!this.#couldNotSend(pair, entry, message, asProtoflyError(thrown))) return;
      }
    }
  }

  /** @returns whether to go on with the next one */
  #couldNotSend(pair: Pair, entry: Entry, message: Request, error: ProtoflyError): boolean {
    if (PASSING.has(error.code)) {
      if (pair.sent.delete(entry.id)) {
        this.#outgoing.withdraw(pair.from, pair.to, entry);
        pair.waiting.unshift(entry);
      }
      entry.sentAt = undefined;
      pair.pause(this.#components.clock.now());
      this.#spool.keepAll(pair);
      return false;
    }
    const told = entry.state === 'stored';
    this.#spool.remove(pair, entry);
    if (told) this.#giveUp(entry, 'refused', error.message);
    this.#components.reply(refuse(message, error, pair.to));
    return true;
  }

  #route(message: Message, to: Address): Carrier | Promise<Carrier> {
    const pair = this.#pairs.get(pairKey(message.from, to));
    // What waits at the domain is not to be overtaken.
    const viaNode = pair?.atDomain !== undefined && pair.atDomain.until > this.#components.clock.now();
    return this.#components.route(viaNode ? ({ ...message, body: { ...message.body, p2p: false } } as Message) : message, to);
  }

  /** It has been taken, refused for good, or is somebody else's to keep. */
  #done(pair: Pair, entry: Entry): void {
    this.#outgoing.withdraw(pair.from, pair.to, entry);
    this.#spool.remove(pair, entry);
  }

  #expire(pair: Pair, entry: Entry, message: Request | undefined): void {
    const told = entry.state === 'stored';
    this.#done(pair, entry);
    this.#giveUp(entry, 'expired', 'its time is up');
    if (message !== undefined && !told) this.#components.reply(refuse(message, new ProtoflyError('E_UNAVAILABLE', `${pair.to} was not reached in time`), pair.to));
  }

  #giveUp(entry: Entry, how: 'expired' | 'refused', why: string): void {
    if (how === 'expired') this.#expired += 1;
    else this.#refused += 1;
    this.#components.log('warn', `message ${String(entry.id)} of the outbox was given up: ${why}`);
  }

  #noteMail(pair: Pair, entry: Entry): void {
    if (pair.atDomain !== undefined && !pair.isBehindMail(entry)) return;
    const { id, epoch, seq, until } = entry;
    this.#spool.noteMail(pair, { id, epoch, seq, until });
  }

  /** The domain hands on in order: what it kept of this pair has been taken. */
  #passed(pair: Pair): void {
    if (pair.atDomain !== undefined) this.#spool.noteMail(pair, undefined);
  }

  #schedule(): void {
    if (this.#closed || this.#pairs.size === 0) return;
    this.#sweep ??= this.#components.clock.setTimeout(() => {
      this.#sweep = undefined;
      this.#look();
      this.#schedule();
    }, this.#init.patienceMs);
  }

  /** Puts on disk what is under way to somebody who has gone, ends what is too old, and tries again what may be tried again. */
  #look(): void {
    const now = this.#components.clock.now();
    for (const [key, pair] of this.#pairs) {
      for (const entry of pair.entries) if (entry.until <= now) this.#expire(pair, entry, entry.message);
      if (pair.size === 0) {
        if (pair.atDomain === undefined || pair.atDomain.until <= now) this.#pairs.delete(key);
        continue;
      }
      const [oldest] = pair.sent.values();
      const late = oldest?.state === 'here' && now - (oldest.sentAt ?? now) >= this.#init.patienceMs ? oldest.message : undefined;
      if (late !== undefined && this.#components.isAway(late, pair.to)) this.#spool.keepAll(pair);
      if (pair.waiting.length > 0 && !pair.isPausing(now)) this.#pump(pair);
    }
  }
}

/** A kept message always wants a receipt: without one nobody would know when to forget it. */
const expecting = (message: Request): Request =>
  message.body?.expect === 'receipt' ? message : { ...message, body: { ...message.body, expect: 'receipt' } };

const isFinal = (response: Response): boolean => !isProvisional(response) && response.body['stored'] === undefined;
