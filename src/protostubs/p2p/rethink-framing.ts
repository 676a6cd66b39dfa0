import { encodeMessage, MAX_MESSAGE_BYTES, parseJson, parseMessage, ProtoflyError, type Body, type Message, type Backpressure } from '../../protocol/index.js';
import { QueueBackpressure, MAX_QUEUED, type Framing, type FramingComponents, type FramingStats, type Stopped } from './framing.js';

/** Size of a content piece, in UTF-16 code units (in bytes for binary content). */
const PIECE = 16_384;
/** Length of a uuid in characters, and in bytes as the UTF-16LE prefix of a binary piece. */
const UUID_UNITS = 12;
const UUID_BYTES = UUID_UNITS * 2;
const MAX_OPEN = 16;

interface Waiting {
  readonly message: Message;
  readonly frames: string[];
  readonly size: number;
}

interface Open {
  readonly message: Record<string, unknown>;
  readonly size: number;
  readonly pieces: (string | Uint8Array)[];
  received: number;
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);

/** Returns the content of a message, if it is text. */
const contentOf = (message: Message): { readonly value: Record<string, unknown>; readonly content: string } | undefined => {
  const value = message.body?.value;
  return isObject(value) && typeof value['content'] === 'string' ? { value, content: value['content'] } : undefined;
};

const base64 = (pieces: readonly Uint8Array[]): string => {
  let text = '';
  for (const piece of pieces) for (let at = 0; at < piece.length; at += 4096) text += String.fromCharCode(...piece.subarray(at, at + 4096));
  return btoa(text);
};

/**
 * The framing `rethink/1`: text frames `{"uuid", "data": {"uuid", "sendingTime", "dataSize", "textMessage"}}`.
 * Content that is too large for one frame follows in pieces. There are no credits, no pings and no goodbye; an
 * overloaded receiver ends the connection. Binary content is handed on as base64, with `encoding: "base64"`
 * beside it.
 */
export class RethinkFraming implements Framing {
  readonly stats: FramingStats = { sent: 0, received: 0, rejected: 0 };
  readonly #components: FramingComponents;
  readonly #backpressure = new QueueBackpressure();
  readonly #waiting: Waiting[] = [];
  readonly #open = new Map<string, Open>();
  readonly #inbox: Message[] = [];
  #queued = 0;
  #held = 0;
  #busy = false;
  #blocked = false;
  #counter = 0;
  #state: 'open' | 'finishing' | 'stopped' = 'open';
  #delivering = Promise.resolve();
  #onEmpty: (() => void) | undefined;
  #finished: Promise<boolean> | undefined;

  constructor(components: FramingComponents) {
    this.#components = components;
  }

