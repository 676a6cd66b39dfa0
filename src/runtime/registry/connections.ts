import type { MessageBus, Origin } from '../../bus/index.js';
import type { Link } from '../../link/index.js';
import {
  asProtoflyError, child, isWithin, ProtoflyError,
  type Address, type Clock, type Message, type Pressure, type RegistryRecord,
} from '../../protocol/index.js';
import type { Collection } from '../../store/index.js';
import type { Carrier } from '../delivery/index.js';
import type { Ice } from '../ice/index.js';
import type { StubCatalogue } from '../loader/index.js';
import { Admission } from './admission.js';
import { connecting } from './connecting.js';
import { ConnectionList, type ConnectionChange } from './connection-list.js';
import type { MessageNodes } from './message-nodes.js';
import { P2pHandler, type P2pOffer } from './p2p-handler.js';
import { P2pConnection } from './p2p-connection.js';
import type { Protostub, Protostubs, StatusEvent } from './protostubs.js';
import { Repairs } from './repairs.js';
import { Requesters } from './requesters.js';

export interface ConnectionsComponents {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly stubs: Protostubs;
  readonly nodes: MessageNodes;
  /** The servers for set-ups. */
  readonly ice: { readonly current: Ice; ready(): Promise<Ice> };
  /** The last generation of set-ups by remote runtime. */
  readonly generations: Collection<number>;
  readonly catalogue: Pick<StubCatalogue, 'describe'>;
  /** The runtime that hosts an address, as a registry says. @throws ProtoflyError `E_UNREACHABLE` when it can't be asked */
  readonly hostOf: (address: Address) => Promise<Address | undefined>;
  readonly isOwn: (address: Address) => boolean;
  /** Takes a message in that is known to come from where it says. */
  readonly accept: (message: Message, origin: Origin) => Pressure;
  readonly onLost: (carrier: Carrier) => void;
  /** Spreads what is tried again. */
  readonly random: () => number;
  /** The handler has come or gone. */
  readonly onHandler: () => void;
  /** What others need for a set-up to here is known now, or another. */
  readonly onOffer: () => void;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface ConnectionsInit {
  readonly runtime: Address;
  readonly domain: string;
  readonly enabled: boolean;
  /** After a failed set-up, or a lost connection: how long until the next attempt, in milliseconds, doubling up to 30 s. @default 250 */
  readonly retryMs?: number;
  /** @default 15_000 */
  readonly setupMs?: number;
}

/** How long the other side may take for a sign of life when the network has changed, in milliseconds. */
const PROBE_MS = 500;

/**
 * The P2P connections of this runtime, those of its handler stub and those of its requester stubs: decides when one is
 * set up, and which of two set-ups goes on.
 */
export class Connections {
  readonly #components: ConnectionsComponents;
  readonly #init: ConnectionsInit;
  readonly #list: ConnectionList;
  /** Ports that were opened before their connection was announced. */
  readonly #early = new Map<Address, Link<Message>>();
  readonly #repairs: Repairs;
  readonly #handler: P2pHandler;
  readonly #requesters: Requesters;
  readonly #admission: Admission;

