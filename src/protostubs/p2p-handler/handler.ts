import {
  child, parseConnection, respond, runtimeOf, asProtoflyError, ProtoflyError, refuse,
  type Address, type Clock, type ConnectionValue, type IceServer, type Invitation, type Message, type Response, type StubBus, type StubConfig, type StubInstance, type Syncher, type Timer,
  type WebRtcEngine,
} from '../../protocol/index.js';
import { answerUnsent, commandOf, iceServersIn, patienceOf, reportTo, type Log, type Report } from '../p2p/index.js';
import { HandledConnection } from './handled-connection.js';

export interface HandlerComponents {
  readonly bus: StubBus;
  readonly engine: WebRtcEngine;
  readonly syncher: Syncher;
  readonly clock: Clock;
  readonly log: Log;
}

export interface HandlerInit extends StubConfig {
  readonly url: Address;
  /** Maximum number of set-ups and connections. @default 1000 */
  readonly maxConnections?: number;
}

/** Maximum number of set-ups and connections with one other runtime. */
const MAX_PER_RUNTIME = 4;
/** Time for the runtime to object to a set-up, in milliseconds. */
const ANNOUNCE_MS = 1000;
/** Time after which this side closes an older connection when a newer one is live, in milliseconds. */
const REPLACED_MS = 1000;

/** Codes by which a runtime objects to a set-up. Any other code means that it doesn't know the request. */
const OBJECTIONS: ReadonlySet<number> = new Set([401, 403, 409, 429, 486, 503]);

/** The stub that answers set-ups of other runtimes and carries messages over their connections, each through a port. */
export class P2pHandlerStub implements StubInstance {
  readonly #components: HandlerComponents;
  readonly #init: HandlerInit;
  readonly #report: Report;
  readonly #connections = new Map<Address, HandledConnection>();
  readonly #timers = new Set<Timer>();
  #iceServers: readonly IceServer[];
  #counter = 0;
  #closing: Promise<void> | undefined;

  constructor(components: HandlerComponents, init: HandlerInit) {
    this.#components = components;
    this.#init = init;
    this.#iceServers = init.iceServers ?? [];
    const { bus, syncher, log } = components;
    this.#report = reportTo(bus, init.url);
    bus.addListener(init.url, (message) => { this.#command(message); });
    bus.addListener('*', (message) => { answerUnsent(bus, log, message, 'it names no connection of this handler'); });
    syncher.onInvitation((invitation) => {
      this.#invited(invitation).catch((thrown: unknown) => { log('warn', `set-up with ${invitation.source}: ${asProtoflyError(thrown).message}`); });
    });
    this.#report('live');
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      for (const timer of this.#timers) timer.cancel();
      await Promise.all([...this.#connections.values()].map((connection) => connection.close('the runtime ends its P2P connections')));
      await this.#components.syncher.close();
    })();
    return this.#closing;
  }

  async #invited(invitation: Invitation): Promise<void> {
    const { log } = this.#components;
    const verdict = this.#check(invitation);
    if ('code' in verdict) {
      log('info', `refused ${invitation.source}: ${verdict.reason}`);
      invitation.refuse(verdict.code, verdict.reason);
      return;
    }
    const { remote, offer } = verdict;
    const address = child(this.#init.url, String(++this.#counter));
    const connection = new HandledConnection(
      { ...this.#components, report: this.#report },
      {
        address, remote, offer, invitation,
        runtime: this.#init.runtimeURL,
        iceServers: this.#iceServers,
        onLive: () => { this.#replaceOlder(connection); },
        onEnd: () => { this.#connections.delete(address); },
      },
    );
    this.#connections.set(address, connection);
    const objection = await this.#announce(connection);
    if (objection === undefined) await connection.start();
    else connection.refuse(objection.code, objection.reason);
  }

  #check(invitation: Invitation): { readonly remote: Address; readonly offer: ConnectionValue } | { readonly code: number; readonly reason: string } {
    if (this.#closing !== undefined) return { code: 503, reason: 'the runtime ends its P2P connections' };
    const remote = runtimeOf(invitation.source);
    if (remote === undefined || remote === this.#init.runtimeURL) return { code: 400, reason: 'the invitation does not come from a stub of another runtime' };
    let offer: ConnectionValue;
    try {
      offer = parseConnection(invitation.value);
    } catch (thrown) {
      return { code: 400, reason: asProtoflyError(thrown).message };
    }
    if (offer.runtime !== '' && offer.runtime !== remote) return { code: 403, reason: 'the Connection object names another runtime than its reporter' };
    const others = [...this.#connections.values()];
    if (others.some((other) => other.source === invitation.url)) return { code: 409, reason: 'that set-up is under way already' };
    if (others.length >= (this.#init.maxConnections ?? 1000)) return { code: 503, reason: 'too many P2P connections' };
    if (others.filter((other) => other.remote === remote).length >= MAX_PER_RUNTIME) return { code: 429, reason: 'too many P2P connections with one runtime' };
    return { remote, offer };
  }

  /** Announces a set-up to the runtime. @returns the runtime's objection, if one comes in time */
  #announce(connection: HandledConnection): Promise<{ readonly code: number; readonly reason: string } | undefined> {
    const { bus, clock } = this.#components;
    return new Promise((resolve) => {
      const timer = clock.setTimeout(() => { resolve(undefined); }, ANNOUNCE_MS);
      const onResponse = ({ body: { code, description } }: Response): void => {
        if (code < 200) return;
        timer.cancel();
        resolve(OBJECTIONS.has(code) ? { code, reason: typeof description === 'string' ? description : 'the runtime does not want it' } : undefined);
      };
      const { url } = this.#init;
      void bus.postMessage({ type: 'create', from: url, to: child(url, 'status'), body: { value: 'created', ...connection.fields } }, onResponse);
    });
  }

  /** Closes older connections with the same runtime, after a pause. */
  #replaceOlder(newest: HandledConnection): void {
    const older = [...this.#connections.values()].filter((other) => other !== newest && other.remote === newest.remote && other.wasLive);
    if (older.length === 0) return;
    // The requester closes the older one itself when no message is in flight on it.
    const timer = this.#components.clock.setTimeout(() => {
      this.#timers.delete(timer);
      for (const connection of older) void connection.close('replaced by a newer connection');
    }, REPLACED_MS);
    this.#timers.add(timer);
  }

  /** Handles requests of the own runtime: `execute` `/disconnect` or `/probe` of the connection in `body.value`, `update` `/ice`. Others are the syncher's. */
  #command(message: Message): void {
    this.#iceServers = iceServersIn(message, this.#init.runtimeURL) ?? this.#iceServers;
    const { bus } = this.#components;
    const command = commandOf(bus, this.#init.runtimeURL, message);
    if (command === undefined) return;
    const { resource, value } = command.body ?? {};
    const wanted = (value as { readonly connection?: unknown } | undefined)?.connection;
    const connection = typeof wanted === 'string' ? this.#connections.get(wanted as Address) : undefined;
    if (resource !== '/disconnect' && resource !== '/probe') {
      void bus.postMessage(refuse(command, new ProtoflyError('E_MESSAGE', 'this stub understands execute /disconnect and /probe only')));
    } else if (connection === undefined) {
      void bus.postMessage(refuse(command, new ProtoflyError('E_NOT_FOUND', 'no such connection')));
    } else if (resource === '/probe') {
      connection.probe(patienceOf(value));
      void bus.postMessage(respond(command, 200));
    } else {
      void connection.close('closed by this runtime').then(() => bus.postMessage(respond(command, 200)));
    }
  }
}
