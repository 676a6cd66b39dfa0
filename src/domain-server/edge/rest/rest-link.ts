import { checkedSize, closedError } from '../../../link/frame-link.js';
import { messageCodec } from '../../../link/index.js';
import { FrameReader } from '../../../link/frame-reader.js';
import { LINK_DEFAULTS, type Link, type LinkEnd, type LinkInit, type LinkStats } from '../../../link/link.js';
import {
  asProtoflyError, decodeMessage, isResponse, MAX_MESSAGE_BYTES, parseMessage, ProtoflyError, SESSION, type Clock, type Message, type Request, type Response, type Timer, type Backpressure,
} from '../../../protocol/index.js';
import type { SessionLink, Leftover } from '../../shard/message-node/session.js';
import { IdleWatch } from './idle.js';
import type { AcceptedBatch, Ledger } from './ledger.js';
import type { RestLimits } from './limits.js';
import { RestSendQueue, type SendQueueBudget, type Unacknowledged, type Reader } from './send-queue.js';
import { SerialQueue } from '../../../kit/serial-queue.js';

export interface RestLinkComponents {
  readonly clock: Clock;
  readonly ledger: Ledger;
  readonly budget: SendQueueBudget;
  readonly limits: RestLimits;
}

type State =
  | { readonly at: 'open' }
  /** A reader is receiving the rest. */
  | { readonly at: 'flushing'; readonly end: LinkEnd; readonly timer: Timer }
  | { readonly at: 'ended'; readonly end: LinkEnd };

/** The input that is being passed to the node. */
type Intake =
  | { readonly is: 'batch'; readonly items: readonly unknown[]; readonly batch: AcceptedBatch; readonly settle: () => void }
  | { readonly is: 'question'; readonly request: Request; asked: boolean; answer: Response | undefined; readonly settle: () => void };

/** Limit for senders that ignore backpressure. Others stay far below it. */
const OVERFLOW_FACTOR = 10;
const OVERFLOW_BYTES = LINK_DEFAULTS.maxBuffered;

/** The HTTP requests of a client as a link. It receives what the client POSTs; the client GETs what is sent. */
export class RestLink implements Link<Message>, SessionLink {
  readonly name: string;
  readonly closed: Promise<LinkEnd>;
  readonly holder: string | undefined;
  readonly stats: LinkStats = { sent: 0, received: 0, rejected: 0 };
  /** Its POSTs, one after the other. */
  readonly posts: SerialQueue<'post'>;
  readonly ledger: Ledger;
  /** Call with the size of a body before its messages are taken. @see LinkInit.admit */
  readonly admit: NonNullable<LinkInit['admit']>;
  readonly #limits: RestLimits;
  readonly #clock: Clock;
  readonly #onReject: NonNullable<LinkInit['onReject']>;
  readonly #inlet: FrameReader<Message>;
  readonly #queue: RestSendQueue;
  readonly #idle: IdleWatch;
  #intake: Intake | undefined;
  #counted = false;
  #state: State = { at: 'open' };
  #settle: (end: LinkEnd) => void = () => undefined;

