import { isUtf8 } from 'node:buffer';
import type { Socket } from 'node:net';
import type { RawData, WebSocket } from 'ws';
import { MAX_MESSAGE_BYTES, ProtoflyError, systemClock, type Message } from '../../protocol/index.js';
import { messageCodec } from '../codec.js';
import { Fifo } from '../../kit/fifo.js';
import { FrameLink, type FrameEvents, type FrameTransport } from '../frame-link.js';
import type { Codec, Link, LinkEnd, LinkInit } from '../link.js';
import { serverFrames } from './frames.js';
import { KeepAlive } from './keep-alive.js';

/**
 * Options for both `WebSocketServer` and `new WebSocket`. No compression: messages are small, so it costs more
 * time and memory than it saves.
 */
export const WEBSOCKET_OPTIONS = { maxPayload: MAX_MESSAGE_BYTES, perMessageDeflate: false } as const;
export const KEEP_ALIVE_MS = 30_000;
/**
 * Time without incoming bytes after a send, before a ping, and time for the pong to arrive, both in
 * milliseconds.
 */
const WAIT_MS = 3000;
const ANSWER_MS = 2000;

export interface WebsocketInit extends LinkInit {
  /**
   * Interval between pings, in milliseconds; a side that misses two pongs is gone. If nothing arrives after a
   * send, the ping comes sooner: after 3 s at most, and the side is gone 2 s later. 0 disables pings.
   * @default KEEP_ALIVE_MS
   */
  readonly keepAliveMs?: number;
  /**
   * On the server's side: the socket below (`request.socket`). With it, all frames of one turn leave in one
   * write. From then on nobody else may send on `ws`.
   */
  readonly serverSocket?: Socket;
}

const MAX_REASON_BYTES = 123;

/** Shortens a reason to fit into a close frame. */
const shortened = (reason: string): string => {
  let text = reason.toWellFormed().slice(0, MAX_REASON_BYTES);
  while (Buffer.byteLength(text) > MAX_REASON_BYTES) text = text.slice(0, -1).toWellFormed();
  return text;
};

const asBuffer = (data: RawData): Buffer => (Array.isArray(data) ? Buffer.concat(data) : Buffer.isBuffer(data) ? data : Buffer.from(data));

/** True for deliberate closes: normal, going away, no code, and the codes reserved for applications. */
const isOrderly = (code: number): boolean => code === 1000 || code === 1001 || code === 1005 || (code >= 3000 && code <= 4999);

class WebsocketTransport implements FrameTransport {
  readonly #ws: WebSocket;
  readonly #events: FrameEvents;
  readonly #socket: Socket | undefined;
  readonly #keepAlive: KeepAlive | undefined;
  readonly #frames = new Fifo<Buffer>();
  readonly #detach: () => void;

  constructor(ws: WebSocket, events: FrameEvents, init: WebsocketInit) {
    this.#ws = ws;
    this.#events = events;
    this.#socket = init.serverSocket;
    const maxFrame = init.maxFrame ?? MAX_MESSAGE_BYTES;
    let failure: string | undefined;
    const onMessage = (data: RawData, isBinary: boolean): void => {
      const frame = asBuffer(data);
      if (frame.length > maxFrame) events.onReject(new ProtoflyError('E_TOO_LARGE', `a frame of ${String(frame.length)} bytes is larger than ${String(maxFrame)}`));
      else if (isBinary && !isUtf8(frame)) events.onReject(new ProtoflyError('E_MESSAGE', 'a binary frame isn\'t text'));
      else {
        this.#frames.push(frame);
        events.onFrames();
      }
    };
    const onError = (error: Error): void => { failure ??= error.message; };
    const onClose = (code: number, reason: Buffer): void => {
      const text = reason.toString('utf8');
      const end: LinkEnd = isOrderly(code) && failure === undefined
        ? { how: 'closed', reason: text === '' ? 'closed by the other side' : text }
        : { how: 'gone', reason: failure ?? (text === '' ? `the connection broke (${String(code)})` : text) };
      if (end.how === 'closed') events.onEnd(end);
      events.onGone(end.reason);
    };
    ws.on('message', onMessage).on('error', onError).on('close', onClose);
    const { keepAliveMs = KEEP_ALIVE_MS, clock = systemClock } = init;
    const socket = init.serverSocket ?? (ws as WebSocket & { readonly _socket?: Socket })._socket;
    if (keepAliveMs > 0 && socket !== undefined) {
      const times = { everyMs: keepAliveMs, waitMs: Math.min(WAIT_MS, keepAliveMs), answerMs: Math.min(ANSWER_MS, 2 * keepAliveMs) };
      this.#keepAlive = new KeepAlive({ ws, socket, clock, onSilence: () => { events.onGone('no sign of life'); } }, times);
    }
    this.#detach = () => {
      this.#keepAlive?.stop();
      ws.off('message', onMessage).off('close', onClose);
    };
    ws.pause();
  }

  next(): string | undefined {
    return this.#frames.shift()?.toString('utf8');
  }

  resume(): void {
    if (this.#ws.isPaused) this.#ws.resume();
  }

  pause(): void {
    this.#ws.pause();
  }

  write(frames: readonly string[], done: () => void): void {
    if (this.#socket !== undefined && this.#ws.readyState === this.#ws.OPEN) {
      this.#socket.write(serverFrames(frames), done);
    } else {
      const last = frames.length - 1;
      frames.forEach((frame, index) => {
        if (index < last) this.#ws.send(frame);
        else this.#ws.send(frame, done);
      });
    }
    this.#keepAlive?.sent();
  }

  end(reason: string): void {
    // A WebSocket that has already closed emits no further event.
    if (this.#ws.readyState === this.#ws.CLOSED) queueMicrotask(() => { this.#events.onGone('closed'); });
    else this.#ws.close(1000, shortened(reason));
  }

  destroy(): void {
    this.#detach();
    this.#frames.clear();
    this.#ws.terminate();
  }
}

/**
 * Creates a link over an open WebSocket of either side, one message per text frame. The link owns the socket
 * from now on. Call this in the turn in which the socket opened, or its first frames are lost.
 * @throws ProtoflyError `E_USAGE` if the socket isn't open
 */
export const websocketLink = (ws: WebSocket, init: WebsocketInit = {}): Link<Message> => websocketFrameLink(ws, messageCodec, init);

/** The same for items of another type. */
const websocketFrameLink = <T>(ws: WebSocket, codec: Codec<T>, init: WebsocketInit = {}): Link<T> => {
  if (ws.readyState !== ws.OPEN) throw new ProtoflyError('E_USAGE', 'the WebSocket isn\'t open');
  return new FrameLink({ transport: (events) => new WebsocketTransport(ws, events, init), codec }, { name: 'websocket', ...init });
};
