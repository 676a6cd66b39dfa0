import { DrainSignal } from '../../kit/drain-signal.js';
import { MAX_MESSAGE_BYTES, ProtoflyError, type Clock, type Message, type Backpressure, type Timer } from '../../protocol/index.js';
import type { Item } from '../msg-node/index.js';
import { wordsOf, type Answer, type Exchange } from './exchange.js';
import type { Batch, Progress } from './progress.js';

export interface SenderComponents {
  readonly exchange: Exchange;
  readonly clock: Clock;
  readonly progress: Progress;
}

export interface SenderEvents {
  /** The node refused a message. */
  onRefused(message: Message, error: ProtoflyError): void;
  /** Posting can't continue. */
  onFailed(why: string): void;
}

const BATCH_MESSAGES = 1000;
/** In UTF-16 code units. A larger message is posted alone. */
const BATCH_SIZE = 1024 * 1024;
/** Queue limits for backpressure: above the high ones it begins, at the low ones it ends. Sizes are in UTF-16 code units. */
const HIGH_MESSAGES = 2000;
const HIGH_SIZE = 1024 * 1024;
const LOW_MESSAGES = 500;
const LOW_SIZE = 256 * 1024;
/** Queue limits above which messages are refused, for a runtime that ignores backpressure. */
const MAX_MESSAGES = 20_000;
const MAX_SIZE = 2 * MAX_MESSAGE_BYTES;
/** In milliseconds. The message node may delay its answer for about a minute while receivers are slow. */
const POST_MS = 75_000;
/** Received messages are acknowledged after this many, this much, or this long. */
const ACKNOWLEDGE_MESSAGES = 250;
const ACKNOWLEDGE_SIZE = 2 * 1024 * 1024;
const ACKNOWLEDGE_MS = 500;
const ACKNOWLEDGE_TIMEOUT_MS = 10_000;
/** Maximum number of acknowledgements without an answer. */
const MAX_ACKNOWLEDGING = 4;
const ANSWER_BYTES = 64 * 1024;

const isSuccess = ({ status }: Answer): boolean => status >= 200 && status < 300;

/** Posts messages in batches, one at a time. Acknowledges received messages, along with a batch if there is one. */
export class BatchSender {
  readonly #components: SenderComponents;
  readonly #events: SenderEvents;
  #queue: Item[] = [];
  #size = 0;
  #state: 'waiting' | 'idle' | 'posting' | 'closed' = 'waiting';
  readonly #drained = new DrainSignal();
  #onIdle: (() => void)[] = [];
  #received = { messages: 0, size: 0 };
  #acknowledging = 0;
  #timer: Timer | undefined;

  constructor(components: SenderComponents, events: SenderEvents) {
    this.#components = components;
    this.#events = events;
  }

