import { asProtoflyError, decodeToPassOn, MAX_MESSAGE_BYTES, parseJson, parseMessage, ProtoflyError, type Clock, type Message, type Backpressure, type StubSandbox } from '../../protocol/index.js';
import { EventLines, numberOf } from './event-lines.js';
import { wordsOf, type Deadline, type Exchange } from './exchange.js';
import type { Progress } from './progress.js';

/** The way of receiving messages: over an event stream, or by long polling. */
export type Receive = 'stream' | 'poll';

export interface ReceiverComponents {
  readonly exchange: Exchange;
  readonly clock: Clock;
  readonly log: StubSandbox['log'];
  readonly progress: Progress;
}

export interface ReceiverEvents {
  onMessage(message: Message): Backpressure;
  /**
   * A message of `size` UTF-16 code units was handed on and must be acknowledged. Not called when polling,
   * which acknowledges by itself.
   */
  onReceived(size: number): void;
  /** Polling works although the stream brought nothing. */
  onFallBack(): void;
  onFailed(why: string): void;
}

/** An event stream begins with a comment. If nothing comes within this time, an intermediary holds it back. In milliseconds. */
const FIRST_MS = 3000;
/** In milliseconds. A comment comes every 15 s. */
const SILENCE_MS = 30_000;
/** A stream that ended sooner counts as a failed connection; a longer one is reopened. In milliseconds. */
const STEADY_MS = 5000;
const POLL_S = 25;
const POLL_GRACE_MS = 10_000;
/** Minimum interval between polls while the node answers at once with nothing, in milliseconds. */
const EMPTY_MS = 1000;
/** More than a node sends without an acknowledgement, in bytes. */
const MAX_LIST_BYTES = 2 * MAX_MESSAGE_BYTES;
const REFUSALS_OF_STREAMS = [400, 404, 405, 406, 415, 501];

/** Receives messages in order, as fast as the runtime takes them. */
export class EventReceiver {
  readonly #components: ReceiverComponents;
  readonly #events: ReceiverEvents;
  readonly #receive: Receive | undefined;

  /** @param receive undefined: a stream, or polling if streams don't get through */
  constructor(components: ReceiverComponents, events: ReceiverEvents, { receive }: { readonly receive: Receive | undefined }) {
    this.#components = components;
    this.#events = events;
    this.#receive = receive;
  }

