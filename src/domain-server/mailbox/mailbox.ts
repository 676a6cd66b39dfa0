import {
  asProtoflyError, encodeMessage, expectationOf, isProvisional, isSuccess, ProtoflyError,
  type Address, type Clock, type Message, type MessageId, type Request, type Response, type Timer,
} from '../../protocol/index.js';
import type { Collection, Store } from '../../store/store.js';
import { digest, keyOf } from '../keys.js';
import { MAIL_LIMITS, type MailLimits } from './limits.js';

/** What is remembered of a message without reading it. */
interface Card {
  readonly to: Address;
  readonly from: Address;
  readonly id: MessageId;
  /** The runtime that sent it. */
  readonly sender: Address;
  readonly bytes: number;
  /** In milliseconds since 1970. */
  readonly until: number;
  /** Whether its sender wants to hear of it. */
  readonly asked: boolean;
  /** Where it stands in its sender's stream. */
  readonly epoch: string;
  readonly seq: number;
}

interface Mail extends Card {
  readonly key: string;
  /** On its way to the disk: settles when it is there. */
  durable: Promise<void> | undefined;
  /** Given to the receiver's present session. */
  given: boolean;
}

interface Share {
  messages: number;
  bytes: number;
}

interface Box extends Share {
  /** By sender and id, in order. */
  readonly mail: Map<string, Mail>;
  /** What there is of each stream, by sender and epoch. */
  readonly streams: Map<string, Set<number>>;
  /** The receiver had no room: not given anything until then. */
  retry: Timer | undefined;
}

export interface MailboxComponents {
  readonly store: Store;
  readonly clock: Clock;
  /** Gives a message to the runtime of its receiver, if that is there. @returns whether it did */
  readonly give: (message: Message, to: Address) => boolean;
  /** Whether the runtime of an address sends receipts. */
  readonly acknowledges: (to: Address) => boolean;
  readonly log: (text: string, details?: Record<string, unknown>) => void;
}

export interface MailboxInit {
  /** Different in each life of the node. */
  readonly epoch: string;
  readonly limits?: Partial<MailLimits>;
}

/** Refusals after which a message is offered again. */
const PASSING: ReadonlySet<number> = new Set([408, 429, 503, 507]);

/**
 * Mail of the receivers of one domain, in order. A message is given in each session of its receiver until that has
 * acknowledged it; the numbers that it carries (docs/protocol.md, "Flows") let the receiver drop what it has already.
 */
export class Mailbox {
  readonly #components: MailboxComponents;
  readonly #limits: MailLimits;
  readonly #epoch: string;
  readonly #cards: Collection<Card>;
  readonly #messages: Collection<Message>;
  readonly #boxes = new Map<Address, Box>();
  readonly #senders = new Map<Address, Share>();
  readonly #total: Share = { messages: 0, bytes: 0 };
  #last = 0;
  #delivered = 0;
  #expired = 0;
  #refused = 0;
  #sweep: { readonly timer: Timer; readonly at: number } | undefined;
  #closed = false;

  constructor(components: MailboxComponents, { epoch, limits }: MailboxInit) {
    this.#components = components;
    this.#limits = { ...MAIL_LIMITS, ...limits };
    this.#epoch = epoch;
    this.#cards = components.store.collection('mail-cards');
    this.#messages = components.store.collection('mail');
  }

