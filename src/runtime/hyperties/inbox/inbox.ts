import { LruMap } from '../../../kit/lru-map.js';
import {
  asProtoflyError, expectationOf, flowOf, idsOf, isProvisional, isResponse, ProtoflyError, refuse, withIds, type Address, type Clock, type FlowMark, type Message, type MessageId, type Request, type Response, type ReceivedVia, needsAnswer,
} from '../../../protocol/index.js';
import type { Collection } from '../../../store/index.js';
import { Incoming, sizeOf, type Receipts } from '../../delivery/index.js';
import { PendingRequests, type Deliver } from './askers.js';
import { Consumer, type Program } from './consumer.js';
import { Checkpoints, type KeptCheckpoint } from './positions.js';
import { Questions } from './questions.js';
import { Queue, type Dropped, type Stored, type Taken } from './queue.js';

export interface Attachment {
  readonly program: Program;
  /** The first `count` messages delivered to this program have been taken. */
  taken(count: number): void;
  /** What this program hasn't taken, and no other has, waits for the next. Idempotent. */
  detach(): void;
}

export interface InboxComponents {
  readonly stored: Collection<Stored>;
  /** How far senders' messages have been taken. @default that isn't kept: a later life takes again what is sent again */
  readonly positions?: Collection<KeptCheckpoint>;
  readonly clock: Clock;
  readonly receipts: Receipts;
  /** Sends a refusal on its way. */
  readonly reply: (response: Response) => void;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface InboxInit {
  readonly address: Address;
  /** How much waits on disk while no program is attached. @default 1000 */
  readonly maxMessages?: number;
  /** @default 16 MiB */
  readonly maxBytes?: number;
  /** How many messages beyond that may wait for room, their senders stalled. @default 4096 */
  readonly maxStalled?: number;
  /** How long they may, in milliseconds. @default 30_000 */
  readonly stallMs?: number;
  /** How long what has been taken may be known in memory only, in milliseconds. @default 50 */
  readonly positionMs?: number;
  /** How many flows of one sender are remembered. @default 1024 */
  readonly maxStreams?: number;
}

/** A numbered message as it came. */
interface Came extends Dropped {
  readonly flow: FlowMark;
}

/** How many copies of messages that are not taken yet are remembered. */
const MAX_COPIES = 4096;

const copyKey = (from: Address, { epoch, seq }: FlowMark): string => `${from} ${epoch} ${String(seq)}`;

/**
 * What arrives for one hyperty: goes to the programs that are attached to it, at the pace of the slowest; waits on
 * disk, bounded, while there is none. A receipt is sent when a message has been taken by every attached program, or
 * is safely on disk.
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
  /** Copies that came before their first was taken: the last of each. */
  readonly #copies = new LruMap<string, Came>(MAX_COPIES);
  readonly #questions: Questions;

