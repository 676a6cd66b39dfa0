import type { MessageBus, Origin } from '../../bus/index.js';
import {
  asProtoflyError, child, isSuccess,
  type Address, type Clock, type RegistryRecord, type Request,
} from '../../protocol/index.js';
import type { Collection } from '../../store/index.js';
import type { Carrier, Hosts, Intake } from '../delivery/index.js';
import type { Ice } from '../ice/index.js';
import type { StubCatalogue } from '../stubs/loader/index.js';
import { Admission } from './admission.js';
import { connecting } from './connecting.js';
import { ConnectionList, type ConnectionChange } from './connection-list.js';
import type { MessageNodes } from '../nodes/message-nodes.js';
import { Invitations, type Guests } from './invitations.js';
import type { SetUpSignatures } from './set-up-signatures.js';
import { HandledConnections } from './handled-connections.js';
import { P2pHandler, type P2pOffer } from './p2p-handler.js';
import type { P2pConnection } from './p2p-connection.js';
import { Probation } from './probation.js';
import type { Protostub, Protostubs } from '../stubs/protostubs.js';
import { Reconnector } from './reconnector.js';
import { Requesters } from './requesters.js';

export interface ConnectionsComponents {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly stubs: Protostubs;
  readonly nodes: MessageNodes;
  /** The ICE servers for set-ups. */
  readonly ice: { readonly current: Ice; ready(): Promise<Ice> };
  /** The last set-up's generation by remote runtime. */
  readonly generations: Collection<number>;
  readonly catalogue: Pick<StubCatalogue, 'describe'>;
  readonly hosts: Hosts;
  readonly intake: Intake;
  /** Checks the signatures of those who set up a connection with this runtime. */
  readonly signatures: SetUpSignatures;
  readonly guests: Guests;
  /** Returns a random number for the jitter of retries. */
  readonly random: () => number;
  /** Called when the handler stub has come or gone. */
  readonly onHandler: () => void;
  /** Called when the P2P offer of this runtime is known, or has changed. */
  readonly onOffer: () => void;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface ConnectionsInit {
  readonly runtime: Address;
  readonly domain: string;
  readonly enabled: boolean;
}

/** Timeout of a set-up, in milliseconds. */
const SETUP_MS = 15_000;
/** Time for the other side to show that it is there after a change of network, in milliseconds. */
const PROBE_MS = 500;
/** Timeout of a ping, in milliseconds. A connection may be giving way to its next generation. */
const PING_MS = 5000;

/**
 * The P2P connections of this runtime, by its handler stub and its requester stubs. Decides when to set one up, and which
 * of two competing set-ups continues.
 */
export class Connections {
  readonly #components: ConnectionsComponents;
  readonly #init: ConnectionsInit;
  readonly #list: ConnectionList;
  readonly #repairs: Reconnector;
  readonly #probation: Probation;
  readonly #handler: P2pHandler;
  readonly #handled: HandledConnections;
  readonly #requesters: Requesters;
  readonly #admission: Admission;
  readonly #invitations: Invitations;

