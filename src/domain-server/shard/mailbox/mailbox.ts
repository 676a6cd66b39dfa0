import {
  asProtoflyError, encodeMessage, expectationOf, flowOf, isProvisional, isSuccess, isWithinRange, ProtoflyError, rangeOf, withIds,
  type Address, type Clock, type Message, type Request, type Response, type Timer,
} from '../../../protocol/index.js';
import type { Collection, Store } from '../../../store/store.js';
import { keyOf } from '../keys.js';
import { MAIL_LIMITS, type MailLimits } from './limits.js';
import { contentOf, nameOf, type Card, type Mail } from './mail.js';
import { Quota } from './quota.js';
import { MailFlows } from './mail-flows.js';

/** The mail of one receiver. */
interface Box {
  /** Messages by name, in order. */
  readonly mail: Map<string, Mail>;
  readonly streams: MailFlows;
  /** Timer of the next delivery after the receiver had no room. Until then, nothing is delivered. */
  retry: Timer | undefined;
}

/** The party that is charged for mail. */
export interface Sender {
  readonly runtime: Address;
  /** The holder of the shares that the runtime's session uses. @default limited by the other limits alone */
  readonly holder?: string | undefined;
}

export interface MailboxComponents {
  readonly store: Store;
  readonly clock: Clock;
  /** Gives a message to its receiver's runtime. @returns false if that runtime is away */
  readonly give: (message: Message, to: Address) => boolean;
  /** True if the runtime of an address sends receipts. */
  readonly acknowledges: (to: Address) => boolean;
  readonly log: (text: string, details?: Record<string, unknown>) => void;
}

export interface MailboxInit {
  /** The epoch of this mailbox. It must differ after every restart of the node. */
  readonly epoch: string;
  /** @default MAIL_LIMITS */
  readonly limits?: Partial<MailLimits>;
}

/** True if a refused message is offered again: the receiver has no room or disk space, or is away. */
const isPassing = (code: number): boolean => code === 408 || code === 429 || code >= 500;

const isBefore = (one: Mail, other: Mail): boolean => one.epoch === other.epoch && one.seq < other.seq;

/**
 * The mail for the receivers of one domain, in order. Each session of a receiver is given a message again, until the
 * receiver has acknowledged it. The numbers of messages (docs/protocol.md, "Flows") let the receiver drop duplicates.
 */
export class Mailbox {
  readonly #components: MailboxComponents;
  readonly #limits: MailLimits;
  readonly #epoch: string;
  readonly #cards: Collection<Card>;
  readonly #messages: Collection<Message>;
  readonly #boxes = new Map<Address, Box>();
  readonly #quota: Quota;
  #last = 0;
  #delivered = 0;
  #expired = 0;
  #refused = 0;
  #sweep: { readonly timer: Timer; readonly at: number } | undefined;
  #closed = false;

  constructor(components: MailboxComponents, { epoch, limits }: MailboxInit) {
    this.#components = components;
    this.#limits = { ...MAIL_LIMITS, ...limits };
    this.#quota = new Quota(this.#limits);
    this.#epoch = epoch;
    this.#cards = components.store.collection('mail-cards');
    this.#messages = components.store.collection('mail');
  }