  /**
   * Starts posting, because the session is open. A batch in flight when the last connection ended goes first,
   * unless a new session makes its fate uncertain; then it is refused.
   */
  begin(how: 'new' | 'resumed'): void {
    const { progress } = this.#components;
    const { batch } = progress;
    if (how === 'new' && batch?.uncertain === true) {
      progress.batch = undefined;
      for (const { message } of batch.items) this.#events.onRefused(message, new ProtoflyError('E_UNREACHABLE', 'the session was lost before the message node had confirmed it', { uncertain: true }));
    }
    if (this.#state === 'waiting') this.#state = 'idle';
    this.#wake();
  }

  /** @throws ProtoflyError `E_TOO_MANY` */
  send(item: Item): Backpressure {
    if (this.#queue.length >= MAX_MESSAGES || (this.#size > 0 && this.#size + item.text.length > MAX_SIZE)) throw new ProtoflyError('E_TOO_MANY', 'the send queue for the message node is full');
    this.#queue.push(item);
    this.#size += item.text.length;
    this.#wake();
    return this.#queue.length > HIGH_MESSAGES || this.#size > HIGH_SIZE ? this.#drained.wait() : this.#drained.pending;
  }

  /** Records a received message, so that it will be acknowledged. */
  received(size: number): void {
    const received = this.#received;
    received.messages += 1;
    received.size += size;
    if (this.#isDue()) this.#acknowledge();
    else this.#timer ??= this.#components.clock.setTimeout(() => { this.#acknowledge(); }, ACKNOWLEDGE_MS);
  }

  /** Settles when nothing is left to post, or when posting has ended for good. */
  flush(): Promise<void> {
    return new Promise((resolve) => {
      this.#onIdle.push(resolve);
      if (this.#state === 'closed' || this.#state === 'idle') this.#settle();
    });
  }

  /** @returns the items that weren't posted, without the current batch: that keeps its number in the progress */
  close(): readonly Item[] {
    this.#state = 'closed';
    this.#timer?.cancel();
    this.#relieve();
    this.#settle();
    return this.#queue.splice(0);
  }

  // --- batches --------------------------------------------------------------------------------------------------

  /** Starts at the end of the turn, so that messages sent in one turn are posted together. */
  #wake(): void {
    if (this.#state !== 'idle') return;
    this.#state = 'posting';
    void Promise.resolve().then(() => this.#postAll()).catch((thrown: unknown) => {
      if (this.#state !== 'closed') this.#events.onFailed(thrown instanceof ProtoflyError ? thrown.message : String(thrown));
    });
  }

  async #postAll(): Promise<void> {
    const { progress } = this.#components;
    while (this.#state === 'posting') {
      progress.batch ??= this.#gather();
      if (progress.batch === undefined) {
        this.#state = 'idle';
        this.#settle();
        return;
      }
      await this.#post(progress.batch);
    }
  }

  #gather(): Batch | undefined {
    let count = 0;
    let size = 0;
    for (const { text } of this.#queue) {
      if (count === BATCH_MESSAGES || (count > 0 && size + text.length > BATCH_SIZE)) break;
      count += 1;
      size += text.length;
    }
    if (count === 0) return undefined;
    const items = this.#queue.splice(0, count);
    this.#size -= size;
    if (this.#queue.length <= LOW_MESSAGES && this.#size <= LOW_SIZE) this.#relieve();
    return { items, uncertain: false };
  }

  /** Posts a batch. If the answer is lost, posts it once more under its number; then the connection counts as lost. */
  async #post({ items, uncertain }: Batch): Promise<void> {
    const { progress } = this.#components;
    progress.batch = { items, uncertain: true };
    let answer: Answer;
    try {
      answer = await this.#postOnce(items);
    } catch (thrown) {
      if (uncertain || this.#state === 'closed' || (thrown instanceof ProtoflyError && thrown.code === 'E_TIMEOUT')) throw thrown;
      return;
    }
    if (this.#state === 'closed') return;
    if (isSuccess(answer)) {
      progress.batches += 1;
      progress.batch = undefined;
      return;
    }
    // Only the node's own refusal proves that the batch wasn't taken. With any other answer that is uncertain.
    progress.batch = { items, uncertain: uncertain || answer.status >= 500 };
    if (answer.status !== 400 && answer.status !== 413) throw new ProtoflyError('E_UNREACHABLE', wordsOf(answer));
    progress.batch = undefined;
    this.#refused(items, answer);
  }

  async #postOnce(items: readonly Item[]): Promise<Answer> {
    const { progress, exchange } = this.#components;
    const [first] = items;
    const body = items.length === 1 && first !== undefined ? first.text : `[${items.map(({ text }) => text).join(',')}]`;
    const cursor = this.#notice();
    const headers = { 'protofly-batch': String(progress.batches + 1) };
    const answer = await exchange.ask({ method: 'POST', path: `/messages?after=${String(cursor)}`, headers, body }, { timeoutMs: POST_MS, maxBytes: ANSWER_BYTES });
    if (isSuccess(answer)) progress.told = Math.max(progress.told, cursor);
    return answer;
  }

  /** Handles a refused batch: it was malformed or too large. Splits it, so that one bad message doesn't cost the others. */
  #refused(items: readonly Item[], answer: Answer): void {
    const [first] = items;
    if (items.length === 1 && first !== undefined) {
      this.#events.onRefused(first.message, new ProtoflyError(answer.status === 413 ? 'E_TOO_LARGE' : 'E_MESSAGE', wordsOf(answer)));
      return;
    }
    const half = Math.ceil(items.length / 2);
    this.#components.progress.batch = { items: items.slice(0, half), uncertain: false };
    const rest = items.slice(half);
    this.#queue = [...rest, ...this.#queue];
    for (const { text } of rest) this.#size += text.length;
  }

  // --- acknowledgements -----------------------------------------------------------------------------------------

  /** Returns the cursor to acknowledge with the next request. */
  #notice(): number {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#received = { messages: 0, size: 0 };
    return this.#components.progress.cursor;
  }

  /**
   * Acknowledges with an empty list. It doesn't wait for the answers to batches or earlier acknowledgements.
   * Those may be delayed until receivers have acknowledged, and this stub may be one of them.
   */
  #acknowledge(): void {
    const { exchange, progress } = this.#components;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#state === 'closed' || this.#acknowledging === MAX_ACKNOWLEDGING || progress.told === progress.cursor) return;
    this.#acknowledging += 1;
    const cursor = this.#notice();
    exchange.ask({ method: 'POST', path: `/messages?after=${String(cursor)}`, body: '[]' }, { timeoutMs: ACKNOWLEDGE_TIMEOUT_MS, maxBytes: ANSWER_BYTES }).then(
      (answer) => { this.#acknowledged(cursor, answer); },
      () => { this.#acknowledged(cursor, undefined); },
    );
  }

  /** @param answer undefined if there was none; the receiver finds out whether the node is gone */
  #acknowledged(cursor: number, answer: Answer | undefined): void {
    const { clock, progress } = this.#components;
    this.#acknowledging -= 1;
    if (this.#state === 'closed') return;
    if (answer?.status === 401) this.#events.onFailed(wordsOf(answer));
    else if (answer !== undefined && isSuccess(answer)) progress.told = Math.max(progress.told, cursor);
    else this.#timer ??= clock.setTimeout(() => { this.#acknowledge(); }, ACKNOWLEDGE_MS);
    if (this.#isDue()) this.#acknowledge();
  }

  #isDue(): boolean {
    return this.#received.messages >= ACKNOWLEDGE_MESSAGES || this.#received.size >= ACKNOWLEDGE_SIZE;
  }

  #relieve(): void {
    this.#drained.release();
  }

  #settle(): void {
    for (const resolve of this.#onIdle.splice(0)) resolve();
  }
}
