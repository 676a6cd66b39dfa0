import { nextConnectionStatus, type Address, type Clock, type ConnectionStatus, type Timer } from '../../protocol/index.js';
import type { Intake } from '../delivery/index.js';
import type { P2pConnection } from './p2p-connection.js';

export interface ConnectionChange {
  readonly connection: P2pConnection;
  readonly was: ConnectionStatus;
  readonly now: ConnectionStatus;
  readonly reason: string | undefined;
}

export interface ConnectionListComponents {
  readonly clock: Clock;
  /** Called when a connection no longer carries messages. Those in flight may be lost. */
  readonly intake: Pick<Intake, 'lost'>;
  /** Called when a connection has failed or is disconnected. */
  readonly onOver: (connection: P2pConnection) => void;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

/** Time that an ended connection stays listed, unless the next set-up comes first, in milliseconds. */
const SHOWN_MS = 60_000;

const isOver = ({ status }: P2pConnection): boolean => status === 'failed' || status === 'disconnected';

/** The list of P2P connections. Only status events change it, by the transitions of the state machine. */
export class ConnectionList {
  readonly #components: ConnectionListComponents;
  readonly #all = new Map<Address, P2pConnection>();
  /** The connection that carries messages, by remote runtime. Never a suspect one. */
  readonly #live = new Map<Address, P2pConnection>();
  /** Live connections with a link, in the order in which they became so. */
  readonly #able = new Set<P2pConnection>();
  /** Timers that remove ended connections from the list. */
  readonly #shown = new Map<P2pConnection, Timer>();
  readonly #listeners = new Set<(change: ConnectionChange) => void>();

  constructor(components: ConnectionListComponents) {
    this.#components = components;
  }