  send(message: Message): Backpressure {
    if (this.#state !== 'open') throw new ProtoflyError('E_LINK_CLOSED', 'the connection is closing');
    const frames = this.#encode(message);
    const size = frames.reduce((sum, frame) => sum + frame.length, 0);
    if (this.#queued + size > MAX_QUEUED) throw new ProtoflyError('E_TOO_MANY', 'the send queue of this connection is full');
    this.stats.sent += 1;
    this.#queued += size;
    this.#waiting.push({ message, frames, size });
    this.#flush();
    return this.#backpressure.check(this.#queued);
  }

  receive(frame: string | Uint8Array): void {
    if (this.#state === 'stopped') return;
    try {
      if (typeof frame === 'string') this.#takeText(frame);
      else this.#takePiece(new TextDecoder('utf-16le').decode(frame.subarray(0, UUID_BYTES)), frame.slice(UUID_BYTES));
    } catch (thrown) {
      this.stats.rejected += 1;
      this.#components.log('info', `dropped a message: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
    }
    // There are no credits, so an overloaded receiver must end the connection.
    if (this.#held > 2 * MAX_MESSAGE_BYTES) this.#components.onEnd('the other side sends more than can be taken');
  }

  drained(): void {
    this.#blocked = false;
    this.#flush();
  }

  /** Does nothing: there are no pings. Only WebRTC can end such a connection. */
  probe(): void {
    this.#components.log('debug', 'rethink/1 cannot ask for a sign of life');
  }

  finish(lingerMs: number): Promise<boolean> {
    this.#finished ??= new Promise((resolve) => {
      this.#state = this.#state === 'open' ? 'finishing' : this.#state;
      const timer = this.#components.clock.setTimeout(() => { resolve(false); }, lingerMs);
      this.#onEmpty = () => {
        // This framing has no acknowledgements: give the last frames a moment to arrive.
        timer.cancel();
        this.#components.clock.setTimeout(() => { resolve(false); }, Math.min(lingerMs, 200));
      };
      this.#flush();
    });
    return this.#finished;
  }

  stop(): Stopped {
    this.#state = 'stopped';
    this.#open.clear();
    this.#backpressure.release(0);
    return { unsent: this.#waiting.splice(0).map(({ message }) => message), delivered: this.#delivering };
  }

  #encode(message: Message): string[] {
    const uuid = (++this.#counter).toString(36).padStart(UUID_UNITS, '0').slice(-UUID_UNITS);
    const head = (dataSize: number, text: string): string =>
      `{"uuid":"${uuid}","data":{"uuid":"${uuid}","sendingTime":${String(this.#components.clock.date())},"dataSize":${String(dataSize)},"textMessage":${text}}}`;
    const text = encodeMessage(message);
    if (text.length > MAX_MESSAGE_BYTES) throw new ProtoflyError('E_TOO_LARGE', `the message is larger than ${String(MAX_MESSAGE_BYTES)} bytes`);
    const part = text.length > PIECE ? contentOf(message) : undefined;
    if (part === undefined) {
      const frame = head(0, text);
      if (new TextEncoder().encode(frame).length > this.#components.maxFrame) {
        throw new ProtoflyError('E_TOO_LARGE', 'the other side takes large messages only as text content');
      }
      return [frame];
    }
    const { content: _content, ...value } = part.value;
    const frames = [head(part.content.length, encodeMessage({ ...message, body: { ...message.body, value } } as Message))];
    for (let at = 0; at < part.content.length; at += PIECE) frames.push(JSON.stringify({ uuid, data: part.content.slice(at, at + PIECE) }));
    return frames;
  }

  #flush(): void {
    while (!this.#blocked && this.#state !== 'stopped') {
      const [first] = this.#waiting;
      const frame = first?.frames.shift();
      if (first === undefined || frame === undefined) {
        if (first === undefined) break;
        this.#waiting.shift();
        this.#queued -= first.size;
        continue;
      }
      try {
        this.#blocked = !this.#components.sendFrame(frame);
      } catch (thrown) {
        this.#blocked = true;
        this.#components.log('debug', `a frame was not sent: ${String(thrown)}`);
      }
    }
    this.#backpressure.release(this.#queued);
    if (this.#waiting.length === 0) this.#onEmpty?.();
  }

  #takeText(frame: string): void {
    const outer: unknown = parseJson(frame);
    if (!isObject(outer) || typeof outer['uuid'] !== 'string') throw new ProtoflyError('E_MESSAGE', 'not a frame');
    const { uuid, data } = outer as { uuid: string; data: unknown };
    if (typeof data === 'string') {
      this.#takePiece(uuid, data);
      return;
    }
    if (!isObject(data)) throw new ProtoflyError('E_MESSAGE', 'not a frame');
    const { dataSize = 0, textMessage } = data;
    const message: unknown = typeof textMessage === 'string' ? parseJson(textMessage) : textMessage;
    if (typeof dataSize !== 'number' || !(dataSize >= 0) || dataSize > MAX_MESSAGE_BYTES || !isObject(message)) throw new ProtoflyError('E_MESSAGE', 'not a message');
    if (dataSize === 0) {
      this.#arrived(message, frame.length);
      return;
    }
    if (this.#open.size >= MAX_OPEN) throw new ProtoflyError('E_TOO_MANY', 'too many messages in pieces');
    this.#open.set(uuid, { message, size: dataSize, pieces: [], received: 0 });
  }

  #takePiece(uuid: string, piece: string | Uint8Array): void {
    const open = this.#open.get(uuid);
    if (open === undefined) throw new ProtoflyError('E_MESSAGE', 'a piece of an unknown message');
    open.pieces.push(piece);
    open.received += piece.length;
    this.#held += piece.length;
    if (open.received < open.size && piece.length > 0) return;
    this.#open.delete(uuid);
    this.#held -= open.received;
    if (open.received !== open.size) throw new ProtoflyError('E_MESSAGE', 'the pieces don\'t match the announced size');
    const texts = open.pieces.filter((item) => typeof item === 'string');
    const content = texts.length > 0
      ? { content: texts.join('') }
      : { content: base64(open.pieces.filter((item) => typeof item !== 'string')), encoding: 'base64' };
    const body: Body = isObject(open.message['body']) ? open.message['body'] : {};
    this.#arrived({ ...open.message, body: { ...body, value: { ...(isObject(body.value) ? body.value : {}), ...content } } }, open.received);
  }

  #arrived(frame: Record<string, unknown>, size: number): void {
    const message = parseMessage(frame);
    this.stats.received += 1;
    if (this.#busy) {
      this.#inbox.push(message);
      this.#held += size;
      return;
    }
    const backpressure = this.#components.deliver(message);
    if (backpressure !== undefined) this.#delivering = this.#slowly(backpressure);
  }

  async #slowly(backpressure: Promise<void>): Promise<void> {
    this.#busy = true;
    await backpressure;
    for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) await this.#components.deliver(next);
    this.#busy = false;
    this.#held = [...this.#open.values()].reduce((sum, { received }) => sum + received, 0);
  }
}