  constructor(components: ConnectionsComponents, init: ConnectionsInit) {
    this.#components = components;
    this.#init = init;
    const { clock, log, onLost } = components;
    this.#admission = new Admission(components);
    this.#handler = new P2pHandler({
      ...components,
      admit: (message, stub) => this.#admission.refuse(message, stub),
      onStatus: (event) => { this.#handlerStatus(this.#handler.address, event); },
      onPort: (address, port) => { this.#port(address, port); },
      onChange: components.onHandler,
      onEnd: (reason) => { this.#handlerEnded(reason); },
    }, init);
    this.#list = new ConnectionList({ clock, log, onLost, onOver: (connection) => { this.#over(connection); } });
    this.#requesters = new Requesters({
      ...components,
      list: this.#list,
      offered: () => this.#handler.offered(),
      admit: (message, connection) => this.#admission.admit(message, connection),
    }, { runtime: init.runtime, enabled: init.enabled, setupMs: this.#setupMs });
    this.#repairs = new Repairs({
      clock, log,
      random: components.random,
      renew: (connection) => this.#requesters.renew(connection),
      setUp: (record) => this.#requesters.setUp(record),
      isBusy: (remoteRuntime) => this.busy(remoteRuntime),
    }, init.retryMs === undefined ? {} : { firstMs: init.retryMs });
    this.#list.onChange((change) => {
      if (change.now === 'live') this.#requesters.succeeded(change.connection);
      this.#repairs.changed(change);
    });
  }

  /** The handler stub, while it runs. */
  get handler(): Protostub | undefined {
    return this.#handler.stub;
  }

  get handlerAddress(): Address | undefined {
    return this.#init.enabled ? this.#handler.address : undefined;
  }

  /** What others need for a set-up to here; undefined while that isn't known. */
  get offer(): P2pOffer | undefined {
    return this.#handler.offer;
  }

  /** Why there is no handler. */
  get trouble(): string | undefined {
    return this.#handler.trouble;
  }

  /** Whether a handler is to be there: P2P is switched on, and the domain has stubs for it. */
  get expectsHandler(): boolean {
    return this.#init.enabled && !this.#handler.isMissing;
  }

  /** A handler that couldn't be deployed is tried again at once: something has changed. */
  retry(): void {
    this.start();
  }

  /** How many messages came over connections that weren't the other side's own. */
  get refused(): number {
    return this.#admission.refused;
  }

  list(): P2pConnection[] {
    return this.#list.all();
  }

  /** The live connection to a runtime, unless nothing is heard of its other side. */
  live(remoteRuntime: Address): P2pConnection | undefined {
    return this.#list.live(remoteRuntime);
  }

  /** A live connection of whose other side nothing is heard: for when there is no other way. */
  suspect(remoteRuntime: Address): P2pConnection | undefined {
    return this.#list.suspect(remoteRuntime);
  }

  /** Is told of every change of state. @returns ends it */
  onChange(listener: (change: ConnectionChange) => void): () => void {
    return this.#list.onChange(listener);
  }

  /** Has the handler stub deployed, so that others can connect. */
  start(): void {
    if (this.#init.enabled) this.#handler.start();
  }

  /** Has a connection set up to the runtime of a record, beside the traffic, unless one is there or has just failed. */
  want(record: RegistryRecord): void {
    const { log } = this.#components;
    this.#repairs.wanted(record.runtime);
    if (!this.#repairs.mayTry(record.runtime)) return;
    if (this.busy(record.runtime)) return;
    this.#requesters.setUp(record).catch((thrown: unknown) => { log('info', `no P2P connection to ${record.runtime}: ${asProtoflyError(thrown).message}`); });
  }

  /** Whether a connection to that runtime is there or being set up. */
  busy(remoteRuntime: Address): boolean {
    return this.#requesters.isSettingUp(remoteRuntime) || this.#list.current(remoteRuntime).length > 0;
  }

  /**
   * Waits until there is a live connection to the runtime of a record; sets it up if need be.
   * @throws ProtoflyError `E_REFUSED`, `E_UNREACHABLE`, `E_TIMEOUT`, `E_ABORTED`
   */
  async connect(record: RegistryRecord, onChange: (change: ConnectionChange) => void, signal?: AbortSignal): Promise<P2pConnection> {
    const { runtime: remoteRuntime } = record;
    const live = this.#list.live(remoteRuntime);
    this.#repairs.asked(remoteRuntime, this.#list.suspect(remoteRuntime));
    if (live !== undefined) return live;
    return connecting({
      clock: this.#components.clock,
      isBusy: (other) => this.busy(other),
      setUp: (wanted) => this.#requesters.setUp(wanted),
      onChange: (listener) => this.onChange(listener),
    }, { record, onChange, setupMs: this.#setupMs, signal });
  }

  /** Ends the connections to a runtime in order. @returns those that were live */
  async disconnect(remoteRuntime: Address): Promise<P2pConnection[]> {
    const connections = this.#list.current(remoteRuntime);
    this.#repairs.ended(remoteRuntime);
    await Promise.all(connections.map(async ({ stub, address }) => {
      const from = child(this.#init.runtime, 'registry');
      await this.#components.bus.ask({ type: 'execute', from, to: stub, body: { resource: '/disconnect', value: { connection: address } } });
    }));
    return connections;
  }

  /**
   * The network of this machine has changed: every live connection has to show that it still leads somewhere; one whose
   * own address is gone is renewed at once.
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
  }

  get #setupMs(): number {
    return this.#init.setupMs ?? 15_000;
  }

  #probe({ stub, address }: P2pConnection): void {
    const { bus, log } = this.#components;
    const from = child(this.#init.runtime, 'registry');
    bus.ask({ type: 'execute', from, to: stub, body: { resource: '/probe', value: { connection: address, patienceMs: PROBE_MS } } })
      .catch((thrown: unknown) => { log('debug', `${address} was not probed: ${asProtoflyError(thrown).message}`); });
  }

  /** A handler announces a set-up, or reports on one of its connections. @throws ProtoflyError `E_CONFLICT`: it has to give way */
  #handlerStatus(stub: Address, event: StatusEvent): void {
    const { remoteRuntime, connection: address, details } = event;
    if (remoteRuntime === undefined || address === undefined || !isWithin(address, stub)) return;
    if (event.status !== 'created') {
      const known = this.#list.get(address);
      if (known !== undefined) this.#list.step(known, event.status, event.description, details);
      return;
    }
    this.#settleGlare(remoteRuntime);
    const generation = typeof details['generation'] === 'number' ? details['generation'] : 0;
    this.#list.add(new P2pConnection(this.#components, { address, stub, role: 'handler', remoteRuntime, generation }));
    const port = this.#early.get(address);
    if (port === undefined) return;
    this.#early.delete(address);
    this.#port(address, port);
  }

  /** Both sides at once: the requester with the lower runtime URL goes on, the other gives way. */
  #settleGlare(remoteRuntime: Address): void {
    const own = this.#list.settingUp(remoteRuntime).find(({ role }) => role === 'requester');
    if (own === undefined) return;
    if (this.#init.runtime < remoteRuntime) throw new ProtoflyError('E_CONFLICT', 'a set-up from here to there has precedence');
    // Deferred, so that the other's set-up stands in the list when this one is reported as failed.
    queueMicrotask(() => {
      own.gaveWay = true;
      this.#list.step(own, 'failed', 'gave way to a set-up from the other side');
    });
  }

  #port(address: Address, port: Link<Message>): void {
    const connection = this.#list.get(address);
    if (connection === undefined || connection.status === 'failed' || connection.status === 'disconnected') {
      this.#early.set(address, port);
      void port.closed.then(() => {
        if (this.#early.get(address) === port) this.#early.delete(address);
      });
      return;
    }
    if (connection.link !== undefined) { void port.close('it has a port already'); return; }
    connection.link = port;
    port.receive((message) => this.#admission.admit(message, connection));
    void port.closed.then(({ reason }) => { this.#list.lost(connection, reason); });
    // Its status may have come before its port.
    this.#list.carries(connection);
  }

  /** A connection that has failed or was lost is of no more use. */
  #over(connection: P2pConnection): void {
    if (connection.role === 'requester') this.#requesters.dismiss(connection);
    else void connection.link?.close('ended');
    connection.verified.clear();
  }

  #handlerEnded(reason: string): void {
    for (const connection of this.list()) if (connection.role === 'handler') this.#list.lost(connection, reason);
    this.#components.onHandler();
  }
}

/** This machine's address in the pair that a connection uses. */
const localAddress = ({ details }: P2pConnection): string | undefined => {
  const { local } = (details['pair'] ?? {}) as { readonly local?: unknown };
  return typeof local === 'string' ? /^(?:\[([^\]]+)\]|([^:]+)):\d+/.exec(local)?.slice(1).find((part) => part !== undefined) : undefined;
};
