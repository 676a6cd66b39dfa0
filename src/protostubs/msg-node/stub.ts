import {
  asProtoflyError, child, encodeMessage, expectationOf, identityAddress, isResponse, isSuccess, partsOf, ProtoflyError, recipientsOf, refuse, respond, responseError,
  type Address, type Body, type Clock, type Message, type Backpressure, type Response, type StubBus, type StubConfig, type StubInstance, type StubRequest, type StubSandbox, type StubStatus, type Timer,
} from '../../protocol/index.js';
import { NodeSession, type Opened } from './session.js';
import { Silence } from './silence.js';
import type { Connection, ConnectionEvents, Item, Transport } from './transport.js';
import { SendQueue } from './send-queue.js';

export interface StubComponents {
  readonly bus: StubBus;
  readonly clock: Clock;
  readonly log: StubSandbox['log'];
  readonly transport: Transport;
}

export interface StubInit extends StubConfig {
  /** The stub's own address. */
  readonly address: Address;
  /** URL of the message node. */
  readonly url: string;
  /** True if closing the stub also gives up the session, because the runtime stops for good. @default false */
  readonly release?: unknown;
  /** Random source for the jitter of reconnections. @default Math.random */
  readonly random?: () => number;
}

const MIN_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 5000;
/** Growth of the pauses: after an outage, a node is found again within half of the outage's length. */
const BACKOFF_GROWTH = 1.5;
/** A connection that was live for less than this counts as failed, in milliseconds. */
const STEADY_MS = 5000;
/** Maximum time for opening the connection, and for opening the session, in milliseconds. */
const OPEN_MS = 10_000;
const CLOSE_MS = 1000;
/** Time for which a final refusal is remembered, in milliseconds. */
const REFUSED_MS = 5000;
/** Maximum time for the node's answer after a network change, in milliseconds. */
const PROBE_MS = 1000;

type State =
  | { readonly name: 'idle' }
  | { readonly name: 'opening'; readonly connection: Connection }
  | { readonly name: 'live'; readonly connection: Connection; readonly since: number }
  | { readonly name: 'backing-off'; readonly timer: Timer }
  | { readonly name: 'refused'; readonly error: ProtoflyError; readonly until: number }
  | { readonly name: 'closing'; readonly connection: Connection; readonly done: () => void }
  | { readonly name: 'closed' };

/** Keeps one session with a message node over successive connections, and carries messages in it. */
export class MessageNodeStub implements StubInstance {
  readonly #components: StubComponents;
  readonly #init: StubInit;
  readonly #session: NodeSession;
  readonly #waiting: SendQueue;
  readonly #silence: Silence;
  #state: State = { name: 'idle' };
  #failures = 0;
  #status: StubStatus | undefined;
  #timer: Timer | undefined;
  #held: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(components: StubComponents, init: StubInit) {
    this.#components = components;
    this.#init = init;
    this.#session = new NodeSession(init.runtimeURL);
    this.#waiting = new SendQueue(components.clock, { onRefused: (message, why) => { this.#refuse(message, new ProtoflyError('E_UNREACHABLE', why)); } });
    this.#silence = new Silence({ clock: components.clock, ask: () => { this.#ping(); }, onSilent: (why) => { if (this.#state.name === 'live') this.#dropped(this.#state.connection, why); } });
    components.bus.addListener(init.address, (message) => { this.#command(message); });
    components.bus.addListener('*', (message) => this.#carry(message));
    this.#report('created', { details: { probes: true } });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  // --- messages -------------------------------------------------------------------------------------------------

  #carry(message: Message): Backpressure {
    const item = { message, text: encodeMessage(message) };
    const state = this.#state;
    switch (state.name) {
      case 'live':
        // Queued messages go first.
        if (this.#waiting.isEmpty) return this.#send(state.connection, item);
        this.#waiting.add(item);
        return this.#held;
      case 'closing':
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
    this.#waiting.add(item);
    if (state.name === 'idle' || state.name === 'refused') this.#connect();
    return undefined;
  }

  #send(connection: Connection, item: Item): Backpressure {
    try {
      if (wantsAnswer(item.message)) this.#silence.sent();
      const backpressure = connection.send(item);
      if (backpressure !== undefined) this.#silence.heldUp(backpressure);
      return backpressure;
    } catch (thrown) {
      this.#refuse(item.message, new ProtoflyError('E_UNREACHABLE', `not sent: ${asProtoflyError(thrown).message}`));
      return undefined;
    }
  }

  /** Sends queued messages, as fast as the connection takes them. */
  #release(connection: Connection): void {
    while (this.#held === undefined && this.#isCurrent(connection)) {
      const item = this.#waiting.take();
      if (item === undefined) return;
      this.#held = this.#send(connection, item)?.then(() => {
        this.#held = undefined;
        if (this.#state.name === 'live') this.#release(this.#state.connection);
      });
    }
  }

  #refuse(message: Message, error: ProtoflyError): void {
    if (isResponse(message)) this.#components.log('info', `dropped a response to ${message.to}: ${error.message}`);
    else void this.#post(refuse(message, error));
  }