  /** The mail stored now, and the counters since the start. */
  get status(): { readonly messages: number; readonly bytes: number; readonly delivered: number; readonly expired: number; readonly refused: number } {
    return { ...this.#quota.total, delivered: this.#delivered, expired: this.#expired, refused: this.#refused };
  }

  /** The messages refused since the start because their sender had his share, though there was room for others. */
  get refusedShares(): number {
    return this.#quota.refusedShares;
  }

  /** Loads the mail from the store. */
  load(): void {
    const { clock } = this.#components;
    for (const [key, card] of this.#cards.entries()) {
      // A clock that was set back must not extend the lifetime.
      const left = Math.min(card.until - clock.date(), this.#limits.ttl * 1000);
      this.#add({ ...card, key, deadline: clock.now() + left, durable: undefined, given: false });
      this.#last = Math.max(this.#last, Number(key.slice(key.lastIndexOf(' ') + 1)));
    }
  }

  /**
   * True if there is mail for an address that its runtime's current session was not given.
   * @param from only mail of this sender
   * @default any sender
   */
  hasFor(to: Address, from?: Address): boolean {
    const box = this.#boxes.get(to);
    if (box === undefined) return false;
    for (const mail of box.mail.values()) if (!mail.given && (from === undefined || mail.from === from)) return true;
    return false;
  }

  /** True if a message given to a session is mail. Then it stays here until its receiver has acknowledged it. */
  keeps(message: Request, to: Address): boolean {
    const mark = flowOf(message);
    if (mark === undefined) return false;
    for (const { from, epoch, seq } of this.#boxes.get(to)?.mail.values() ?? []) if (from === message.from && epoch === mark.epoch && seq === mark.seq) return true;
    return false;
  }

  /**
   * Prepares a message that bypasses the mailbox. Its base is lowered, so that its receiver orders it after the mail of
   * the same flow.
   */
  behindMail(message: Message, to: Address): Message {
    const box = this.#boxes.get(to);
    const mark = box === undefined ? undefined : flowOf(message);
    return box === undefined || mark === undefined ? message : box.streams.behind(message, mark);
  }

  /** True if the receiver has refused mail for lack of room. New mail then queues behind the stored mail. */
  isHeld(to: Address): boolean {
    return this.#boxes.get(to)?.retry !== undefined;
  }

  /**
   * Stores a message. Storing the same message again changes nothing.
   * @param sender the runtime that sent it, and the holder whose share it counts for
   * @returns resolves when it is on disk
   * @throws ProtoflyError `E_TOO_LARGE`, `E_QUOTA`, `E_STORE`; `E_UNREACHABLE` if an earlier message of its flow is
   * neither settled nor stored here, because the receiver would wait for it
   */
  keep(message: Request, to: Address, { runtime: sender, holder }: Sender): Promise<void> {
    const box = this.#boxes.get(to);
    const mark = flowOf(message);
    const numbering = mark === undefined
      ? { numbered: 'here', epoch: `${this.#epoch}.mail`, seq: this.#last + 1, content: contentOf(message) } as const
      : { numbered: 'by its sender', epoch: mark.epoch, seq: mark.seq } as const;
    const known = box?.mail.get(nameOf({ ...numbering, from: message.from, id: message.id }));
    if (known !== undefined) return known.durable ?? Promise.resolve();
    if (mark !== undefined && !(box?.streams ?? new MailFlows()).isNext(message.from, mark)) {
      throw new ProtoflyError('E_UNREACHABLE', `${to} is away, and what came before in this stream isn't here`);
    }
    const bytes = Buffer.byteLength(encodeMessage(message));
    this.#quota.check({ to, sender, holder, bytes });
    this.#last += 1;
    const number = this.#last;
    const { ttl } = message.body ?? {};
    const seconds = typeof ttl === 'number' && ttl >= 0 ? Math.min(ttl, this.#limits.ttl) : this.#limits.ttl;
    const { clock } = this.#components;
    const card: Card = { to, from: message.from, id: message.id, sender, ...(holder === undefined ? {} : { holder }), bytes, until: clock.date() + seconds * 1000, asked: expectationOf(message) === 'receipt', ...numbering };
    const key = `${keyOf(to)} ${String(number).padStart(16, '0')}`;
    const mail: Mail = { ...card, key, deadline: clock.now() + seconds * 1000, durable: undefined, given: false };
    // The receipt shows that it has arrived. The number lets the receiver detect duplicates.
    const body = { ...message.body, expect: 'receipt' };
    const durable = this.#components.store.transaction(() => {
      void this.#cards.put(key, card);
      void this.#messages.put(key, { ...message, to, body } as Message);
    });
    mail.durable = durable.then(() => { mail.durable = undefined; }, (thrown: unknown) => {
      this.#remove(mail);
      throw thrown;
    });
    this.#add(mail);
    return mail.durable;
  }

  /**
   * Gives the receiver's runtime all mail that its current session was not given, in order. The runtime must be
   * connected.
   */
  deliver(to: Address): void {
    const box = this.#boxes.get(to);
    if (box === undefined || box.retry !== undefined || this.#closed) return;
    const acknowledges = this.#components.acknowledges(to);
    const held = new Map<Address, Mail>();
    for (const mail of box.mail.values()) {
      if (mail.given) continue;
      // Mail behind a gap waits until the mail before the gap has been taken. Later mail of its sender waits behind
      // it.
      const first = held.get(mail.from);
      if (box.streams.isBehindGap(mail.from, mail) || (first !== undefined && !isBefore(mail, first))) {
        if (first === undefined) held.set(mail.from, mail);
        continue;
      }
      if (mail.deadline <= this.#components.clock.now()) { this.#expire(mail); continue; }
      const message = this.#messages.get(mail.key);
      if (message === undefined) { this.#remove(mail); continue; }
      mail.given = this.#give(mail, box.streams.withBase(message, mail));
      if (!mail.given) { if (box.mail.has(nameOf(mail))) return; continue; }
      if (!acknowledges) this.#end(mail, 'delivered');
    }
  }

  /**
   * Called when the session of the receiver's runtime has changed. Mail that wasn't acknowledged will be given again.
   */
  renew(to: Address): void {
    const box = this.#boxes.get(to);
    if (box === undefined) return;
    box.retry?.cancel();
    box.retry = undefined;
    for (const mail of box.mail.values()) mail.given = false;
  }

  /**
   * Handles a response of a receiver's runtime.
   * @returns the responses to pass on; none that the sender doesn't want
   */
  settle(response: Response): readonly Response[] {
    const box = this.#boxes.get(response.from);
    if (box === undefined) return [response];
    const heard = this.#settleAll(box, response);
    // Mail behind a gap may be deliverable now.
    if (!isProvisional(response) && this.hasFor(response.from)) this.deliver(response.from);
    return heard;
  }

  #settleAll(box: Box, response: Response): readonly Response[] {
    const range = rangeOf(response);
    if (range === undefined) {
      const meant = [...box.mail.values()].filter(({ from, id }) => from === response.to && id === response.id);
      const mail = meant.find(({ given }) => given) ?? meant[0];
      return mail === undefined || this.#settleOne(mail, response) ? [response] : [];
    }
    const mails = [...box.mail.values()].filter((mail) => mail.from === response.to && isWithinRange(range, mail));
    const wanted = mails.filter((mail) => this.#settleOne(mail, response));
    // A refusal that only delays mail isn't passed on.
    if (!isSuccess(response) && mails.length > 0 && wanted.length === 0) return [];
    // A sender that numbers its messages understands a response to many. The response may also cover messages never
    // stored here.
    if (mails[0]?.numbered !== 'here') return [response];
    return wanted.map(({ id }) => withIds(response, [id]));
  }

  /** Stops delivery. Mail stays in the store. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#sweep?.timer.cancel();
    for (const { retry } of this.#boxes.values()) retry?.cancel();
  }

  /** @returns true if the sender wants the response */
  #settleOne(mail: Mail, response: Response): boolean {
    if (isProvisional(response)) return mail.asked;
    if (isSuccess(response)) this.#end(mail, 'delivered');
    else if (isPassing(response.body.code)) {
      this.#hold(mail);
      return false;
    } else this.#end(mail, 'refused');
    return mail.asked;
  }

  #give(mail: Mail, message: Message): boolean {
    try {
      return this.#components.give(message, mail.to);
    } catch (thrown) {
      const error = asProtoflyError(thrown);
      // The receiver's link can never carry this message.
      if (error.code === 'E_TOO_LARGE') this.#end(mail, 'refused');
      else this.#components.log('mail was not delivered', { error });
      return false;
    }
  }

  /** Holds all mail of a receiver without room. It is offered again, in order, after `retryMs`. */
  #hold(mail: Mail): void {
    const box = this.#boxes.get(mail.to);
    mail.given = false;
    if (box === undefined || box.retry !== undefined || this.#closed) return;
    box.retry = this.#components.clock.setTimeout(() => {
      box.retry = undefined;
      this.deliver(mail.to);
    }, this.#limits.retryMs);
  }

  #add(mail: Mail): void {
    let box = this.#boxes.get(mail.to);
    if (box === undefined) this.#boxes.set(mail.to, box = { mail: new Map(), streams: new MailFlows(), retry: undefined });
    box.mail.set(nameOf(mail), mail);
    box.streams.add(mail.from, mail);
    this.#quota.add(mail);
    this.#watch(mail.deadline);
  }

  #end(mail: Mail, how: 'delivered' | 'refused'): void {
    if (how === 'delivered') this.#delivered += 1;
    else this.#refused += 1;
    this.#remove(mail);
  }

  #expire(mail: Mail): void {
    this.#expired += 1;
    this.#remove(mail);
  }