  constructor(components: ConnectionsComponents, init: ConnectionsInit) {
    this.#components = components;
    this.#init = init;
    const { clock, log, intake, signatures } = components;
    this.#admission = new Admission(components);
    this.#handler = new P2pHandler({
      ...components,
      admit: (message, stub) => this.#handled.admit(message, stub),
      onStatus: (event) => { this.#handled.report(event); },
      onPort: (address, port) => { this.#handled.port(address, port); },
      onChange: components.onHandler,
      onEnd: (reason) => { this.#handlerEnded(reason); },
    }, init);
    this.#list = new ConnectionList({ clock, log, intake, onOver: (connection) => { this.#over(connection); } });
    this.#invitations = new Invitations({ clock, list: this.#list, signatures, guests: components.guests }, { handler: this.#handler.address });
    this.#handled = new HandledConnections({
      ...components, list: this.#list, isInvited: (runtime) => this.#invitations.has(runtime), admission: this.#admission, handler: () => components.stubs.get(this.#handler.address),
    }, { runtime: init.runtime, handler: this.#handler.address });
    this.#probation = new Probation({ clock, list: this.#list, ping: (remoteRuntime, path) => this.#ping(remoteRuntime, path) });
    this.#requesters = new Requesters({
      ...components,
      list: this.#list,
      offered: () => this.#handler.offered(),
      admit: (message, connection) => this.#admission.admit(message, connection),
    }, { runtime: init.runtime, enabled: init.enabled, setupMs: SETUP_MS });
    this.#repairs = new Reconnector({
      clock, log,
      random: components.random,
      renew: (connection) => this.#requesters.renew(connection),
      setUp: (record) => this.#requesters.setUp(record),
      isBusy: (remoteRuntime) => this.busy(remoteRuntime),
    });
    this.#list.onChange((change) => {
      if (change.now === 'live') this.#requesters.succeeded(change.connection);
      this.#repairs.changed(change);
      this.#probation.changed(change);
    });
  }

  /** The running handler stub, if there is one. */
  get handler(): Protostub | undefined {
    return this.#handler.stub;
  }

  get handlerAddress(): Address | undefined {
    return this.#init.enabled ? this.#handler.address : undefined;
  }

  /** The P2P offer of this runtime; undefined until it is known. */
  get offer(): P2pOffer | undefined {
    return this.#handler.offer;
  }

  /** The reason why there is no handler. */
  get trouble(): string | undefined {
    return this.#handler.trouble;
  }

  /** True if P2P is switched on and the domain has stubs for it. */
  get expectsHandler(): boolean {
    return this.#init.enabled && !this.#handler.isMissing;
  }

  /** Tries to deploy a missing handler at once, because something has changed. */
  retry(): void {
    this.start();
  }

  /** Checks an invitation to a P2P stub: its sender must be who it says. @throws ProtoflyError as `Invitations.check` */
  checkSetUp(message: Request, to: Address, origin: Origin): Promise<void> {
    return this.#invitations.check(message, to, origin);
  }

  /** Number of messages over P2P that were turned away. */
  get refused(): number {
    return this.#admission.refused;
  }

  list(): P2pConnection[] {
    return this.#list.all();
  }

  /** Returns the live connection to a runtime, unless it is suspect. */
  live(remoteRuntime: Address): P2pConnection | undefined {
    return this.#list.live(remoteRuntime);
  }

  /** Returns a live connection that is suspect, for use when there is no other route. */
  suspect(remoteRuntime: Address): P2pConnection | undefined {
    return this.#list.suspect(remoteRuntime);
  }

  /** Registers a listener for changes of state. @returns a function that removes it */
  onChange(listener: (change: ConnectionChange) => void): () => void {
    return this.#list.onChange(listener);
  }

  /** Deploys the handler stub, so that others can connect. */
  start(): void {
    if (this.#init.enabled) this.#handler.start();
  }

  /** Sets up a connection to the runtime of a record in the background, unless one exists or has just failed. */
  want(record: RegistryRecord): void {
    const { log } = this.#components;
    this.#repairs.wanted(record.runtime);
    if (!this.#repairs.mayTry(record.runtime)) return;
    if (this.busy(record.runtime)) return;
    this.#requesters.setUp(record).catch((thrown: unknown) => { log('info', `no P2P connection to ${record.runtime}: ${asProtoflyError(thrown).message}`); });
  }

  /**
   * Notes that a carrier brought no receipt although another did. A P2P connection then carries no messages until the
   * other side answers over it.
   */
  acknowledgesNothing(carrier: Carrier): void {
    const connection = this.#list.get(carrier.address);
    if (connection === carrier) this.#probation.acknowledgesNothing(connection);
  }

  /** Notes that a message takes another route because no connection carries. */
  missed(remoteRuntime: Address): void {
    this.#probation.missed(remoteRuntime);
  }

  /** True if a connection to that runtime exists or is being set up. */
  busy(remoteRuntime: Address): boolean {
    return this.#requesters.isSettingUp(remoteRuntime) || this.#list.current(remoteRuntime).length > 0;
  }

  /**
   * Returns a live connection to the runtime of a record, and sets it up if necessary.
   * @throws ProtoflyError `E_REFUSED`, `E_UNREACHABLE`, `E_TIMEOUT`, `E_ABORTED`
   */
  async connect(record: RegistryRecord, onChange: (change: ConnectionChange) => void, signal?: AbortSignal): Promise<P2pConnection> {
    const { runtime: remoteRuntime } = record;
    const live = this.#list.live(remoteRuntime);
    this.#repairs.asked(remoteRuntime, this.#list.suspect(remoteRuntime));
    this.#probation.missed(remoteRuntime);
    if (live !== undefined) return live;
    return connecting({
      clock: this.#components.clock,
      isBusy: (other) => this.busy(other),
      setUp: (wanted) => this.#requesters.setUp(wanted),
      onChange: (listener) => this.onChange(listener),
    }, { record, onChange, setupMs: SETUP_MS, signal });
  }

  /** Ends the connections to a runtime in order. @returns the connections that hadn't ended */
  async disconnect(remoteRuntime: Address): Promise<P2pConnection[]> {
    const connections = this.#list.current(remoteRuntime);
    this.#repairs.ended(remoteRuntime);
    await Promise.all(connections.map(async (connection) => {
      const { stub, address, isShared } = connection;
      if (isShared) { this.#list.lost(connection, 'ended by this runtime'); return; }
      const from = child(this.#init.runtime, 'registry');
      await this.#components.bus.ask({ type: 'execute', from, to: stub, body: { resource: '/disconnect', value: { connection: address } } });
    }));
    return connections;
  }

  /** Ends the connections to a runtime that its user has removed. @param runtimeId the last part of its URL */
  dismiss(runtimeId: string): void {
    const gone = new Set(this.list().map(({ remoteRuntime }) => remoteRuntime).filter((remote) => remote.endsWith(`/${runtimeId}`)));
    for (const remote of gone) {
      this.disconnect(remote).catch((thrown: unknown) => { this.#components.log('warn', `the connection to ${remote}, which its user has removed, doesn't end: ${asProtoflyError(thrown).message}`); });
    }
  }

  /**
   * Handles a change of this machine's network. Probes all live connections, and renews those whose own address is gone
   * at once.
   */
  networkChanged(gone: ReadonlySet<string>): void {
    for (const connection of this.list()) {
      if (connection.status !== 'live') continue;
      this.#probe(connection);
      if (gone.has(localAddress(connection) ?? '')) this.#repairs.hurry(connection);
    }
  }

  close(): void {
    this.#repairs.close();
    this.#handler.close();
    this.#handled.close();
  }

  async #ping(to: Address, path: 'p2p' | 'msg-node'): Promise<boolean> {
    const ping = { type: 'ping', from: child(this.#init.runtime, 'registry'), to, body: { p2p: path === 'p2p' ? 'require' : false } } as const;
    const response = await this.#components.bus.request(ping, { timeoutMs: PING_MS });
    return isSuccess(response) && response.body['path'] === path;
  }

  #probe({ stub, address, isShared }: P2pConnection): void {
    // A stub without addresses for its connections knows no commands.
    if (isShared) return;
    const { bus, log } = this.#components;
    const from = child(this.#init.runtime, 'registry');
    bus.ask({ type: 'execute', from, to: stub, body: { resource: '/probe', value: { connection: address, patienceMs: PROBE_MS } } })
      .catch((thrown: unknown) => { log('debug', `${address} was not probed: ${asProtoflyError(thrown).message}`); });
  }

  /** Cleans up after a connection that has failed or was lost. */
  #over(connection: P2pConnection): void {
    if (connection.role === 'requester') this.#requesters.dismiss(connection);
    else void connection.link?.close('ended');
    connection.verified.clear();
    this.#handled.over(connection);
  }

  #handlerEnded(reason: string): void {
    for (const connection of this.list()) if (connection.role === 'handler') this.#list.lost(connection, reason);
    this.#components.onHandler();
  }
}

/** Returns this machine's address in the candidate pair of a connection. */
const localAddress = ({ details }: P2pConnection): string | undefined => {
  const { local } = (details['pair'] ?? {}) as { readonly local?: unknown };
  return typeof local === 'string' ? /^(?:\[([^\]]+)\]|([^:]+)):\d+/.exec(local)?.slice(1).find((part) => part !== undefined) : undefined;
};