  /** Receives until the exchange is closed, or until `onFailed`. */
  start(): void {
    this.#run().catch((thrown: unknown) => {
      if (!this.#components.exchange.closed) this.#events.onFailed(asProtoflyError(thrown).message);
    });
  }

  async #run(): Promise<void> {
    const { exchange, progress } = this.#components;
    await progress.handing;
    if (this.#receive !== 'poll') {
      while (!exchange.closed && await this.#stream());
      if (exchange.closed) return;
    }
    if (this.#receive === 'stream') throw new ProtoflyError('E_UNREACHABLE', 'no event stream arrives from the message node');
    await this.#poll();
    if (this.#receive === undefined) this.#events.onFallBack();
    while (!exchange.closed) await this.#poll();
  }

  // --- event stream ---------------------------------------------------------------------------------------------

  /** @returns false if streams don't get through */
  async #stream(): Promise<boolean> {
    const { exchange, clock } = this.#components;
    const since = clock.now();
    let silent = true;
    try {
      const refused = await exchange.run(FIRST_MS, async (signal, deadline) => {
        const response = await this.#openStream(signal);
        if (response === undefined) return true;
        await this.#read(response, signal, deadline, () => { silent = false; });
        return false;
      });
      if (refused) return false;
    } catch (thrown) {
      if (silent && thrown instanceof ProtoflyError && thrown.code === 'E_TIMEOUT') return false;
      if (exchange.closed || clock.now() - since < STEADY_MS || (thrown instanceof ProtoflyError && thrown.code === 'E_TIMEOUT')) throw thrown;
      return true;
    }
    if (!exchange.closed && clock.now() - since < STEADY_MS) throw new ProtoflyError('E_UNREACHABLE', 'the message node ended the event stream');
    return true;
  }

  /** @returns undefined if the node has no event streams @throws ProtoflyError `E_UNREACHABLE` if the node refuses */
  async #openStream(signal: AbortSignal): Promise<ReadableStream<Uint8Array> | undefined> {
    const { exchange, progress } = this.#components;
    const after = String(progress.cursor);
    const response = await exchange.fetch({ method: 'GET', path: `/messages?after=${after}`, headers: { 'accept': 'text/event-stream', 'last-event-id': after } }, signal);
    const { status, body, headers } = response;
    if (status === 200 && body !== null && headers.get('content-type')?.startsWith('text/event-stream') === true) {
      progress.told = progress.cursor;
      return body;
    }
    await body?.cancel();
    if (status === 200 || REFUSALS_OF_STREAMS.includes(status)) return undefined;
    throw new ProtoflyError('E_UNREACHABLE', wordsOf({ status, text: '' }));
  }

  async #read(body: ReadableStream<Uint8Array>, signal: AbortSignal, deadline: Deadline, onSign: () => void): Promise<void> {
    const { progress } = this.#components;
    const reader = body.getReader();
    const decoder = new TextDecoder();
    const lines = new EventLines();
    for (;;) {
      const { done, value } = await reader.read();
      if (done || signal.aborted) return;
      onSign();
      deadline.set(SILENCE_MS);
      for (const { id, data } of lines.feed(decoder.decode(value, { stream: true }))) {
        progress.cursor = id ?? progress.cursor;
        const backpressure = this.#hand(() => decodeToPassOn(data));
        this.#events.onReceived(data.length);
        if (backpressure === undefined) continue;
        // No deadline while we don't read: then silence isn't the node's fault.
        deadline.set(undefined);
        await backpressure;
        if (signal.aborted) return;
        deadline.set(SILENCE_MS);
      }
    }
  }

  // --- long polling ---------------------------------------------------------------------------------------------

  async #poll(): Promise<void> {
    const { exchange, clock, progress } = this.#components;
    const since = clock.now();
    const after = progress.cursor;
    const answer = await exchange.ask({ method: 'GET', path: `/messages?wait=${String(POLL_S)}&after=${String(after)}` }, { timeoutMs: POLL_S * 1000 + POLL_GRACE_MS, maxBytes: MAX_LIST_BYTES });
    if (answer.status !== 200) throw new ProtoflyError('E_UNREACHABLE', wordsOf(answer));
    progress.told = after;
    const list = listOf(answer.text);
    const last = numberOf(answer.headers.get('protofly-cursor'));
    if (list.length === 0) {
      const rest = EMPTY_MS - (clock.now() - since);
      if (rest > 0) await exchange.pause(rest);
      return;
    }
    if (last === undefined || last < list.length) throw new ProtoflyError('E_MESSAGE', 'the message node gave messages without their numbers');
    // From here on these messages are ours, even if the connection ends.
    progress.cursor = last;
    progress.handing = this.#handAll(list);
    await progress.handing;
  }

  async #handAll(list: readonly unknown[]): Promise<void> {
    for (const item of list) await this.#hand(() => parseMessage(item));
  }

  #hand(decode: () => Message): Backpressure {
    let message: Message;
    try {
      message = decode();
    } catch (thrown) {
      this.#components.log('info', `dropped a message: ${asProtoflyError(thrown).message}`);
      return undefined;
    }
    return this.#events.onMessage(message);
  }
}

const listOf = (text: string): readonly unknown[] => {
  let list: unknown;
  try {
    // A list of many messages, each of which may have the most values.
    list = parseJson(text, Infinity);
  } catch (cause) {
    throw new ProtoflyError('E_MESSAGE', 'the message node answered with something that is not JSON', { cause });
  }
  if (!Array.isArray(list)) throw new ProtoflyError('E_MESSAGE', 'the message node answered with something that is not a list');
  return list;
};
