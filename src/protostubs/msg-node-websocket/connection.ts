import {
  asProtoflyError, decodeToPassOn, encodeMessage,
  type Clock, type Message, type Backpressure, type Request, type StubSandbox, type Timer, type WebSocketLike,
} from '../../protocol/index.js';
import type { Connection, ConnectionEvents, Item, Transport } from '../msg-node/index.js';
import { SocketReceiveQueue, type Pausable } from './receive-queue.js';

export interface WebSocketComponents {
  readonly clock: Clock;
  readonly log: StubSandbox['log'];
  readonly WebSocket: typeof WebSocketLike;
}

/** Time without a frame after which the message node gets a ping, in milliseconds. */
const QUIET_MS = 20_000;
/** Bytes in the socket's buffer above which backpressure begins, and at which it ends. */
const HIGH_WATER = 1024 * 1024;
const LOW_WATER = 256 * 1024;
const POLL_MS = 5;
export class WebSocketTransport implements Transport {
  readonly #components: WebSocketComponents;
  readonly #url: string;
  readonly #inbox = new SocketReceiveQueue();

  constructor(components: WebSocketComponents, { url }: { readonly url: string }) {
    this.#components = components;
    this.#url = url;
  }

  connect(events: ConnectionEvents): Connection {
    return new WebSocketConnection({ ...this.#components, inbox: this.#inbox, socket: new this.#components.WebSocket(this.#url) }, events);
  }

  /** Returns nothing: the content of a dropped socket's buffer is unknown. */
  abandon(): readonly Message[] {
    return [];
  }
}

interface ConnectionComponents extends Pick<WebSocketComponents, 'clock' | 'log'> {
  readonly inbox: SocketReceiveQueue;
  readonly socket: WebSocketLike & Pausable;
}

class WebSocketConnection implements Connection {
  readonly #components: ConnectionComponents;
  readonly #events: ConnectionEvents;
  readonly #socket: WebSocketLike & Pausable;
  #open = true;
  #silence: Timer | undefined;
  #lastHeard = 0;
  #answersPings = false;
  #relief: Promise<void> | undefined;

  constructor(components: ConnectionComponents, events: ConnectionEvents) {
    const { socket } = components;
    this.#components = components;
    this.#events = events;
    this.#socket = socket;
    let trouble = '';
    socket.onopen = () => { events.onOpen(); };
    socket.onmessage = ({ data }) => { this.#take(data); };
    socket.onerror = ({ message }) => { trouble = message ?? ''; };
    socket.onclose = ({ code, reason }) => { events.onDropped(reason || trouble || `the connection ended (${String(code)})`); };
  }

  say(request: Request): void {
    try {
      this.#socket.send(encodeMessage(request));
    } catch (thrown) {
      this.#events.onDropped(asProtoflyError(thrown).message);
    }
  }

  begin(): void {
    this.#lastHeard = this.#components.clock.now();
    this.#listenForSilence();
  }

  send({ text }: Item): Backpressure {
    this.#socket.send(text);
    if (this.#socket.bufferedAmount > HIGH_WATER) this.#relief ??= this.#relieved();
    return this.#relief;
  }

  /** Resolves at once: a socket sends its buffered frames also while it closes. */
  flush(): Promise<void> {
    return Promise.resolve();
  }

  close(): readonly Item[] {
    this.#open = false;
    this.#silence?.cancel();
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => undefined;
    try {
      socket.close();
    } catch (thrown) {
      this.#components.log('debug', `closing the WebSocket: ${asProtoflyError(thrown).message}`);
    }
    return [];
  }

  /** Settles when the socket's buffer is low again. The web standard has no event for that, so it polls. */
  #relieved(): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#open && this.#socket.bufferedAmount > LOW_WATER) {
          this.#components.clock.setTimeout(look, POLL_MS);
          return;
        }
        this.#relief = undefined;
        resolve();
      };
      this.#components.clock.setTimeout(look, POLL_MS);
    });
  }

  /**
   * Detects a silent node by a ping message, because the web standard's WebSocket shows no pongs. Silence
   * counts only after the node has answered a ping once.
   */
  #listenForSilence(): void {
    this.#silence = this.#components.clock.setTimeout(() => {
      const quiet = this.#components.clock.now() - this.#lastHeard;
      if (this.#answersPings && quiet >= 2 * QUIET_MS) {
        this.#events.onDropped(`the message node was silent for ${String(Math.round(quiet / 1000))} s`);
        return;
      }
      if (quiet >= QUIET_MS * 0.9) this.#events.ping(() => { this.#answersPings = true; });
      if (this.#open) this.#listenForSilence();
    }, QUIET_MS);
  }

  // --- in -------------------------------------------------------------------------------------------------------

  #take(data: unknown): void {
    this.#lastHeard = this.#components.clock.now();
    if (typeof data !== 'string') {
      this.#components.log('info', 'dropped a frame: not text');
      return;
    }
    const taken = this.#components.inbox.take(data, (text) => this.#deliver(text), this.#socket);
    if (!taken) this.#events.onDropped('this runtime took too little for too long');
  }

  #deliver(text: string): Backpressure {
    let message: Message;
    try {
      message = decodeToPassOn(text);
    } catch (thrown) {
      this.#components.log('info', `dropped a frame: ${asProtoflyError(thrown).message}`);
      return undefined;
    }
    const backpressure = this.#events.onMessage(message);
    return backpressure?.then(() => { this.#lastHeard = this.#components.clock.now(); });
  }
}