  /** Hands a message to the runtime. Failures are only logged: if the runtime is gone, so is its stub. */
  #post(message: Message | StubRequest, onResponse?: (response: Response) => void): Backpressure {
    const failed = (thrown: unknown): void => { this.#components.log('warn', `the runtime did not take a message: ${asProtoflyError(thrown).message}`); };
    try {
      return this.#components.bus.postMessage(message, onResponse)?.catch(failed);
    } catch (thrown) {
      failed(thrown);
      return undefined;
    }
  }

  /** Refuses messages that were sent but not confirmed, as uncertain: they may have arrived. */
  #abandon(why: string): void {
    for (const message of this.#components.transport.abandon()) this.#refuse(message, new ProtoflyError('E_UNREACHABLE', why, { uncertain: true }));
  }

  // --- the connection -------------------------------------------------------------------------------------------

  #isCurrent(connection: Connection | undefined): boolean {
    return connection !== undefined && 'connection' in this.#state && this.#state.connection === connection;
  }

  #connect(): void {
    let connection: Connection | undefined;
    const events: ConnectionEvents = {
      onOpen: () => { if (connection !== undefined && this.#isCurrent(connection)) this.#openSession(connection); },
      onMessage: (message) => {
        if (this.#isCurrent(connection)) {
          this.#silence.heard();
          if (this.#session.take(message)) return undefined;
        }
        const backpressure = this.#post(message);
        if (backpressure !== undefined) this.#silence.heldUp(backpressure);
        return backpressure;
      },
      onRefused: (message, error) => { this.#refuse(message, error); },
      ping: (onAnswer) => { connection?.say(this.#session.ping(onAnswer)); },
      onDropped: (why) => { if (connection !== undefined) this.#dropped(connection, why); },
    };
    try {
      connection = this.#components.transport.connect(events);
    } catch (thrown) {
      this.#backOff(`cannot connect: ${asProtoflyError(thrown).message}`);
      return;
    }
    this.#state = { name: 'opening', connection };
    if (this.#status !== 'disconnected') this.#report('in-progress');
    this.#watch(connection, 'the message node did not answer in time');
  }

  #openSession(connection: Connection): void {
    this.#watch(connection, 'the message node did not open a session in time');
    connection.say(this.#session.open((opened) => { this.#opened(connection, opened); }));
  }

  /** Has the runtime sign the challenge of the node, and opens the session with the answer. */
  #prove(connection: Connection, challenge: string): void {
    const { address, runtimeURL } = this.#init;
    void this.#post({ type: 'create', from: address, to: identityAddress(runtimeURL), body: { value: { challenge } } }, (response) => {
      if (!this.#isCurrent(connection)) return;
      const identity = response.body.value;
      if (!isSuccess(response) || typeof identity !== 'string') {
        this.#refused(connection, new ProtoflyError('E_UNAUTHENTICATED', `the runtime signs nothing for this stub: ${responseError(response).message}`));
        return;
      }
      connection.say(this.#session.open((opened) => {
        if (opened.how === 'challenged') this.#dropped(connection, 'the message node asks again for what was signed');
        else this.#opened(connection, opened);
      }, identity));
    });
  }

  #opened(connection: Connection, opened: Opened): void {
    switch (opened.how) {
      case 'challenged':
        this.#prove(connection, opened.challenge);
        return;
      case 'forgotten':
        this.#openSession(connection);
        return;
      case 'refused':
        if (opened.final) this.#refused(connection, opened.error);
        else this.#dropped(connection, opened.error.message);
        return;
      case 'new':
      case 'resumed':
        this.#timer?.cancel();
        this.#state = { name: 'live', connection, since: this.#components.clock.now() };
        // The runtime must know whether its subscriptions still exist before it gets messages.
        this.#report('live', { session: opened.how });
        connection.begin(opened.how, this.#session.token);
        this.#release(connection);
    }
  }

  #ping(): void {
    if (this.#state.name === 'live') this.#state.connection.say(this.#session.ping(() => { this.#silence.answered(); }));
  }

  /** Handles the runtime's commands: only `execute` `/probe`, after a network change. */
  #command(message: Message): void {
    if (isResponse(message)) return;
    if (message.type !== 'execute' || message.body?.resource !== '/probe') {
      void this.#post(refuse(message, new ProtoflyError('E_MESSAGE', 'this stub understands execute /probe only')));
      return;
    }
    this.#probe();
    void this.#post(respond(message, 200));
  }

  /** Checks that a live connection still reaches the node. Restarts a connection attempt, or a wait for the next one, at once. */
  #probe(): void {
    const state = this.#state;
    if (state.name === 'live') {
      this.#silence.probe(PROBE_MS);
      return;
    }
    if (state.name === 'opening') this.#forget(state.connection);
    else if (state.name === 'backing-off') state.timer.cancel();
    else return;
    this.#failures = 0;
    this.#connect();
  }

  #refused(connection: Connection, error: ProtoflyError): void {
    this.#forget(connection);
    this.#state = { name: 'refused', error, until: this.#components.clock.now() + REFUSED_MS };
    this.#report('failed', { description: error.message, details: { error: error.code, ...(error.hint === undefined ? {} : { hint: error.hint }) } });
    const why = `the message node refused the session: ${error.message}`;
    this.#abandon(why);
    this.#waiting.refuseAll(why);
  }

  #dropped(connection: Connection, why: string): void {
    if (!this.#isCurrent(connection)) return;
    if (this.#state.name === 'closing') {
      this.#state.done();
      return;
    }
    if (this.#state.name === 'live' && this.#components.clock.now() - this.#state.since >= STEADY_MS) this.#failures = 0;
    this.#forget(connection);
    this.#backOff(why);
  }

  #backOff(why: string): void {
    const longest = Math.min(MAX_BACKOFF_MS, MIN_BACKOFF_MS * BACKOFF_GROWTH ** Math.min(this.#failures, 20));
    this.#failures += 1;
    const pause = longest * (0.5 + 0.5 * (this.#init.random ?? Math.random)());
    this.#state = { name: 'backing-off', timer: this.#components.clock.setTimeout(() => { this.#connect(); }, pause) };
    if (this.#status !== 'disconnected') this.#report('disconnected', { description: why });
    this.#components.log('info', `not connected to ${this.#init.url}: ${why}; trying again in ${String(Math.round(pause))} ms`);
  }

  #forget(connection: Connection): void {
    this.#timer?.cancel();
    this.#silence.stop();
    this.#session.dropped();
    this.#waiting.putBack(connection.close());
  }

  #watch(connection: Connection, why: string): void {
    this.#timer?.cancel();
    this.#timer = this.#components.clock.setTimeout(() => { this.#dropped(connection, why); }, OPEN_MS);
  }

  async #close(): Promise<void> {
    const state = this.#state;
    if (state.name === 'backing-off') state.timer.cancel();
    if (state.name === 'live') await this.#takeLeave(state.connection);
    if ('connection' in state) this.#forget(state.connection);
    this.#state = { name: 'closed' };
    this.#abandon('the message-node stub has been closed');
    this.#waiting.refuseAll('the message-node stub has been closed');
    this.#report('disconnected', { description: 'closed by this runtime' });
  }

  /** Flushes sent messages, and gives the session up if `release` is set. Takes at most `CLOSE_MS`. */
  #takeLeave(connection: Connection): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#components.clock.setTimeout(resolve, CLOSE_MS);
      const done = (): void => { timer.cancel(); resolve(); };
      this.#state = { name: 'closing', connection, done };
      void connection.flush().then(() => {
        if (this.#init.release === true && this.#state.name === 'closing') connection.say(this.#session.close(done));
        else done();
      });
    });
  }

  // --- status ---------------------------------------------------------------------------------------------------

  #report(value: StubStatus, fields: Body = {}): void {
    this.#status = value;
    const { address } = this.#init;
    void this.#post({ type: 'update', from: address, to: child(address, 'status'), body: { ...fields, value } });
  }
}

/** True if a reachable message node leads to an answer: from the domain's functions, or because the sender expects one. */
const wantsAnswer = (message: Message): boolean =>
  !isResponse(message) && (expectationOf(message) !== undefined || recipientsOf(message).some((to) => partsOf(to).scheme === 'domain'));
