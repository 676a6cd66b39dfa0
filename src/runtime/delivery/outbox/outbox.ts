import {
  asProtoflyError, asUncertain, isProvisional, isSuccess, isWithinRange, ProtoflyError, rangeOf, refuse, respond, responseError, withIds,
  type Address, type Clock, type ErrorCode, type FlowMark, type Backpressure, type Request, type Response, type Timer,
} from '../../../protocol/index.js';
import type { Collection } from '../../../store/index.js';
import { Outgoing, routeRequest, WINDOW, type Carrier, type RouteRequest, type Routes, type DispatchComponents } from '../index.js';
import { pairKey, OutboxFlow, type OutboxEntry } from './flow.js';
import { Spool, type KeptMessage, type KeptPair } from './spool.js';

export interface OutboxComponents {
  readonly messages: Collection<KeptMessage>;
  readonly pairs: Collection<KeptPair>;
  readonly clock: Clock;
  readonly routes: Routes;
  /** See `OutgoingComponents`. */
  readonly onMute?: (carrier: Carrier) => void;
  /** Answers a program of this runtime. */
  readonly reply: (response: Response) => void;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface OutboxInit {
  /** Unique to each start of the runtime. */
  readonly epoch: string;
  /** Maximum number of stored messages. @default 20_000 */
  readonly maxMessages?: number;
  /** Maximum size of stored messages, in bytes. @default 128 MiB */
  readonly maxBytes?: number;
  /** Maximum number from one sender to one receiver. @default 5000 */
  readonly maxPerPair?: number;
  /** Maximum number of messages of a pair in flight. @default 256 */
  readonly maxInFlight?: number;
  /** Maximum number of unacknowledged bytes of a pair. @default WINDOW */
  readonly window?: number;
}

/** Time that a message may be in flight to an absent receiver before it is stored, in milliseconds. */
const PATIENCE_MS = 1000;
/** Time without messages after which a pair is forgotten and its numbers begin anew, in milliseconds. */
const IDLE_MS = 120_000;

/** Maximum number of remembered pairs without messages. */
const MAX_IDLE = 4096;

/** Temporary refusals: the receiver or the route is away, or the other side has no room. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  'E_UNREACHABLE', 'E_UNAVAILABLE', 'E_LINK_CLOSED', 'E_TIMEOUT', 'E_NOT_DIRECT', 'E_ABORTED', 'E_TOO_MANY', 'E_QUOTA', 'E_STORE',
]);
/** Refusals that mean that a message went no further. */
const WENT_NOWHERE: ReadonlySet<ErrorCode> = new Set(['E_UNREACHABLE', 'E_UNAVAILABLE', 'E_LINK_CLOSED']);

/**
 * Keeps messages while nobody can be reached. Each pair of sender and receiver has its own queue; no pair waits for
 * another.
 */
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
    this.#init = { maxMessages: 20_000, maxBytes: 128 * 1024 * 1024, maxPerPair: 5000, maxInFlight: 256, window: WINDOW, ...init };
    const reply: DispatchComponents['reply'] = (refusal, mark) => { this.#couldNotResend(refusal, mark); };
    this.#outgoing = new Outgoing({ ...components, routes: { route: (request) => this.#route(request) }, reply }, { epoch: init.epoch, window: this.#init.window, patient: true });
    const { messages, pairs, clock, log } = components;
    this.#spool = new Spool({
      messages, pairs, clock, log,
      onStored: (pair, entry, message) => { this.#stored(pair, entry, message); },
      onFailed: (pair, entry, error) => { this.#returnToSender(pair, entry, error); },
    }, this.#init);
    this.#spool.load((from, to) => this.#pair(from, to));
  }

  /** Number and size of the messages on disk. */
  get waiting(): { readonly messages: number; readonly bytes: number } {
    return this.#spool.size;
  }

  /** Number of messages given up: expired, or refused by the receiver after their sender had heard that they are kept. */
  get givenUp(): { readonly expired: number; readonly refused: number } {
    return { expired: this.#expired, refused: this.#refused };
  }

  get resent(): number {
    return this.#outgoing.resent;
  }

  /** Begins to send the messages of an earlier run. */
  start(): void {
    this.wake();
  }

  /** Sends a message of a local program with `store`, or keeps it. @throws ProtoflyError `E_QUOTA` */
  send(message: Request, to: Address): Backpressure {
    const pair = this.#pair(message.from, to);
    const now = this.#components.clock.now();
    const entry = pair.number(message, this.#spool.nextKey(pair), now);
    const waits = pair.kept > 0 || pair.isPausing(now) || this.#components.routes.isAway(routeRequest(message, to));
    if (waits && !this.#spool.hasRoom(pair, entry)) throw this.#spool.full();
    pair.waiting.push(entry);
    if (waits) this.#spool.keep(pair, entry);
    this.#pump(pair);
    return pair.backpressure;
  }

  /**
   * Handles a response from another runtime.
   * @returns the responses for the senders. Empty while a message is still kept, or if its sender has heard so before.
   * Undefined if the response isn't about the outbox
   */
  settle(response: Response): readonly Response[] | undefined {
    const pair = this.#pairs.get(pairKey(response.to, response.from));
    const heard = pair === undefined ? undefined : this.#heard(pair, response);
    if (pair?.noting === undefined || heard === undefined) return heard;
    // Store the note first: after a restart, new messages would overtake mail that the sender has heard of.
    void pair.noting.then(() => { if (!this.#closed) for (const one of heard) this.#components.reply(one); });
    return [];
  }

  /** @returns the responses for the senders; undefined if the response isn't about this pair */
  #heard(pair: OutboxFlow, response: Response): readonly Response[] | undefined {
    const range = rangeOf(response);
    const mail = pair.atDomain;
    const isAboutMail = mail !== undefined && (range === undefined ? mail.id === response.id : isWithinRange(range, mail));
    if (isAboutMail && isFinal(response)) this.#passed(pair);
    const entries = range === undefined ? pair.inFlightWithId(response.id) : pair.inFlightWithin(range);
    // If a domain couldn't deliver its mail, it keeps it: nothing to tell the sender.
    if (entries.length === 0) return !isAboutMail ? undefined : isProvisional(response) || isFinal(response) ? [response] : [];
    if (isProvisional(response)) return [response];
    const before = pair.inFlight;
    const tell = entries.filter((entry) => this.#settleOne(pair, entry, response)).map(({ id }) => withIds(response, [id]));
    if (pair.inFlight < before) this.#pump(pair);
    return tell;
  }

  /** Sends the messages in flight over `carrier` again, and tries all pairs: another route may lead to their receivers. */
  lost(carrier: Carrier): void {
    this.#outgoing.lost(carrier);
    this.wake();
  }

  /** Tries all pairs again, because there may be a route now. */
  wake(): void {
    for (const pair of this.#pairs.values()) {
      pair.wake();
      this.#pump(pair);
    }
  }

  /** Closes the outbox. Messages that aren't on disk are forgotten; no sender was told that they are kept. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#sweep?.cancel();
    this.#spool.close();
    for (const pair of this.#pairs.values()) pair.release();
    this.#outgoing.close();
  }

  /** @returns true if the sender is to get the response */
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
      pair = new OutboxFlow(from, to, { epoch: `${this.#init.epoch}.s${String(this.#begun)}`, maxInFlight: this.#init.maxInFlight }, this.#components.clock.now());
      this.#pairs.set(key, pair);
      this.#schedule();
    }
    return pair;
  }

  /** Sends waiting messages as far as the window allows. */
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
        if (this.#components.routes.isAway(routeRequest(message, pair.to))) throw new ProtoflyError('E_UNREACHABLE', `${pair.to} can't be reached now`);
        const hadMail = pair.hasMail(this.#components.clock.now());
        const carrier = await this.#route(routeRequest(message, pair.to));
        // While the route was being looked up, the entry may have moved, or an earlier one may have become mail.
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

  /** @returns true if the next message may be tried */
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

  /** Handles a message that no carrier accepts when it is sent again. */
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
    // New messages must not overtake mail at the domain.
    if (hasMail()) return this.#components.routes.route({ ...request, p2p: false });
    const found = this.#components.routes.route(request);
    return found instanceof Promise ? found.then((carrier) => (hasMail() ? this.#route(request) : carrier)) : found;
  }

  /** Tells the sender that its message is on disk. */
  #stored(pair: OutboxFlow, entry: OutboxEntry, message: Request): void {
    if (entry.asked) this.#components.reply(respond(message, 202, { stored: 'runtime' }, pair.to));
    pair.relieve();
  }

  /** Stores the messages of an unreachable pair as far as there is room. Refuses the others. */
  #keepAll(pair: OutboxFlow): void {
    for (const entry of pair.entries) {
      if (entry.state !== 'here') continue;
      if (this.#spool.hasRoom(pair, entry)) this.#spool.keep(pair, entry);
      else this.#returnToSender(pair, entry, this.#spool.full());
    }
  }

  /** Refuses a message that can't be kept. It isn't sent again, but its receiver may have it already. */
  #returnToSender(pair: OutboxFlow, entry: OutboxEntry, error: ProtoflyError): void {
    const { message } = entry;
    const isInDoubt = this.#remove(pair, entry);
    if (message === undefined) return;
    const refusal = refuse(message, error, pair.to);
    this.#components.reply(isInDoubt ? asUncertain(refusal) : refusal);
  }

  /** Removes a message from its pair, the disk and the window. @returns true if its receiver may have it */
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

  /** Forgets the mail of a pair. A domain delivers in order, so all of it has been taken. */
  #passed(pair: OutboxFlow): void {
    if (pair.atDomain !== undefined) void this.#spool.noteMail(pair, undefined);
  }

  #schedule(): void {
    if (this.#closed || this.#pairs.size === 0) return;
    this.#sweep ??= this.#components.clock.setTimeout(() => {
      this.#sweep = undefined;
      this.#look();
      this.#schedule();
    }, PATIENCE_MS);
  }

  /** Stores messages in flight whose receiver has gone, expires old ones, and tries again. */
  #look(): void {
    const now = this.#components.clock.now();
    let idle = 0;
    for (const [key, pair] of this.#pairs) {
      for (const entry of pair.entries) if (entry.until <= now) this.#expire(pair, entry, this.#spool.read(entry));
      if (pair.size === 0) {
        if (pair.hasMail(now)) continue;
        this.#passed(pair);
        idle += 1;
        if (idle > MAX_IDLE || now - pair.usedAt >= IDLE_MS) this.#pairs.delete(key);
        continue;
      }
      const { oldest } = pair;
      const late = oldest?.state === 'here' && now - (oldest.sentAt ?? now) >= PATIENCE_MS ? oldest.message : undefined;
      if (late !== undefined && this.#components.routes.isAway(routeRequest(late, pair.to))) this.#keepAll(pair);
      if (pair.waiting.length > 0 && !pair.isPausing(now)) this.#pump(pair);
    }
  }
}

/** Adds the wish for a receipt to a kept message: only a receipt ends its keeping. */
const expecting = (message: Request): Request =>
  message.body?.expect === 'receipt' ? message : { ...message, body: { ...message.body, expect: 'receipt' } };

/** True if the mail no longer waits at the domain. */
const isFinal = (response: Response): boolean =>
  !isProvisional(response) && response.body['stored'] === undefined && (isSuccess(response) || !PASSING.has(responseError(response).code));
