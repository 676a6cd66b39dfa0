import { LruMap } from '../../../kit/lru-map.js';
import {
  asProtoflyError, expectationOf, flowOf, idsOf, isProvisional, isResponse, ProtoflyError, refuse, withIds, type Address, type Clock, type FlowMark, type Message, type MessageId, type Request, type Response, type ReceivedVia, needsAnswer,
} from '../../../protocol/index.js';
import type { Collection } from '../../../store/index.js';
import { Incoming, sizeOf, type Receipts } from '../../delivery/index.js';
import { PendingRequests, type Deliver } from './pending-requests.js';
import { Consumer, type Program } from './consumer.js';
import { Checkpoints, type KeptCheckpoint } from './checkpoints.js';
import { Questions } from './questions.js';
import { Queue, type Dropped, type Stored, type Taken } from './queue.js';

export interface Attachment {
  readonly program: Program;
  /** Marks the first `count` messages delivered to this program as taken. */
  taken(count: number): void;
  /** Detaches the program. If it was the last, the messages that no program has taken wait for the next. Idempotent. */
  detach(): void;
}

export interface InboxComponents {
  readonly stored: Collection<Stored>;
  /** Checkpoints of senders' flows. @default none: after a restart, repeated messages are taken again */
  readonly positions?: Collection<KeptCheckpoint>;
  readonly clock: Clock;
  readonly receipts: Receipts;
  /** True if the last quarter of the room isn't for a sender, because it is kept for others. @default it is for everybody */
  readonly isGuest?: ((from: Address) => boolean) | undefined;
  /** Sends a refusal. */
  readonly reply: (response: Response) => void;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface InboxInit {
  readonly address: Address;
  /** Maximum number of messages on disk while no program is attached. @default 1000 */
  readonly maxMessages?: number;
  /** Maximum size of these messages, in bytes. @default 16 MiB */
  readonly maxBytes?: number;
  /** Maximum number of further messages that wait for room while their senders get no receipt. @default 4096 */
  readonly maxStalled?: number;
  /** Maximum time that they wait, in milliseconds. @default 30_000 */
  readonly stallMs?: number;
  /** Maximum time that a checkpoint may be in memory only, in milliseconds. @default 50 */
  readonly positionMs?: number;
  /** Maximum number of flows of one sender. @default 1024 */
  readonly maxStreams?: number;
}

/** A numbered message with its path. */
interface Came extends Dropped {
  readonly flow: FlowMark;
}

/** Maximum number of remembered copies of messages that aren't taken yet. */
const MAX_COPIES = 4096;

const copyKey = (from: Address, { epoch, seq }: FlowMark): string => `${from} ${epoch} ${String(seq)}`;

/**
 * Messages for one hyperty. They go to its attached programs at the pace of the slowest. While no program is attached, a
 * bounded number waits on disk. A receipt is sent when every attached program has taken a message, or when it is on disk.
 */
export class Inbox {
  readonly #reply: (response: Response) => void;
  readonly #log: InboxComponents['log'];
  readonly #address: Address;
  readonly #queue: Queue;
  readonly #incoming: Incoming<Came>;
  readonly #positions: Checkpoints | undefined;
  readonly #attached = new Set<Consumer>();
  readonly #receipts: Receipts;
  readonly #askers = new PendingRequests();
  /** The latest copy of each message that came again before it was taken. */
  readonly #copies = new LruMap<string, Came>(MAX_COPIES);
  readonly #questions: Questions;
  readonly #isGuest: (from: Address) => boolean;

  constructor({ stored, positions, clock, receipts, isGuest = () => false, reply, log }: InboxComponents, init: InboxInit) {
    this.#reply = reply;
    this.#log = log;
    this.#address = init.address;
    this.#receipts = receipts;
    this.#isGuest = isGuest;
    this.#incoming = new Incoming<Came>({ sizeOf: ({ message }) => sizeOf(message) }, init.maxStreams === undefined ? {} : { maxStreams: init.maxStreams });
    const onFailed = (thrown: unknown): void => { log('warn', `the inbox of ${init.address} can't be written: ${asProtoflyError(thrown).message}`); };
    this.#positions = positions && new Checkpoints({ kept: positions, clock, incoming: this.#incoming, onFailed }, init);
    this.#questions = new Questions({ clock, programs: () => [...this.#attached].map(({ program }) => program), pass: reply });
    this.#queue = new Queue({
      stored, clock, asks: needsAnswer, onFailed, isAttended: () => this.#attached.size > 0,
      onStored: ({ flow, via }, message) => { this.#taken(message, via, flow); },
      onDropped: ({ via, flow }, message, error) => { this.#turnAway({ message, via, flow }, error); },
    }, { maxMessages: 1000, maxBytes: 16 * 1024 * 1024, maxStalled: 4096, stallMs: 30_000, ...init });
    this.#queue.load((message, flow) => { if (flow !== undefined) this.#incoming.resume(message.from, flow); });
  }

