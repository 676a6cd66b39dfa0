import {
  isWithin, ProtoflyError, refuse, respond, asProtoflyError,
  type Address, type Body, type Clock, type IceServer, type Invitation, type Message, type Backpressure, type Request, type StubBus, type StubConfig, type StubInstance, type Syncher, type WebRtcEngine,
} from '../../protocol/index.js';
import { answerUnsent, commandOf, healthFields, iceServersIn, patienceOf, reportTo, type ConnectionEnd, type LiveDetails, type Log, type Report } from '../p2p/index.js';
import { Attempt } from './attempt.js';

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
  /** Of the first set-up. @default 1 */
  readonly generation?: number;
  /** @default 15_000 */
  readonly setupMs?: number;
}

/** How many messages wait for a connection that is being set up or replaced. */
const MAX_HELD = 1000;

type Settle = (end: ConnectionEnd | 'live') => void;

export class P2pRequesterStub implements StubInstance {
  readonly #components: RequesterComponents;
  readonly #init: RequesterInit;
  readonly #report: Report;
  #generation: number;
  #iceServers: readonly IceServer[];
  /** The connection that carries. */
  #current: Attempt | undefined;
  /** The one that is being set up, beside the current one or instead of it. */
  #next: Attempt | undefined;
  /** Settles when messages can go over the new connection. */
  #switching: Promise<void> | undefined;
  #held: Message[] = [];
  #wasLive = false;
  #inProgress = false;
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

  /** Starts a set-up, eagerly first. @param tell is told once: when it is live, or how it ended instead */
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
      onHealth: (report) => { if (attempt === this.#current) this.#report('live', { ...this.#fields, ...healthFields(report) }); },
      onEnd: (end) => {
        if (end.failed && attempt === this.#next && attempt.wasTooEager && this.#closing === undefined) {
          this.#components.log('info', `set up once more, less eagerly: ${end.reason}`);
          this.#attempt(settle, false);
          return;
        }
        this.#ended(attempt, end);
        settle(end);
      },
      onUnsent: (message, reason) => { this.#unsent(message, reason); },
    });
    this.#next = attempt;
    void attempt.start();
  }

  #invited(invitation: Invitation): void {
    if (!isWithin(invitation.source, this.#init.remote)) invitation.refuse(403, 'not the runtime that was asked');
    else if (this.#next?.take(invitation) !== true) invitation.refuse(409, 'no set-up waits for that');
    else if (this.#next !== undefined) this.#progress({ answered: true });
  }

  #live(attempt: Attempt, details: LiveDetails): void {
    this.#progress();
    this.#wasLive = true;
    this.#next = undefined;
    const replaced = this.#current;
    this.#current = attempt;
    this.#report('live', { ...this.#fields, details });
    if (replaced === undefined) this.#release();
    else if (replaced.isSuspect) {
      // Nothing arrives over it: what was sent there goes again, and needn't be waited for.
      void replaced.close('replaced by a newer connection');
      this.#release();
    } else {
      // What is under way on the old connection arrives before anything goes over the new one.
      this.#switching = replaced.close('replaced by a newer connection').then(() => {
        this.#switching = undefined;
        this.#release();
      });
    }
  }

  #ended(attempt: Attempt, { failed, orderly, reason }: ConnectionEnd): void {
    if (this.#next === attempt) this.#next = undefined;
    else if (this.#current === attempt) this.#current = undefined;
    else return;
    if (this.#current !== undefined) {
      this.#components.log('info', `generation not replaced: ${reason}`);
      return;
    }
    if (this.#next === undefined) for (const message of this.#held.splice(0)) this.#unsent(message, reason);
    // A connection that was live once and could not be re-established is what it was: disconnected.
    const { refusedWith } = attempt;
    this.#report(failed && !this.#wasLive ? 'failed' : 'disconnected', { ...this.#fields, description: reason, details: { orderly, ...(refusedWith === undefined ? {} : { refusedWith }) } });
  }

  /**
   * The first set-up is under way. Told once, and in any case before `live`: that the object has been made may be heard
   * later; told again with what is known besides.
   */
  #progress(details?: Readonly<Record<string, unknown>>): void {
    if (this.#wasLive || (this.#inProgress && details === undefined)) return;
    this.#inProgress = true;
    this.#report('in-progress', { ...this.#fields, ...(details === undefined ? {} : { details }) });
  }

  #release(): void {
    for (const message of this.#held.splice(0)) void this.#carry(message);
  }

  #carry(message: Message): Backpressure {
    if (this.#switching !== undefined || (this.#current === undefined && this.#next !== undefined)) {
      if (this.#held.length >= MAX_HELD) this.#unsent(message, 'too many messages wait for the connection');
      else this.#held.push(message);
      return this.#switching;
    }
    if (this.#current === undefined) {
      this.#unsent(message, 'there is no P2P connection');
      return undefined;
    }
    try {
      return this.#current.send(message);
    } catch (thrown) {
      this.#unsent(message, asProtoflyError(thrown).message);
      return undefined;
    }
  }

  #unsent(message: Message, reason: string): void {
    answerUnsent(this.#components.bus, this.#components.log, message, reason);
  }

  async #disconnect(reason: string): Promise<void> {
    await Promise.all([this.#next?.close(reason), this.#current?.close(reason)]);
  }

  /** What the runtime asks of the stub: `execute` `/disconnect`, `/reconnect` for a new generation, or `/probe` for a sign of life; `update` `/ice`. The rest is the syncher's. */
  #command(message: Message): void {
    this.#iceServers = iceServersIn(message, this.#init.runtimeURL) ?? this.#iceServers;
    const { bus } = this.#components;
    const command = commandOf(bus, this.#init.runtimeURL, message);
    if (command === undefined) return;
    const { resource, value } = command.body ?? {};
    if (resource === '/disconnect') void this.#disconnect('closed by this runtime').then(() => bus.postMessage(respond(command, 200)));
    else if (resource === '/reconnect') this.#reconnect(command);
    else if (resource === '/probe') {
      this.#current?.probe(patienceOf(value));
      void bus.postMessage(respond(command, 200));
    } else void bus.postMessage(refuse(command, new ProtoflyError('E_MESSAGE', 'this stub understands execute /disconnect, /reconnect and /probe only')));
  }

  #reconnect(request: Request): void {
    const { bus } = this.#components;
    if (this.#next !== undefined || this.#closing !== undefined) {
      void bus.postMessage(refuse(request, new ProtoflyError('E_CONFLICT', this.#closing === undefined ? 'a set-up is under way' : 'the stub is closing')));
      return;
    }
    this.#inProgress = false;
    if (!this.#wasLive) this.#report('created', this.#fields);
    this.#attempt((end) => {
      void bus.postMessage(end === 'live' ? respond(request, 200) : refuse(request, new ProtoflyError('E_UNREACHABLE', end.reason)));
    });
  }
}
