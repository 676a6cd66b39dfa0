import {
  isWithin, ProtoflyError, refuse, respond, asProtoflyError,
  type Address, type Body, type Clock, type IceServer, type Invitation, type Message, type Backpressure, type Request, type StubBus, type StubConfig, type StubInstance, type Syncher, type WebRtcEngine,
} from '../../protocol/index.js';
import { answerUnsent, commandOf, healthFields, iceServersIn, patienceOf, reportTo, type ConnectionEnd, type LiveDetails, type Log, type Report } from '../p2p/index.js';
import { Attempt } from './attempt.js';
import { currentOf, nextGenerations, nextOf, stageOf, type Generations, type GenerationsEvent } from './generations.js';

export interface RequesterComponents {
  readonly bus: StubBus;
  readonly engine: WebRtcEngine;
  readonly syncher: Syncher;
  readonly clock: Clock;
  readonly log: Log;
}

export interface RequesterInit extends StubConfig {
  readonly url: Address;
  readonly remote: Address;
  readonly handler: Address;
  /** Generation of the first set-up. @default 1 */
  readonly generation?: number;
  /** Timeout of a set-up, in milliseconds. @default 15_000 */
  readonly setupMs?: number;
}

/** Most messages that may wait for a connection that is being set up or replaced. */
const MAX_HELD = 1000;

type Settle = (end: ConnectionEnd | 'live') => void;

/** The stub that asks one other runtime for a connection, carries messages over it, and replaces it by newer generations. */
export class P2pRequesterStub implements StubInstance {
  readonly #components: RequesterComponents;
  readonly #init: RequesterInit;
  readonly #report: Report;
  #generation: number;
  #iceServers: readonly IceServer[];
  #state: Generations = { kind: 'down', stage: 'created', draining: undefined };
  /** Messages that wait for a connection. */
  #held: Message[] = [];
  #closing: Promise<void> | undefined;