  constructor({ stored, positions, clock, receipts, reply, log }: InboxComponents, init: InboxInit) {
    this.#reply = reply;
    this.#log = log;
    this.#address = init.address;
    this.#receipts = receipts;
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

  /** Where the responses to a request that a program sent as this hyperty are to go. */
  expectResponse(id: MessageId, deliver: Deliver): void {
    this.#askers.asks(id, deliver);
  }

  /** A program that may have sent as this hyperty has gone. */
  forgetAsker(deliver: Deliver): void {
    this.#askers.forget(deliver);
  }

  /**
   * Takes an answer to a request. Like a receipt it tells how the request came in.
   * @param by the program that answers, if it is attached
   * @returns what goes to the sender now; undefined while another program may give a better answer, and after the answer
   */
  answered(response: Response, by?: Program): Response | undefined {
    return this.#questions.answer(response, by);
  }

  /** @throws ProtoflyError `E_UNAVAILABLE`: it is to be answered and no program is attached; `E_TOO_MANY` */
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
        // It passes: its sender sends the message again.
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

  /** Forgets everything that waits, without an answer to anybody. @returns how many messages that were */
  async discard(): Promise<number> {
    const [messages] = await Promise.all([this.#queue.discard(), this.#positions?.discard()]);
    return messages;
  }

  /** Idempotent. What it writes last is on its way to the store. */
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
    // Kept messages of one flow stay in order: behind one that was turned away there is no room for others.
    let isBlocked = false;
    for (const came of items) {
      if (isBlocked && isKept(came.message)) this.#refuse(came, this.#queue.full());
      else if (!this.#admit(came.message, came.via, came.flow)) isBlocked = true;
    }
  }

  /** @returns whether there was room */
  #admit(message: Request, via: ReceivedVia, flow?: FlowMark): boolean {
    if (this.#queue.isFull) {
      this.#turnAway({ message, via, flow }, this.#queue.full());
      return false;
    }
    this.#queue.add(message, via, flow);
    if (this.#attached.size === 0) this.#queue.keepOn();
    else for (const consumer of this.#attached) consumer.pump();
    return true;
  }

  /** Ends the items that every attached program has taken; those below `upTo` in any case. */
  #settle(upTo?: number): void {
    const done = upTo ?? Math.min(...[...this.#attached].map(({ taken }) => taken));
    if (!Number.isFinite(done) || done <= this.#queue.first) return;
    const taken = this.#queue.take(done);
    for (const { item: { message, via, flow }, was } of taken) if (message !== undefined && was === 'here') this.#taken(message, via, flow);
    if (taken.some(({ erased }) => erased !== undefined)) this.#takenFromDisk(taken.filter(({ erased }) => erased !== undefined));
    for (const consumer of this.#attached) consumer.catchUp();
  }

  /**
   * Messages go from the disk in one step with the news that they have been taken. Those that were still on their way there
   * have had no receipt: it follows that step, or a later life would hand them on again.
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

  /** By a program, or by the disk. */
  #taken(message: Request, via: ReceivedVia, flow: FlowMark | undefined): void {
    if (flow !== undefined) {
      this.#incoming.taken(message.from, flow);
      this.#positions?.note();
    }
    this.#receipt(message, via, flow);
  }

  /**
   * There is no room for a message. A kept one comes again until it is taken, and those behind it in its flow have to wait
   * for it: they go back as well. For others a refusal is the end.
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

  /** The refusal leaves when it is on disk: a later life must not take a copy of a message whose sender was told that it won't be. */
  #refuseForGood(came: Dropped, error: ProtoflyError): void {
    if (this.#positions === undefined) this.#refuse(came, error);
    else this.#positions.writeSoon().then(() => { this.#refuse(came, error); }, () => { this.#refuse(came, withDoubt(error)); });
  }

  /** Like a receipt a refusal says how its message came, and goes back that way: a domain has to hear of its mail. */
  #refuse({ message, via }: Dropped, error: ProtoflyError): void {
    const refusal = refuse(message, error, this.#address);
    this.#reply({ ...refusal, body: { ...refusal.body, ...via } });
  }

  #receipt(message: Request, via: ReceivedVia, flow: FlowMark | undefined): void {
    if (expectationOf(message) !== 'receipt') return;
    this.#receipts.add(this.#address, message, via, flow);
    // A domain that brought a copy meanwhile keeps it until it hears of it, too.
    const key = flow === undefined || this.#copies.size === 0 ? undefined : copyKey(message.from, flow);
    const copy = key === undefined ? undefined : this.#copies.get(key);
    if (key !== undefined) this.#copies.delete(key);
    if (copy !== undefined && copy.via.path !== via.path) this.#receipts.add(this.#address, copy.message, copy.via, flow);
  }
}

/** Whether a runtime or a domain keeps a message until it is taken, and sends it again. */
const isKept = (message: Request): boolean => message.body?.store === true;

const withDoubt = ({ code, message, hint }: ProtoflyError): ProtoflyError =>
  new ProtoflyError(code, message, { uncertain: true, ...(hint === undefined ? {} : { hint }) });
