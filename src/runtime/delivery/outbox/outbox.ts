import {
  asProtoflyError, asUncertain, isProvisional, isSuccess, isWithinRange, ProtoflyError, rangeOf, refuse, respond, responseError, withIds,
  type Address, type Clock, type ErrorCode, type FlowMark, type Backpressure, type Request, type Response, type Timer,
} from '../../../protocol/index.js';
import type { Collection } from '../../../store/index.js';
import { Outgoing, routeRequest, WINDOW, type Carrier, type RouteRequest, type DispatchComponents } from '../index.js';
import { pairKey, OutboxFlow, type OutboxEntry } from './pair.js';
import { Spool, type KeptMessage, type KeptPair } from './spool.js';

export interface OutboxComponents {
  readonly messages: Collection<KeptMessage>;
  readonly pairs: Collection<KeptPair>;
  readonly clock: Clock;
  /** @throws ProtoflyError where there is no carrier */
  readonly route: (request: RouteRequest) => Carrier | Promise<Carrier>;
  /** See `OutgoingComponents`. */
  readonly onMute?: (carrier: Carrier) => void;
  /** Whether anything is known to be in the way of a message: no message node there, and no peer to which it may go. */
  readonly isAway: (request: RouteRequest) => boolean;
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
  /** How many of a pair are in flight at a time. @default 256 */
  readonly maxUnderWay?: number;
  /** Beyond how many unacknowledged bytes a pair waits. @default WINDOW */
  readonly window?: number;
  /** @default 3000 */
  readonly resendMs?: number;
  /** How long a message may be in flight while its receiver is away before it is put on disk, in milliseconds. @default 1000 */
  readonly patienceMs?: number;
  /** How long the numbers of a pair without messages go on, in milliseconds, before its next message begins anew. @default 120_000 */
  readonly idleMs?: number;
}

/** How many pairs without messages are remembered. */
const MAX_IDLE = 4096;

/** Refusals that pass: the receiver or the route is away now, or there is no room at the other side. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  'E_UNREACHABLE', 'E_UNAVAILABLE', 'E_LINK_CLOSED', 'E_TIMEOUT', 'E_NOT_DIRECT', 'E_ABORTED', 'E_TOO_MANY', 'E_QUOTA', 'E_STORE',
]);
/** Refusals that say that a message went no further. */
const WENT_NOWHERE: ReadonlySet<ErrorCode> = new Set(['E_UNREACHABLE', 'E_UNAVAILABLE', 'E_LINK_CLOSED']);

/** Messages that wait when nobody can be reached, pair by pair: no pair waits for another. */
export class Outbox {
  readonly #components: OutboxComponents;
  readonly #init: Required<OutboxInit>;
  readonly #outgoing: Outgoing;
  readonly #spool: Spool;
  readonly #pairs = new Map<string, OutboxFlow>();
  #begun = 0;
  #expired = 0;
  #refused = 0;
  #sweep: Timer | undefined;
  #closed = false;