  constructor(components: RequesterComponents, init: RequesterInit) {
    this.#components = components;
    this.#init = init;
    this.#generation = init.generation ?? 1;
    this.#iceServers = init.iceServers ?? [];
    const { bus, syncher } = components;
    this.#report = reportTo(bus, init.url);
    bus.addListener(init.url, (message) => { this.#command(message); });
    bus.addListener('*', (message) => this.#carry(message));
    syncher.onInvitation((invitation) => { this.#invited(invitation); });
    this.#report('created', this.#fields);
    this.#attempt(() => undefined);
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      await this.#disconnect('the runtime ends this connection');
      await this.#components.syncher.close();
    })();
    return this.#closing;
  }

  get #fields(): Body {
    return { resource: this.#init.remote, connection: this.#init.url };
  }

  /** Makes every change of state. @returns the state before */
  #step(event: GenerationsEvent): Generations {
    const before = this.#state;
    this.#state = nextGenerations(before, event);
    return before;
  }

  /** Starts a set-up, eagerly first. @param tell is called once: when it is live, or with its end */
  #attempt(tell: Settle, eager = true): void {
    let told = false;
    const settle: Settle = (end) => {
      if (!told) tell(end);
      told = true;
    };
    const attempt: Attempt = new Attempt(this.#components, {
      runtime: this.#init.runtimeURL,
      handler: this.#init.handler,
      generation: this.#generation++,
      iceServers: this.#iceServers,
      eager,
      ...(this.#init.setupMs === undefined ? {} : { setupMs: this.#init.setupMs }),
      deliver: (message) => this.#components.bus.postMessage(message),
      onInProgress: () => { this.#progress(); },
      onLive: (details) => {
        this.#live(attempt, details);
        settle('live');
      },
      onHealth: (report) => { if (attempt === currentOf(this.#state)) this.#report('live', { ...this.#fields, ...healthFields(report) }); },
      onEnd: (end) => {
        if (end.failed && attempt === nextOf(this.#state) && attempt.wasTooEager && this.#closing === undefined) {
          this.#components.log('info', `set up once more, less eagerly: ${end.reason}`);
          this.#attempt(settle, false);
          return;
        }
        this.#ended(attempt, end);
        settle(end);
      },
      onUnsent: (message, reason) => { this.#unsent(message, reason); },
    });
    this.#step({ kind: 'attempted', attempt });
    void attempt.start();
  }

  #invited(invitation: Invitation): void {
    if (!isWithin(invitation.source, this.#init.remote)) invitation.refuse(403, 'not the runtime that was asked');
    else if (nextOf(this.#state)?.take(invitation) !== true) invitation.refuse(409, 'no set-up waits for that');
    else if (nextOf(this.#state) !== undefined) this.#progress({ answered: true });
  }

  #live(attempt: Attempt, details: LiveDetails): void {
    this.#progress();
    const replaced = currentOf(this.#step({ kind: 'live', attempt }));
    this.#report('live', { ...this.#fields, details });
    // A suspect connection delivers nothing: its messages are sent again and needn't be waited for.
    if (replaced !== undefined && !replaced.isSuspect) this.#drain(replaced);
    else {
      void replaced?.close('replaced by a newer connection');
      this.#release();
    }
  }

  /** Closes a replaced connection. Messages in flight on it arrive before any goes over the new one. */
  #drain(replaced: Attempt): void {
    const draining = Promise.all([this.#state.draining, replaced.close('replaced by a newer connection')]).then(() => {
      this.#step({ kind: 'drained', draining });
      this.#release();
    });
    this.#step({ kind: 'draining', draining });
  }

  #ended(attempt: Attempt, { failed, orderly, reason }: ConnectionEnd): void {
    const before = this.#step({ kind: 'ended', attempt });
    if (this.#state === before) return;
    if (this.#state.kind === 'live') {
      this.#components.log('info', `generation not replaced: ${reason}`);
      return;
    }
    if (this.#state.kind === 'down') for (const message of this.#held.splice(0)) this.#unsent(message, reason);
    // A connection that was live before and can't be set up again is reported as disconnected, not as failed.
    const { refusedWith } = attempt;
    this.#report(failed && stageOf(this.#state) !== 'live' ? 'failed' : 'disconnected', { ...this.#fields, description: reason, details: { orderly, ...(refusedWith === undefined ? {} : { refusedWith }) } });
  }

  /** Reports the first set-up as in progress: once, always before `live`, and again for each new detail. */
  #progress(details?: Readonly<Record<string, unknown>>): void {
    const stage = stageOf(this.#state);
    if (stage === 'live' || (stage === 'in-progress' && details === undefined)) return;
    this.#step({ kind: 'reported', stage: 'in-progress' });
    this.#report('in-progress', { ...this.#fields, ...(details === undefined ? {} : { details }) });
  }

  #release(): void {
    for (const message of this.#held.splice(0)) void this.#carry(message);
  }

  #carry(message: Message): Backpressure {
    const state = this.#state;
    if (state.draining !== undefined || state.kind === 'settingUp') {
      if (this.#held.length >= MAX_HELD) this.#unsent(message, 'too many messages wait for the connection');
      else this.#held.push(message);
      return state.draining;
    }
    if (state.kind === 'down') {
      this.#unsent(message, 'there is no P2P connection');
      return undefined;
    }
    try {
      return state.current.send(message);
    } catch (thrown) {
      this.#unsent(message, asProtoflyError(thrown).message);
      return undefined;
    }
  }

  #unsent(message: Message, reason: string): void {
    answerUnsent(this.#components.bus, this.#components.log, message, reason);
  }

  async #disconnect(reason: string): Promise<void> {
    await Promise.all([nextOf(this.#state)?.close(reason), currentOf(this.#state)?.close(reason)]);
  }

  /** Handles requests of the own runtime: `execute` `/disconnect`, `/reconnect` for a new generation, or `/probe` for a sign of life; `update` `/ice`. Others are the syncher's. */
  #command(message: Message): void {
    this.#iceServers = iceServersIn(message, this.#init.runtimeURL) ?? this.#iceServers;
    const { bus } = this.#components;
    const command = commandOf(bus, this.#init.runtimeURL, message);
    if (command === undefined) return;
    const { resource, value } = command.body ?? {};
    if (resource === '/disconnect') void this.#disconnect('closed by this runtime').then(() => bus.postMessage(respond(command, 200)));
    else if (resource === '/reconnect') this.#reconnect(command);
    else if (resource === '/probe') {
      currentOf(this.#state)?.probe(patienceOf(value));
      void bus.postMessage(respond(command, 200));
    } else void bus.postMessage(refuse(command, new ProtoflyError('E_MESSAGE', 'this stub understands execute /disconnect, /reconnect and /probe only')));
  }

  #reconnect(request: Request): void {
    const { bus } = this.#components;
    if (nextOf(this.#state) !== undefined || this.#closing !== undefined) {
      void bus.postMessage(refuse(request, new ProtoflyError('E_CONFLICT', this.#closing === undefined ? 'a set-up is under way' : 'the stub is closing')));
      return;
    }
    this.#step({ kind: 'reported', stage: 'created' });
    if (stageOf(this.#state) !== 'live') this.#report('created', this.#fields);
    this.#attempt((end) => {
      void bus.postMessage(end === 'live' ? respond(request, 200) : refuse(request, new ProtoflyError('E_UNREACHABLE', end.reason)));
    });
  }
}