  all(): P2pConnection[] {
    return [...this.#all.values()];
  }

  get(address: Address): P2pConnection | undefined {
    return this.#all.get(address);
  }

  /** Returns the connection that carries messages to a runtime. */
  live(remoteRuntime: Address): P2pConnection | undefined {
    return this.#live.get(remoteRuntime);
  }

  /** Returns a live connection whose other side is silent: better than no route at all. */
  suspect(remoteRuntime: Address): P2pConnection | undefined {
    return [...this.#able].findLast((connection) => connection.remoteRuntime === remoteRuntime && connection.isSuspect);
  }

  /** Returns the connections that are being set up with a runtime. */
  settingUp(remoteRuntime: Address): P2pConnection[] {
    return this.all().filter(({ remoteRuntime: other, status }) => other === remoteRuntime && (status === 'created' || status === 'in-progress'));
  }

  /** Returns the connections with a runtime that haven't ended. */
  current(remoteRuntime: Address): P2pConnection[] {
    return this.all().filter((connection) => connection.remoteRuntime === remoteRuntime && !isOver(connection));
  }

  /** Registers a listener for changes of state. @returns a function that removes it */
  onChange(listener: (change: ConnectionChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Adds a connection, and removes ended ones with the same runtime or address. */
  add(connection: P2pConnection): P2pConnection {
    for (const other of this.all()) if (other.remoteRuntime === connection.remoteRuntime || other.address === connection.address) this.#end(other);
    this.#all.set(connection.address, connection);
    this.#tell({ connection, was: 'created', now: 'created', reason: undefined });
    return connection;
  }

  /** Applies a status event. A transition that the state machine doesn't allow is logged and ignored. */
  step(connection: P2pConnection, status: ConnectionStatus, reason?: string, details?: Readonly<Record<string, unknown>>): void {
    const { clock, log, onOver } = this.#components;
    const was = connection.status;
    if (was !== status && nextConnectionStatus(was, status) === undefined) {
      log('debug', `${connection.address}: from ${was} to ${status} is no step`);
      return;
    }
    if (was === status) {
      this.#refresh(connection, reason, details);
      return;
    }
    if (details !== undefined) connection.details = { ...connection.details, ...details };
    connection.status = status;
    connection.reason = status === 'live' ? connection.doubt ?? reason : reason;
    connection.since = clock.date();
    if (status === 'live') {
      connection.liveSince = clock.now();
      this.carries(connection);
    } else this.#leaveLive(connection);
    log('info', `P2P ${connection.role} to ${connection.remoteRuntime}: ${was} → ${status}${reason === undefined ? '' : ` (${reason})`}`);
    this.#tell({ connection, was, now: status, reason });
    if (!isOver(connection)) return;
    onOver(connection);
    this.#shown.set(connection, clock.setTimeout(() => { this.#end(connection); }, SHOWN_MS));
  }

  /** Notes that the stub or port of a connection is gone. */
  lost(connection: P2pConnection, reason: string): void {
    if (connection.status === 'live') this.step(connection, 'disconnected', reason);
    else if (connection.status === 'created' || connection.status === 'in-progress') this.step(connection, 'failed', reason);
  }

  /** Lets a connection carry messages to its runtime, if it is live and has a link. */
  carries(connection: P2pConnection): void {
    if (connection.link === undefined || connection.status !== 'live') return;
    this.#able.delete(connection);
    this.#able.add(connection);
    this.#elect(connection.remoteRuntime);
  }

  /** Sets or clears the doubt about a connection, with the reason. A doubted connection carries no messages. */
  doubt(connection: P2pConnection, why: string | undefined): void {
    if (connection.doubt === why) return;
    connection.doubt = why;
    if (connection.status !== 'live') return;
    connection.reason = why;
    const what = why === undefined ? `${connection.health ?? 'good'}: the other side answers over it` : `suspect: ${why}`;
    this.#components.log('info', `P2P ${connection.role} to ${connection.remoteRuntime}: ${what}`);
    this.#elect(connection.remoteRuntime);
    this.#tell({ connection, was: 'live', now: 'live', reason: what });
  }

  /** Updates the details of a connection whose status hasn't changed. */
  #refresh(connection: P2pConnection, reason: string | undefined, details: Readonly<Record<string, unknown>> = {}): void {
    const { health, details: { generation } } = connection;
    connection.details = { ...connection.details, ...details };
    if (connection.status !== 'live') return;
    const isOther = generation !== undefined && connection.details['generation'] !== generation;
    if (!isOther && connection.health === health) return;
    const what = isOther ? `generation ${String(connection.details['generation'])} took over` : [connection.health, reason].filter((part) => part !== undefined).join(': ');
    connection.reason = connection.doubt ?? (connection.isSuspect ? what : undefined);
    this.#components.log('info', `P2P ${connection.role} to ${connection.remoteRuntime}: ${what}`);
    this.#elect(connection.remoteRuntime);
    this.#tell({ connection, was: 'live', now: 'live', reason: what });
  }

  /** Chooses the newest connection that isn't suspect. Messages in flight over the former one are sent again. */
  #elect(remoteRuntime: Address): void {
    const before = this.#live.get(remoteRuntime);
    const best = [...this.#able].findLast((connection) => connection.remoteRuntime === remoteRuntime && !connection.isSuspect);
    if (best === before) return;
    if (best === undefined) this.#live.delete(remoteRuntime);
    else this.#live.set(remoteRuntime, best);
    if (before !== undefined) this.#components.intake.lost(before);
  }

  #leaveLive(connection: P2pConnection): void {
    if (this.#able.delete(connection)) this.#elect(connection.remoteRuntime);
  }

  #end(connection: P2pConnection): void {
    if (!isOver(connection)) return;
    const was = connection.status;
    connection.status = 'ended';
    this.#shown.get(connection)?.cancel();
    this.#shown.delete(connection);
    this.#all.delete(connection.address);
    this.#tell({ connection, was, now: 'ended', reason: undefined });
  }

  #tell(change: ConnectionChange): void {
    for (const listener of [...this.#listeners]) listener(change);
  }
}