  constructor(components: OutboxComponents, init: OutboxInit) {
    this.#components = components;
    this.#init = { maxMessages: 20_000, maxBytes: 128 * 1024 * 1024, maxPerPair: 5000, maxUnderWay: 256, window: WINDOW, resendMs: 3000, patienceMs: 1000, idleMs: 120_000, ...init };
    const reply: DispatchComponents['reply'] = (refusal, mark) => { this.#couldNotResend(refusal, mark); };
    this.#outgoing = new Outgoing({ ...components, route: (request) => this.#route(request), reply }, { epoch: init.epoch, resendMs: this.#init.resendMs, window: this.#init.window, patient: true });
    const { messages, pairs, clock, log } = components;
    this.#spool = new Spool({
      messages, pairs, clock, log,
      onStored: (pair, entry, message) => { this.#stored(pair, entry, message); },
      onFailed: (pair, entry, error) => { this.#returnToSender(pair, entry, error); },
    }, this.#init);
    this.#spool.load((from, to) => this.#pair(from, to));
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
  send(message: Request, to: Address): Backpressure {
    const pair = this.#pair(message.from, to);
    const now = this.#components.clock.now();
    const entry = pair.number(message, this.#spool.nextKey(pair), now);
    const waits = pair.kept > 0 || pair.isPausing(now) || this.#components.isAway(routeRequest(message, to));
    if (waits && !this.#spool.hasRoom(pair, entry)) throw this.#spool.full();
    pair.waiting.push(entry);
    if (waits) this.#spool.keep(pair, entry);
    this.#pump(pair);
    return pair.backpressure;
  }

  /**
   * Takes note of a response from elsewhere.
   * @returns what the senders are to hear of it now, which is nothing while a message is still kept, or when its keeping was
   * told before; undefined when it is about nothing of the outbox's
   */
  settle(response: Response): readonly Response[] | undefined {
    const pair = this.#pairs.get(pairKey(response.to, response.from));
    const heard = pair === undefined ? undefined : this.#heard(pair, response);
    if (pair?.noting === undefined || heard === undefined) return heard;
    // A later life must know of mail of which its sender has heard, or it would overtake that.
    void pair.noting.then(() => { if (!this.#closed) for (const one of heard) this.#components.reply(one); });
    return [];
  }

  /** @returns what the senders are to hear of a response; undefined when it is about nothing of this pair's */
  #heard(pair: OutboxFlow, response: Response): readonly Response[] | undefined {
    const range = rangeOf(response);
    const mail = pair.atDomain;
    const isAboutMail = mail !== undefined && (range === undefined ? mail.id === response.id : isWithinRange(range, mail));
    if (isAboutMail && isFinal(response)) this.#passed(pair);
    const entries = range === undefined ? pair.inFlightWithId(response.id) : pair.inFlightWithin(range);
    // A domain that couldn't hand its mail on keeps it: its sender has nothing to hear.
    if (entries.length === 0) return !isAboutMail ? undefined : isProvisional(response) || isFinal(response) ? [response] : [];
    if (isProvisional(response)) return [response];
    const before = pair.inFlight;
    const tell = entries.filter((entry) => this.#settleOne(pair, entry, response)).map(({ id }) => withIds(response, [id]));
    if (pair.inFlight < before) this.#pump(pair);
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
  #settleOne(pair: OutboxFlow, entry: OutboxEntry, response: Response): boolean {
    const told = entry.state === 'stored';
    if (isSuccess(response)) {
      const atDomain = response.body['stored'] === 'domain';
      this.#outgoing.acknowledge(pair.from, pair.to, entry, response.body['path']);
      if (atDomain) pair.note(this.#spool.noteMail(pair, pair.withMail(entry)));
      else if (pair.isBehindMail(entry)) this.#passed(pair);
      this.#remove(pair, entry);
      return entry.asked && !(told && atDomain);
    }
    const error = responseError(response);
    if (PASSING.has(error.code)) {
      if (WENT_NOWHERE.has(error.code) && !error.uncertain) this.#outgoing.giveBack(pair.from, pair.to, entry);
      this.#keepAll(pair);
      return false;
    }
    this.#remove(pair, entry);
    if (told) this.#giveUp(entry, 'refused', error.message);
    return true;
  }

  #pair(from: Address, to: Address): OutboxFlow {
    const key = pairKey(from, to);
    let pair = this.#pairs.get(key);
    if (pair === undefined) {
      this.#begun += 1;
      pair = new OutboxFlow(from, to, { epoch: `${this.#init.epoch}.s${String(this.#begun)}`, maxInFlight: this.#init.maxUnderWay }, this.#components.clock.now());
      this.#pairs.set(key, pair);
      this.#schedule();
    }
    return pair;
  }

  /** Sends what waits, as far as the window goes. */
  #pump(pair: OutboxFlow): void {
    if (pair.isSending || this.#closed || pair.waiting.length === 0) return;
    if (pair.isPausing(this.#components.clock.now())) return;
    pair.begin();
    void this.#pumpOn(pair).finally(() => {
      if (pair.rest()) this.#pump(pair);
    });
  }

  async #pumpOn(pair: OutboxFlow): Promise<void> {
    for (let entry = pair.waiting[0]; entry !== undefined && !this.#closed && pair.maySend(entry); entry = pair.waiting[0]) {
      const message = this.#spool.read(entry);
      if (message === undefined || entry.until <= this.#components.clock.now()) {
        this.#expire(pair, entry, message);
        continue;
      }
      try {
        if (this.#components.isAway(routeRequest(message, pair.to))) throw new ProtoflyError('E_UNREACHABLE', `${pair.to} can't be reached now`);
        const hadMail = pair.hasMail(this.#components.clock.now());
        const carrier = await this.#route(routeRequest(message, pair.to));
        // Where there was no route for long, another entry may be the first by now, or one before it at the domain.
        if (pair.waiting[0] !== entry || this.#closed) continue;
        if (!hadMail && pair.hasMail(this.#components.clock.now())) continue;
        pair.depart(this.#components.clock.now());
        await this.#outgoing.send(expecting(message), pair.to, carrier, { mark: entry, until: entry.until });
        pair.went();
      } catch (thrown) {
        if (!this.#couldNotSend(pair, entry, message, asProtoflyError(thrown))) return;
      }
    }
  }

  /** @returns whether to go on with the next one */
  #couldNotSend(pair: OutboxFlow, entry: OutboxEntry, message: Request, error: ProtoflyError): boolean {
    if (PASSING.has(error.code)) {
      this.#outgoing.withdraw(pair.from, pair.to, entry);
      pair.comeBack(entry);
      pair.pause(this.#components.clock.now());
      this.#keepAll(pair);
      return false;
    }
    const told = entry.state === 'stored';
    this.#remove(pair, entry);
    if (told) this.#giveUp(entry, 'refused', error.message);
    this.#components.reply(refuse(message, error, pair.to));
    return true;
  }

  /** A message that was to be sent again can't be carried by anything. */
  #couldNotResend(refusal: Response, { epoch, seq }: Pick<FlowMark, 'epoch' | 'seq'>): void {
    const pair = this.#pairs.get(pairKey(refusal.to, refusal.from));
    if (pair === undefined) return;
    for (const entry of pair.inFlightWithin({ epoch, first: seq, last: seq })) {
      if (this.#settleOne(pair, entry, refusal)) this.#components.reply(refusal);
    }
    this.#pump(pair);
  }

  #route(request: RouteRequest): Carrier | Promise<Carrier> {
    const hasMail = (): boolean => this.#pairs.get(pairKey(request.from, request.to))?.hasMail(this.#components.clock.now()) === true;
    // What waits at the domain is not to be overtaken.
    if (hasMail()) return this.#components.route({ ...request, p2p: false });
    const found = this.#components.route(request);
    return found instanceof Promise ? found.then((carrier) => (hasMail() ? this.#route(request) : carrier)) : found;
  }

  /** A message is on disk: its sender is told so. */
  #stored(pair: OutboxFlow, entry: OutboxEntry, message: Request): void {
    if (entry.asked) this.#components.reply(respond(message, 202, { stored: 'runtime' }, pair.to));
    pair.relieve();
  }

  /** Nobody is there for this pair: its messages in memory go to disk as far as there is room; the rest goes back. */
  #keepAll(pair: OutboxFlow): void {
    for (const entry of pair.entries) {
      if (entry.state !== 'here') continue;
      if (this.#spool.hasRoom(pair, entry)) this.#spool.keep(pair, entry);
      else this.#returnToSender(pair, entry, this.#spool.full());
    }
  }

  /** Refuses a message that can't be kept. It isn't sent any more, but its receiver may have it already. */
  #returnToSender(pair: OutboxFlow, entry: OutboxEntry, error: ProtoflyError): void {
    const { message } = entry;
    const isInDoubt = this.#remove(pair, entry);
    if (message === undefined) return;
    const refusal = refuse(message, error, pair.to);
    this.#components.reply(isInDoubt ? asUncertain(refusal) : refusal);
  }

  /** Forgets a message everywhere: its pair, the disk, and what is in flight. @returns whether its receiver may have it */
  #remove(pair: OutboxFlow, entry: OutboxEntry): boolean {
    const isInDoubt = this.#outgoing.withdraw(pair.from, pair.to, entry);
    pair.remove(entry, this.#components.clock.now());
    this.#spool.discard(pair, entry);
    pair.relieve();
    return isInDoubt;
  }

  #expire(pair: OutboxFlow, entry: OutboxEntry, message: Request | undefined): void {
    const told = entry.state === 'stored';
    const isInDoubt = this.#remove(pair, entry);
    this.#giveUp(entry, 'expired', 'its time is up');
    if (message === undefined || told) return;
    this.#components.reply(refuse(message, new ProtoflyError('E_UNAVAILABLE', `${pair.to} was not reached in time`, { uncertain: isInDoubt }), pair.to));
  }

  #giveUp(entry: OutboxEntry, how: 'expired' | 'refused', why: string): void {
    if (how === 'expired') this.#expired += 1;
    else this.#refused += 1;
    this.#components.log('warn', `message ${String(entry.id)} of the outbox was given up: ${why}`);
  }

  /** The domain hands on in order: what it kept of this pair has been taken. */
  #passed(pair: OutboxFlow): void {
    if (pair.atDomain !== undefined) void this.#spool.noteMail(pair, undefined);
  }

  #schedule(): void {
    if (this.#closed || this.#pairs.size === 0) return;
    this.#sweep ??= this.#components.clock.setTimeout(() => {
      this.#sweep = undefined;
      this.#look();
      this.#schedule();
    }, this.#init.patienceMs);
  }

  /** Puts messages in flight on disk when their receiver has gone, ends those that are too old, and tries again. */
  #look(): void {
    const now = this.#components.clock.now();
    let idle = 0;
    for (const [key, pair] of this.#pairs) {
      for (const entry of pair.entries) if (entry.until <= now) this.#expire(pair, entry, this.#spool.read(entry));
      if (pair.size === 0) {
        if (pair.hasMail(now)) continue;
        this.#passed(pair);
        idle += 1;
        if (idle > MAX_IDLE || now - pair.usedAt >= this.#init.idleMs) this.#pairs.delete(key);
        continue;
      }
      const { oldest } = pair;
      const late = oldest?.state === 'here' && now - (oldest.sentAt ?? now) >= this.#init.patienceMs ? oldest.message : undefined;
      if (late !== undefined && this.#components.isAway(routeRequest(late, pair.to))) this.#keepAll(pair);
      if (pair.waiting.length > 0 && !pair.isPausing(now)) this.#pump(pair);
    }
  }
}

/** A kept message always wants a receipt: without one nobody would know when to forget it. */
const expecting = (message: Request): Request =>
  message.body?.expect === 'receipt' ? message : { ...message, body: { ...message.body, expect: 'receipt' } };

/** Whether mail at the domain waits there no longer. */
const isFinal = (response: Response): boolean =>
  !isProvisional(response) && response.body['stored'] === undefined && (isSuccess(response) || !PASSING.has(responseError(response).code));