  get waiting(): { readonly messages: number; readonly bytes: number } {
    return this.#queue.size;
  }

  get attached(): number {
    return this.#attached.size;
  }

  /** Registers the receiver of the responses to a request that a program sent as this hyperty. */
  expectResponse(id: MessageId, deliver: Deliver): void {
    this.#askers.asks(id, deliver);
  }

  /** Forgets a program that may have sent requests as this hyperty. */
  forgetAsker(deliver: Deliver): void {
    this.#askers.forget(deliver);
  }

  /**
   * Handles a program's answer to a request. Like a receipt, it names the path of the request.
   * @param by the program that answers, if it is attached
   * @returns the answer for the sender. Undefined while another program may give a better one, and after the final answer
   */
  answered(response: Response, by?: Program): Response | undefined {
    return this.#questions.answer(response, by);
  }

  /**
   * Takes a message in.
   * @throws ProtoflyError `E_UNAVAILABLE` if it needs an answer and no program is attached; `E_TOO_MANY`
   */
  receive(message: Message, via: ReceivedVia): void {
    if (isResponse(message)) { this.#answer(message); return; }
    if (needsAnswer(message)) {
      if (this.#attached.size === 0) throw new ProtoflyError('E_UNAVAILABLE', `no program is attached to ${this.#address}`);
      if (expectationOf(message) === 'response') this.#questions.ask(message, via);
      this.#admit(message, via);
      return;
    }
    const flow = via.path === 'local' ? undefined : flowOf(message);
    if (flow === undefined) { this.#admit(message, via); return; }
    const sorted = this.#incoming.sort({ message, via, flow }, message.from, flow, isKept(message));
    switch (sorted.kind) {
      case 'ready':
        this.#admitAll(sorted.items);
        return;
      case 'repeated':
        this.#receipt(message, via, flow);
        return;
      case 'refused':
        this.#refuseForGood({ message, via, flow }, this.#queue.full());
        return;
      case 'late':
        this.#refuse({ message, via, flow }, new ProtoflyError('E_TIMEOUT', 'the sender of this message has gone on without it'));
        return;
      case 'overflow':
        // A temporary refusal: the sender sends the message again.
        this.#refuse({ message, via, flow }, new ProtoflyError('E_UNREACHABLE', `too many messages to ${this.#address} wait for one that is missing`));
        return;
      case 'held':
        if (isKept(message)) this.#copies.set(copyKey(message.from, flow), { message, via, flow });
        return;
    }
  }

  attach(program: Program): Attachment {
    const consumer = new Consumer({
      program, queue: this.#queue, onTaken: () => { this.#settle(); },
      onBroken: ({ message }) => { this.#log('debug', `not delivered to a program of ${this.#address}: ${message}`); },
    });
    this.#attached.add(consumer);
    consumer.pump();
    return {
      program,
      taken: (count) => { if (Number.isSafeInteger(count)) consumer.declare(count); },
      detach: () => {
        if (!this.#attached.delete(consumer)) return;
        consumer.end();
        this.#questions.recheck();
        this.#settle(this.#attached.size === 0 ? consumer.taken : undefined);
        if (this.#attached.size === 0) this.#queue.keepAll();
      },
    };
  }

  /** Discards all waiting messages without a response. @returns their number */
  async discard(): Promise<number> {
    const [messages] = await Promise.all([this.#queue.discard(), this.#positions?.discard()]);
    return messages;
  }

  /** Closes the inbox. The last checkpoint may still be being written. Idempotent. */
  close(): void {
    this.#queue.close();
    this.#questions.close();
    this.#positions?.close();
    for (const consumer of this.#attached) consumer.end();
    this.#attached.clear();
  }

  #answer(response: Response): void {
    const ids = idsOf(response);
    const isLast = !isProvisional(response);
    if (ids.length === 1) {
      this.#handAnswer(response, this.#askers.of(response.id, isLast));
      return;
    }
    // Several programs may send as one hyperty.
    const askers = new Map<Deliver | undefined, MessageId[]>();
    for (const id of ids) {
      const asker = this.#askers.of(id, isLast);
      const theirs = askers.get(asker);
      if (theirs === undefined) askers.set(asker, [id]);
      else theirs.push(id);
    }
    for (const [asker, theirs] of askers) this.#handAnswer(askers.size === 1 ? response : withIds(response, theirs), asker);
  }

  #handAnswer(response: Response, asker: Deliver | undefined): void {
    if (asker !== undefined) asker(response);
    else for (const consumer of this.#attached) consumer.pass(response);
  }

  #admitAll(items: readonly Came[]): void {
    // Kept messages of one flow stay in order: once one is turned away, the later ones are, too.
    let isBlocked = false;
    for (const came of items) {
      if (isBlocked && isKept(came.message)) this.#refuse(came, this.#queue.full());
      else if (!this.#admit(came.message, came.via, came.flow)) isBlocked = true;
    }
  }

  /** @returns true if there was room */
  #admit(message: Request, via: ReceivedVia, flow?: FlowMark): boolean {
    if (this.#queue.isFull || (this.#attached.size === 0 && this.#queue.isScarce && via.path !== 'local' && this.#isGuest(message.from))) {
      this.#turnAway({ message, via, flow }, this.#queue.full());
      return false;
    }
    this.#queue.add(message, via, flow);
    if (this.#attached.size === 0) this.#queue.keepOn();
    else for (const consumer of this.#attached) consumer.pump();
    return true;
  }

  /** Removes the items that every attached program has taken, and in any case those below `upTo`. */
  #settle(upTo?: number): void {
    const done = upTo ?? Math.min(...[...this.#attached].map(({ taken }) => taken));
    if (!Number.isFinite(done) || done <= this.#queue.first) return;
    const taken = this.#queue.take(done);
    for (const { item: { message, via, flow }, was } of taken) if (message !== undefined && was === 'here') this.#taken(message, via, flow);
    if (taken.some(({ erased }) => erased !== undefined)) this.#takenFromDisk(taken.filter(({ erased }) => erased !== undefined));
    for (const consumer of this.#attached) consumer.catchUp();
  }

  /**
   * Erases messages from disk together with the write of their checkpoints. Messages that were still being stored have
   * had no receipt. It follows that write, or a restarted runtime would hand them on again.
   */
  #takenFromDisk(taken: readonly Taken[]): void {
    const unheard = taken.flatMap(({ item: { message, via, flow }, was }) => (message !== undefined && was === 'storing' ? [{ message, via, flow }] : []));
    for (const { message, flow } of unheard) if (flow !== undefined) this.#incoming.taken(message.from, flow);
    const written = this.#positions?.write().catch(() => undefined);
    if (unheard.length === 0) return;
    void Promise.all([written, ...taken.map(({ erased }) => erased)]).then(() => {
      for (const { message, via, flow } of unheard) this.#receipt(message, via, flow);
    });
  }

  /** Notes that a program has taken the message, or that it is on disk, and sends the receipt. */
  #taken(message: Request, via: ReceivedVia, flow: FlowMark | undefined): void {
    if (flow !== undefined) {
      this.#incoming.taken(message.from, flow);
      this.#positions?.note();
    }
    this.#receipt(message, via, flow);
  }

  /**
   * Refuses a message for lack of room. A kept message comes again until it is taken. Later ones of its flow have to wait
   * for it and are refused, too. For other messages the refusal is final.
   */
  #turnAway(came: Dropped, error: ProtoflyError): void {
    const { message, flow } = came;
    if (flow === undefined) {
      this.#refuse(came, error);
    } else if (isKept(message)) {
      const wentBack = this.#incoming.goBack(message.from, flow);
      const behind = wentBack && this.#attached.size === 0 ? this.#queue.takeBack(message.from, flow) : [];
      for (const one of [came, ...behind]) this.#refuse(one, error);
      this.#positions?.note();
    } else {
      this.#incoming.refused(message.from, flow);
      this.#refuseForGood(came, error);
    }
  }

  /**
   * Sends a refusal once it is on disk. Otherwise a restarted runtime might take a copy of a message that its sender
   * believes refused.
   */
  #refuseForGood(came: Dropped, error: ProtoflyError): void {
    if (this.#positions === undefined) this.#refuse(came, error);
    else this.#positions.writeSoon().then(() => { this.#refuse(came, error); }, () => { this.#refuse(came, withDoubt(error)); });
  }

  /** Sends a refusal with the path of its message, by which it also returns: a domain has to hear of its mail. */
  #refuse({ message, via }: Dropped, error: ProtoflyError): void {
    // The log of this runtime names the folder; a sender elsewhere doesn't need to know it.
    const told = error.code === 'E_STORE' ? new ProtoflyError('E_STORE', `the runtime of ${this.#address} can't write to its disk`, { uncertain: error.uncertain }) : error;
    const refusal = refuse(message, told, this.#address);
    this.#reply({ ...refusal, body: { ...refusal.body, ...via } });
  }

  #receipt(message: Request, via: ReceivedVia, flow: FlowMark | undefined): void {
    if (expectationOf(message) !== 'receipt') return;
    this.#receipts.add(this.#address, message, via, flow);
    // A domain that sent a copy by another path keeps it until it gets a receipt, too.
    const key = flow === undefined || this.#copies.size === 0 ? undefined : copyKey(message.from, flow);
    const copy = key === undefined ? undefined : this.#copies.get(key);
    if (key !== undefined) this.#copies.delete(key);
    if (copy !== undefined && copy.via.path !== via.path) this.#receipts.add(this.#address, copy.message, copy.via, flow);
  }
}

/** True if a runtime or a domain keeps the message until it is taken, and sends it again. */
const isKept = (message: Request): boolean => message.body?.store === true;

const withDoubt = ({ code, message, hint }: ProtoflyError): ProtoflyError =>
  new ProtoflyError(code, message, { uncertain: true, ...(hint === undefined ? {} : { hint }) });
