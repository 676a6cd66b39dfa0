import {
  asProtoflyError, child, decodeToPassOn, encodeMessage, isResponse, MAX_MESSAGE_BYTES, ProtoflyError, refuse,
  type Address, type Body, type Clock, type Message, type StubBus, type StubConfig, type StubInstance, type StubSandbox, type StubStatus, type Timer, type WebSocketLike,
} from '../../protocol/index.js';
import { Session, type Opened } from './session.js';
import { Waiting } from './waiting.js';

type Pressure = void | Promise<void>;

export interface StubComponents {
  readonly bus: StubBus;
  readonly clock: Clock;
  readonly log: StubSandbox['log'];
  readonly WebSocket: typeof WebSocketLike;
}

export interface StubInit extends StubConfig {
  /** The stub's own. */
  readonly address: Address;
  /** Of the message node. */
  readonly url: string;
  /** Whether the session is given up when the stub is closed: the runtime stops for good. @default false */
  readonly release?: unknown;
  /** Spreads reconnections. @default Math.random */
  readonly random?: () => number;
}

const MIN_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5000;
/** A connection that was live for less than this counts as one that failed. */
const STEADY_MS = 5000;
/** How long opening may take, the WebSocket and the session each. */
const OPEN_MS = 10_000;
const CLOSE_MS = 1000;
/** After so long without a frame the message node is asked whether it is there. */
const QUIET_MS = 20_000;
/** How long a refusal that is final is believed. */
const REFUSED_MS = 5000;
/** Bytes in the socket's buffer above which the runtime is told to wait, and below which it may go on. */
const HIGH_WATER = 1024 * 1024;
const LOW_WATER = 256 * 1024;
const POLL_MS = 5;
/** What may wait here for a congested runtime, in UTF-16 units, where the socket can't be told to stop reading. */
const MAX_INBOX = 2 * MAX_MESSAGE_BYTES;

type State =
  | { readonly name: 'idle' }
  | { readonly name: 'opening'; readonly socket: WebSocketLike }
  | { readonly name: 'live'; readonly socket: WebSocketLike; readonly since: number }
  | { readonly name: 'backing-off'; readonly timer: Timer }
  | { readonly name: 'refused'; readonly error: ProtoflyError; readonly until: number }
  | { readonly name: 'closed' };

/** A socket that can be told to stop reading; the web standard has no such thing. */
interface Pausable {
  pause?(): void;
  resume?(): void;
}

export class MessageNodeStub implements StubInstance {
  readonly #components: StubComponents;
  readonly #init: StubInit;
  readonly #session: Session;
  readonly #waiting: Waiting;
  #state: State = { name: 'idle' };
  #failures = 0;
  #status: StubStatus | undefined;
  #timer: Timer | undefined;
  #lastHeard = 0;
  #answersPings = false;
  #relief: Promise<void> | undefined;
  #inbox: string[] = [];
  #inboxSize = 0;
  #delivering = false;
  #closing: Promise<void> | undefined;