  /** What is kept now, and what became of the rest since the start. */
  get status(): { readonly messages: number; readonly bytes: number; readonly delivered: number; readonly expired: number; readonly refused: number } {
    return { ...this.#total, delivered: this.#delivered, expired: this.#expired, refused: this.#refused };
  }

  /** Brings back what was there when the node stopped. */
  load(): void {
    for (const [key, card] of this.#cards.entries()) {
      this.#add({ ...card, key, durable: undefined, given: false });
      this.#last = Math.max(this.#last, Number(key.slice(key.lastIndexOf(' ') + 1)));
    }
  }

  /** Whether anything for an address has not been given to its runtime's present session. */
  hasFor(to: Address): boolean {
    const box = this.#boxes.get(to);
    if (box === undefined) return false;
    for (const mail of box.mail.values()) if (!mail.given) return true;
    return false;
  }

  /** Whether the receiver has refused for want of room: what is to be kept waits behind what is kept. */
  isHeld(to: Address): boolean {
    return this.#boxes.get(to)?.retry !== undefined;
  }

  /**
   * Keeps a message. Once more of the same changes nothing.
   * @param sender the runtime that it comes from
   * @returns when it is on disk
   * @throws ProtoflyError `E_TOO_LARGE`, `E_QUOTA`, `E_STORE`; `E_UNREACHABLE` when something before it in its stream is
   * neither settled nor here: if that never came, the receiver would wait for it
   */
  keep(message: Request, to: Address, sender: Address): Promise<void> {
    const box = this.#boxes.get(to);
    const known = box?.mail.get(nameOf(message.from, message.id));
    if (known !== undefined) return known.durable ?? Promise.resolve();
    const mark = flowIn(message);
    if (mark !== undefined && !isNext(box?.streams.get(streamOf(message.from, mark.epoch)), mark)) {
      throw new ProtoflyError('E_UNREACHABLE', `${to} is away, and what came before in this stream isn't here`);
    }
    const bytes = Buffer.byteLength(encodeMessage(message));
    this.#checkRoom(to, sender, bytes);
    this.#last += 1;
    const number = this.#last;
    const { ttl } = message.body ?? {};
    const seconds = typeof ttl === 'number' && ttl >= 0 ? Math.min(ttl, this.#limits.ttl) : this.#limits.ttl;
    const card: Card = { to, from: message.from, id: message.id, sender, bytes, until: this.#components.clock.now() + seconds * 1000, asked: expectationOf(message) === 'receipt', ...(mark ?? { epoch: `${this.#epoch}.mail`, seq: number }) };
    const key = `${keyOf(to)} ${String(number).padStart(16, '0')}`;
    const mail: Mail = { ...card, key, durable: undefined, given: false };
    // Without a receipt nobody would know that it has arrived, without a number nobody that it has come before.
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

  /** Gives the receiver's runtime, which is there, what it wasn't given in this session, in order. */
  deliver(to: Address): void {
    const box = this.#boxes.get(to);
    if (box === undefined || box.retry !== undefined || this.#closed) return;
    const acknowledges = this.#components.acknowledges(to);
    for (const mail of box.mail.values()) {
      if (mail.given) continue;
      if (mail.until <= this.#components.clock.now()) { this.#expire(mail); continue; }
      const message = this.#messages.get(mail.key);
      if (message === undefined) { this.#remove(mail); continue; }
      mail.given = this.#give(mail, withBase(message, mail, box));
      if (!mail.given) { if (box.mail.has(nameOf(mail.from, mail.id))) return; continue; }
      if (!acknowledges) this.#end(mail, 'delivered');
    }
  }

  /** The session of the receiver's runtime is not what it was: what it didn't acknowledge is given again. */
  renew(to: Address): void {
    const box = this.#boxes.get(to);
    if (box === undefined) return;
    box.retry?.cancel();
    box.retry = undefined;
    for (const mail of box.mail.values()) mail.given = false;
  }

  /**
   * Takes note of what a receiver's runtime answers.
   * @returns whether its sender wants to hear of it
   */
  settle(response: Response): boolean {
    const mail = this.#boxes.get(response.from)?.mail.get(nameOf(response.to, response.id));
    if (mail === undefined) return true;
    if (isProvisional(response)) return mail.asked;
    if (isSuccess(response)) this.#end(mail, 'delivered');
    else if (PASSING.has(response.body.code)) {
      this.#hold(mail);
      return false;
    } else this.#end(mail, 'refused');
    return mail.asked;
  }

  /** What is kept stays in the store. Idempotent. */
  close(): void {
    this.#closed = true;
    this.#sweep?.timer.cancel();
    for (const { retry } of this.#boxes.values()) retry?.cancel();
  }

  #give(mail: Mail, message: Message): boolean {
    try {
      return this.#components.give(message, mail.to);
    } catch (thrown) {
      const error = asProtoflyError(thrown);
      // A link that can't carry it never will.
      if (error.code === 'E_TOO_LARGE') this.#end(mail, 'refused');
      else this.#components.log('mail was not delivered', { error });
      return false;
    }
  }

  /** The receiver has no room now: it is offered everything again, in order, after a while. */
  #hold(mail: Mail): void {
    const box = this.#boxes.get(mail.to);
    mail.given = false;
    if (box === undefined || box.retry !== undefined || this.#closed) return;
    box.retry = this.#components.clock.setTimeout(() => {
      box.retry = undefined;
      this.deliver(mail.to);
    }, this.#limits.retryMs);
  }

  #checkRoom(to: Address, sender: Address, bytes: number): void {
    const limits = this.#limits;
    if (bytes > limits.messageBytes) throw new ProtoflyError('E_TOO_LARGE', `a message of ${String(bytes)} bytes is not kept: at most ${String(limits.messageBytes)}`);
    const full = (share: Share | undefined, messages: number, most: number): boolean => share !== undefined && (share.messages >= messages || share.bytes + bytes > most);
    if (full(this.#boxes.get(to), limits.perReceiver, limits.bytesPerReceiver)) throw new ProtoflyError('E_QUOTA', `too much mail waits for ${to} already`);
    if (full(this.#senders.get(sender), limits.perSender, limits.bytesPerSender)) throw new ProtoflyError('E_QUOTA', `too much mail of ${sender} waits already`);
    if (full(this.#total, limits.messages, limits.bytes)) throw new ProtoflyError('E_QUOTA', 'too much mail waits in this domain already');
  }

  #add(mail: Mail): void {
    let box = this.#boxes.get(mail.to);
    if (box === undefined) this.#boxes.set(mail.to, box = { messages: 0, bytes: 0, mail: new Map(), streams: new Map(), retry: undefined });
    let share = this.#senders.get(mail.sender);
    if (share === undefined) this.#senders.set(mail.sender, share = { messages: 0, bytes: 0 });
    box.mail.set(nameOf(mail.from, mail.id), mail);
    const stream = streamOf(mail.from, mail.epoch);
    box.streams.set(stream, (box.streams.get(stream) ?? new Set()).add(mail.seq));
    for (const each of [box, share, this.#total]) {
      each.messages += 1;
      each.bytes += mail.bytes;
    }
    this.#watch(mail.until);
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
    const share = this.#senders.get(mail.sender);
    if (box === undefined || share === undefined || !box.mail.delete(nameOf(mail.from, mail.id))) return;
    for (const each of [box, share, this.#total]) {
      each.messages -= 1;
      each.bytes -= mail.bytes;
    }
    const stream = streamOf(mail.from, mail.epoch);
    const left = box.streams.get(stream);
    left?.delete(mail.seq);
    if (left?.size === 0) box.streams.delete(stream);
    if (box.messages === 0) {
      box.retry?.cancel();
      this.#boxes.delete(mail.to);
    }
    if (share.messages === 0) this.#senders.delete(mail.sender);
    this.#components.store.transaction(() => {
      void this.#cards.delete(mail.key);
      void this.#messages.delete(mail.key);
    }).catch((thrown: unknown) => { this.#components.log('mail could not be removed', { error: asProtoflyError(thrown) }); });
  }

  /** Looks for what has expired when the first of it does, but not every moment. */
  #watch(until: number): void {
    if (this.#closed || (this.#sweep !== undefined && this.#sweep.at <= until)) return;
    this.#sweep?.timer.cancel();
    const { clock } = this.#components;
    const timer = clock.setTimeout(() => {
      this.#sweep = undefined;
      let next = Number.POSITIVE_INFINITY;
      for (const { mail } of [...this.#boxes.values()]) {
        for (const one of [...mail.values()]) {
          if (one.until <= clock.now()) this.#expire(one);
          else next = Math.min(next, one.until);
        }
      }
      if (next !== Number.POSITIVE_INFINITY) this.#watch(next);
    }, Math.max(until - clock.now(), 1000));
    this.#sweep = { timer, at: until };
  }
}

interface Mark {
  readonly epoch: string;
  readonly seq: number;
}

/** The mark of a message that came with one. */
const flowIn = (message: Request): (Mark & { readonly base: number }) | undefined => {
  const flow = message.body?.['flow'];
  if (!Array.isArray(flow) || flow.length !== 3) return undefined;
  const [epoch, seq, base] = flow as unknown[];
  if (typeof epoch !== 'string' || epoch.length > 64 || !Number.isSafeInteger(seq) || !Number.isSafeInteger(base)) return undefined;
  return (base as number) >= 1 && (seq as number) >= (base as number) ? { epoch, seq: seq as number, base: base as number } : undefined;
};

/** Whether everything from its base on is here. */
const isNext = (here: ReadonlySet<number> | undefined, { seq, base }: { readonly seq: number; readonly base: number }): boolean => {
  if (seq - base > (here?.size ?? 0)) return false;
  for (let before = base; before < seq; before += 1) if (here?.has(before) !== true) return false;
  return true;
};

/** What isn't here any more doesn't come: the receiver is not to wait for it, but for what is here without a gap. */
const withBase = (message: Message, { from, epoch, seq }: Mail, { streams }: Box): Message => {
  const here = streams.get(streamOf(from, epoch));
  let base = seq;
  while (here?.has(base - 1) === true) base -= 1;
  return { ...message, body: { ...message.body, flow: [epoch, seq, base] } } as Message;
};

const streamOf = (from: Address, epoch: string): string => `${from} ${epoch}`;

const nameOf = (from: Address, id: MessageId): string => `${typeof id === 'number' ? '#' : '"'}${String(id)} ${digest(from)}`;