  #remove(mail: Mail): void {
    const box = this.#boxes.get(mail.to);
    if (box?.mail.delete(nameOf(mail)) !== true) return;
    this.#quota.remove(mail);
    box.streams.delete(mail.from, mail);
    if (box.mail.size === 0) {
      box.retry?.cancel();
      this.#boxes.delete(mail.to);
    }
    this.#components.store.transaction(() => {
      void this.#cards.delete(mail.key);
      void this.#messages.delete(mail.key);
    }).catch((thrown: unknown) => { this.#components.log('mail could not be removed', { error: asProtoflyError(thrown) }); });
  }

  /** Sets the timer that removes expired mail. Runs are combined, so that they aren't too frequent. */
  #watch(until: number): void {
    if (this.#closed || (this.#sweep !== undefined && this.#sweep.at <= until)) return;
    this.#sweep?.timer.cancel();
    const { clock } = this.#components;
    const timer = clock.setTimeout(() => {
      this.#sweep = undefined;
      let next = Number.POSITIVE_INFINITY;
      for (const { mail } of [...this.#boxes.values()]) {
        for (const one of [...mail.values()]) {
          if (one.deadline <= clock.now()) this.#expire(one);
          else next = Math.min(next, one.deadline);
        }
      }
      if (next !== Number.POSITIVE_INFINITY) this.#watch(next);
    }, Math.max(until - clock.now(), 1000));
    this.#sweep = { timer, at: until };
  }
}