  constructor(components: StubComponents, init: StubInit) {
    this.#components = components;
    this.#init = init;
    this.#session = new Session(init.runtimeURL);
    this.#waiting = new Waiting(components.clock, { onRefused: (message, why) => { this.#refuse(message, new ProtoflyError('E_UNREACHABLE', why)); } });
    components.bus.addListener('*', (message) => this.#carry(message));
    this.#report('created');
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  // --- out ------------------------------------------------------------------------------------------------------

  #carry(message: Message): Pressure {
    const text = encodeMessage(message);
    const state = this.#state;
    switch (state.name) {
      case 'live':
        // What waited goes first.
        if (this.#waiting.isEmpty) return this.#send(state.socket, message, text);
        this.#waiting.add(message, text);
        return this.#relief;
      case 'closed':
        this.#refuse(message, new ProtoflyError('E_UNREACHABLE', 'the message-node stub has been closed'));
        return undefined;
      case 'refused':
        if (this.#components.clock.now() < state.until) {
          this.#refuse(message, new ProtoflyError('E_UNREACHABLE', `the message node refused the session: ${state.error.message}`));
          return undefined;
        }
        break;
      case 'idle':
      case 'opening':
      case 'backing-off':
    }
    this.#waiting.add(message, text);
    if (state.name === 'idle' || state.name === 'refused') this.#connect();
    return undefined;
  }

  #send(socket: WebSocketLike, message: Message, text: string): Pressure {
    try {
      socket.send(text);
    } catch (thrown) {
      this.#refuse(message, new ProtoflyError('E_UNREACHABLE', `not sent: ${asProtoflyError(thrown).message}`));
      return undefined;
    }
    if (socket.bufferedAmount > HIGH_WATER) this.#relief ??= this.#relieved(socket);
    return this.#relief;
  }

  /** Settles when the socket's buffer is low again. The web standard has no event for that. */
  #relieved(socket: WebSocketLike): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.#isOpen(socket) && socket.bufferedAmount > LOW_WATER) {
          this.#components.clock.setTimeout(look, POLL_MS);
          return;
        }
        this.#relief = undefined;
        if (this.#state.name === 'live') this.#release(this.#state.socket);
        resolve();
      };
      this.#components.clock.setTimeout(look, POLL_MS);
    });
  }

  #release(socket: WebSocketLike): void {
    while (this.#relief === undefined && this.#isOpen(socket)) {
      const item = this.#waiting.take();
      if (item === undefined) return;
      void this.#send(socket, item.message, item.text);
    }
  }

  #refuse(message: Message, error: ProtoflyError): void {
    if (isResponse(message)) this.#components.log('info', `dropped a response to ${message.to}: ${error.message}`);
    else void this.#components.bus.postMessage(refuse(message, error));
  }

  // --- the connection -------------------------------------------------------------------------------------------

  #isOpen(socket: WebSocketLike): boolean {
    return (this.#state.name === 'live' || this.#state.name === 'opening') && this.#state.socket === socket;
  }

  #connect(): void {
    let socket: WebSocketLike;
    try {
      socket = new this.#components.WebSocket(this.#init.url);
    } catch (thrown) {
      this.#backOff(`cannot connect: ${asProtoflyError(thrown).message}`);
      return;
    }
    let trouble = '';
    this.#state = { name: 'opening', socket };
    if (this.#status !== 'disconnected') this.#report('in-progress');
    this.#watch(socket, OPEN_MS, 'the message node did not answer in time');
    socket.onopen = () => { if (this.#isOpen(socket)) this.#openSession(socket); };
    socket.onmessage = ({ data }) => { if (this.#isOpen(socket)) this.#take(socket, data); };
    socket.onerror = ({ message }) => { trouble = message ?? ''; };
    socket.onclose = ({ code, reason }) => { this.#dropped(socket, reason || trouble || `the connection ended (${String(code)})`); };
  }

  #openSession(socket: WebSocketLike): void {
    this.#watch(socket, OPEN_MS, 'the message node did not open a session in time');
    this.#say(socket, this.#session.open((opened) => { this.#opened(socket, opened); }));
  }

  #opened(socket: WebSocketLike, opened: Opened): void {
    switch (opened.how) {
      case 'forgotten':
        this.#openSession(socket);
        return;
      case 'refused':
        if (opened.final) this.#refused(socket, opened.error);
        else this.#dropped(socket, opened.error.message);
        return;
      case 'new':
      case 'resumed':
        this.#state = { name: 'live', socket, since: this.#components.clock.now() };
        this.#lastHeard = this.#components.clock.now();
        this.#answersPings = false;
        this.#listenForSilence(socket);
        // The runtime has to know whether its subscriptions are still there before it is given anything.
        this.#report('live', { session: opened.how });
        this.#release(socket);
    }
  }

  #refused(socket: WebSocketLike, error: ProtoflyError): void {
    this.#forget(socket);
    this.#state = { name: 'refused', error, until: this.#components.clock.now() + REFUSED_MS };
    this.#report('failed', { description: error.message });
    this.#waiting.refuseAll(`the message node refused the session: ${error.message}`);
  }

  #dropped(socket: WebSocketLike, why: string): void {
    if (!this.#isOpen(socket)) return;
    if (this.#state.name === 'live' && this.#components.clock.now() - this.#state.since >= STEADY_MS) this.#failures = 0;
    this.#forget(socket);
    this.#backOff(why);
  }

  #backOff(why: string): void {
    const longest = Math.min(MAX_BACKOFF_MS, MIN_BACKOFF_MS * 2 ** Math.min(this.#failures, 10));
    this.#failures += 1;
    const pause = longest * (0.5 + 0.5 * (this.#init.random ?? Math.random)());
    this.#state = { name: 'backing-off', timer: this.#components.clock.setTimeout(() => { this.#connect(); }, pause) };
    if (this.#status !== 'disconnected') this.#report('disconnected', { description: why });
    this.#components.log('info', `not connected to ${this.#init.url}: ${why}; trying again in ${String(Math.round(pause))} ms`);
  }

  #forget(socket: WebSocketLike): void {
    this.#timer?.cancel();
    this.#session.dropped();
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.onerror = () => undefined;
    try {
      socket.close();
    } catch (thrown) {
      this.#components.log('debug', `closing the WebSocket: ${asProtoflyError(thrown).message}`);
    }
  }

  #say(socket: WebSocketLike, text: string): void {
    try {
      socket.send(text);
    } catch (thrown) {
      this.#dropped(socket, asProtoflyError(thrown).message);
    }
  }

  #watch(socket: WebSocketLike, milliseconds: number, why: string): void {
    this.#timer?.cancel();
    this.#timer = this.#components.clock.setTimeout(() => { this.#dropped(socket, why); }, milliseconds);
  }

  /** The web standard's WebSocket shows no pongs: a node that is quiet for long is asked in a message, once it is known to answer. */
  #listenForSilence(socket: WebSocketLike): void {
    this.#timer?.cancel();
    this.#timer = this.#components.clock.setTimeout(() => {
      if (!this.#isOpen(socket)) return;
      const quiet = this.#components.clock.now() - this.#lastHeard;
      if (this.#answersPings && quiet >= 2 * QUIET_MS) {
        this.#dropped(socket, `the message node was silent for ${String(Math.round(quiet / 1000))} s`);
        return;
      }
      if (quiet >= QUIET_MS * 0.9) this.#say(socket, this.#session.ping(() => { this.#answersPings = true; }));
      if (this.#isOpen(socket)) this.#listenForSilence(socket);
    }, QUIET_MS);
  }

  async #close(): Promise<void> {
    const state = this.#state;
    if (state.name === 'backing-off') state.timer.cancel();
    if (state.name === 'live' && this.#init.release === true) {
      await new Promise<void>((resolve) => {
        const timer = this.#components.clock.setTimeout(resolve, CLOSE_MS);
        const done = (): void => { timer.cancel(); resolve(); };
        state.socket.onclose = done;
        try {
          state.socket.send(this.#session.close(done));
        } catch {
          done();
        }
      });
    }
    if (state.name === 'live' || state.name === 'opening') this.#forget(state.socket);
    this.#state = { name: 'closed' };
    this.#waiting.refuseAll('the message-node stub has been closed');
    this.#report('disconnected', { description: 'closed by this runtime' });
  }

  // --- in -------------------------------------------------------------------------------------------------------

  #take(socket: WebSocketLike, data: unknown): void {
    this.#lastHeard = this.#components.clock.now();
    if (typeof data !== 'string') {
      this.#components.log('info', 'dropped a frame: not text');
      return;
    }
    if (!this.#delivering) {
      const pressure = this.#deliver(data);
      if (pressure !== undefined) void this.#slowly(socket, pressure);
      return;
    }
    this.#inbox.push(data);
    this.#inboxSize += data.length;
    if (this.#inboxSize > MAX_INBOX) {
      this.#inbox.length = this.#inboxSize = 0;
      this.#dropped(socket, 'this runtime took too little for too long');
    }
  }

  async #slowly(socket: WebSocketLike & Pausable, pressure: Promise<void>): Promise<void> {
    this.#delivering = true;
    socket.pause?.();
    await pressure;
    for (let text = this.#inbox.shift(); text !== undefined; text = this.#inbox.shift()) {
      this.#inboxSize -= text.length;
      await this.#deliver(text);
    }
    this.#delivering = false;
    this.#lastHeard = this.#components.clock.now();
    socket.resume?.();
  }

  #deliver(text: string): Pressure {
    let message: Message;
    try {
      message = decodeToPassOn(text);
    } catch (thrown) {
      this.#components.log('info', `dropped a frame: ${asProtoflyError(thrown).message}`);
      return undefined;
    }
    return this.#session.take(message) ? undefined : this.#components.bus.postMessage(message);
  }

  // --- status ---------------------------------------------------------------------------------------------------

  #report(value: StubStatus, fields: Body = {}): void {
    this.#status = value;
    const { address } = this.#init;
    void this.#components.bus.postMessage({ type: 'update', from: address, to: child(address, 'status'), body: { ...fields, value } });
  }
}