  constructor({ clock, ledger, budget, limits }: RestLinkComponents, init: Required<Pick<LinkInit, 'name' | 'onReject' | 'admit'>> & { readonly holder: string | undefined }) {
    this.name = init.name;
    this.ledger = ledger;
    this.#limits = limits;
    this.#clock = clock;
    this.#onReject = init.onReject;
    this.admit = init.admit;
    this.holder = init.holder;
    this.closed = new Promise((resolve) => { this.#settle = resolve; });
    this.posts = new SerialQueue(limits.posts);
    this.#inlet = new FrameReader<Message>({
      pull: () => this.#pull(),
      onIdle: () => undefined,
      onBlocked: () => undefined,
      onReject: (error) => { this.#reject(error); },
    }, this.stats);
    this.#queue = new RestSendQueue({ ledger, budget }, limits);
    this.#idle = new IdleWatch({ clock, onIdle: () => { this.#end({ how: 'gone', reason: `no request for ${String(limits.idleMs)} ms` }); } }, limits.idleMs);
  }

  get link(): Link<Message> {
    return this;
  }

  get isOpen(): boolean {
    return this.#state.at === 'open';
  }

  readonly taken = (): number => this.#queue.progress;

  /** Stops the queue. @returns the messages not taken or acknowledged, in order, for the session's next link */
  readonly leftovers = (): readonly Leftover[] =>
    this.#queue.stop().flatMap(({ number, frame, size }) => {
      try {
        const message = decodeMessage(frame);
        this.ledger.keep(message, number);
        return [{ message, bytes: size, inDoubt: true }];
      } catch (thrown) {
        this.#reject(asProtoflyError(thrown));
        return [];
      }
    });

  send(message: Message): Backpressure {
    if (this.#state.at !== 'open') throw closedError(this.name, this.#state.end.reason);
    const { is, asked } = this.#intake?.is === 'question' ? this.#intake : { is: undefined, asked: false };
    if (is === 'question' && asked && isResponse(message) && message.from === SESSION) return this.#answered(message);
    const frame = messageCodec.encode(message);
    checkedSize(frame, MAX_MESSAGE_BYTES);
    if (this.#queue.bytes > OVERFLOW_BYTES || this.#queue.count >= this.#limits.unacknowledged * OVERFLOW_FACTOR) {
      const reason = 'too much waits to be taken';
      this.#end({ how: 'gone', reason });
      throw closedError(this.name, reason);
    }
    this.stats.sent += 1;
    return this.#queue.push({ number: this.ledger.numberFor(message), frame, size: Buffer.byteLength(frame) });
  }

  receive(receiver: (message: Message) => Backpressure): void {
    this.#inlet.receive(receiver);
    this.#inlet.pump();
  }

  async close(reason = 'closed here'): Promise<void> {
    if (this.#state.at === 'open') {
      const end: LinkEnd = { how: 'closed', reason };
      this.#inlet.stop();
      this.#idle.stop();
      const timer = this.#clock.setTimeout(() => { this.#end(end); }, this.#limits.lingerMs);
      this.#state = { at: 'flushing', end, timer };
      this.#queue.whenEmpty(() => { this.#end(end); });
    }
    await this.closed;
  }

  /** Marks the start of a request. @returns a function to call when it has ended */
  enter(): () => void {
    return this.#idle.enter();
  }

  /** Returns the progress of the POST with this number. */
  batchOf(number: number | undefined): AcceptedBatch {
    const first = !this.#counted;
    if (number !== undefined) this.#counted = true;
    return this.ledger.begin(number, first);
  }

  /** Passes items to the node, from `batch.taken` on. Resolves when all are taken, or the link has ended. */
  take(items: readonly unknown[], batch: AcceptedBatch): Promise<void> {
    return this.#give((settle) => ({ is: 'batch', items, batch, settle }));
  }

  /** Passes a request to the session manager. @returns its response; undefined if the link ended first */
  async ask(request: Request): Promise<Response | undefined> {
    let question: Intake | undefined;
    await this.#give((settle) => (question = { is: 'question', request, asked: false, answer: undefined, settle }));
    return question?.is === 'question' ? question.answer : undefined;
  }

  acknowledge(number: number): void {
    this.#queue.acknowledge(number);
  }

  read(reader: Reader): void {
    this.#queue.read(reader);
  }

  leave(reader: Reader): void {
    this.#queue.leave(reader);
  }

  /** @see RestSendQueue.unacknowledged */
  get unacknowledged(): Unacknowledged | undefined {
    return this.#queue.unacknowledged;
  }

  /** Ends the link, because its client is gone. */
  drop(reason: string): void {
    this.#end({ how: 'gone', reason });
  }

  async #give(intake: (settle: () => void) => Intake): Promise<void> {
    if (this.#state.at !== 'open') return;
    await new Promise<void>((resolve) => {
      this.#intake = intake(resolve);
      this.#inlet.pump();
    });
  }

  #pull(): Message | undefined {
    const intake = this.#intake;
    if (intake === undefined) return undefined;
    if (intake.is === 'question') {
      // The response arrives while this request is being handled. If none has arrived by the second call, there is
      // none.
      if (intake.asked) { this.#taken(intake); return undefined; }
      intake.asked = true;
      return intake.request;
    }
    const { items, batch } = intake;
    while (batch.taken < items.length && this.isOpen) {
      const item = items[batch.taken];
      batch.taken += 1;
      try {
        const message = parseMessage(item);
        if (message.to === SESSION && (message.type === 'open' || message.type === 're-open' || message.type === 'close')) {
          throw new ProtoflyError('E_MESSAGE', 'sessions are opened and closed with POST /rest/session');
        }
        batch.accepted += 1;
        return message;
      } catch (thrown) {
        this.#reject(asProtoflyError(thrown), headerOf(item));
      }
    }
    if (batch.taken === items.length) {
      batch.complete = true;
      this.#taken(intake);
    }
    return undefined;
  }

  #answered(response: Response): undefined {
    const intake = this.#intake;
    if (intake?.is !== 'question') return undefined;
    intake.answer = response;
    this.#taken(intake);
    return undefined;
  }

  #taken(intake: Intake): void {
    if (this.#intake === intake) this.#intake = undefined;
    intake.settle();
  }

  #reject(error: ProtoflyError, text?: string): void {
    this.stats.rejected += 1;
    try {
      this.#onReject(error, text);
    } catch (thrown) {
      this.#end({ how: 'gone', reason: `its owner failed: ${asProtoflyError(thrown).message}` });
    }
  }

  #end(end: LinkEnd): void {
    if (this.#state.at === 'ended') return;
    if (this.#state.at === 'flushing') this.#state.timer.cancel();
    this.#state = { at: 'ended', end };
    this.#inlet.stop();
    this.#idle.stop();
    this.#settle(end);
    const intake = this.#intake;
    this.#intake = undefined;
    intake?.settle();
    // The session takes the remaining messages on the end event. Anything left after that is dropped.
    setImmediate(() => { this.#queue.stop(); });
  }
}

/** Returns the header fields of an invalid item, as far as they are needed to answer it. */
const headerOf = (item: unknown): string | undefined => {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return undefined;
  const { id, type, from, to } = item as Record<string, unknown>;
  try {
    return JSON.stringify({ id, type, from, to });
  } catch {
    // The item is nested too deeply to be serialized.
    return undefined;
  }
};
