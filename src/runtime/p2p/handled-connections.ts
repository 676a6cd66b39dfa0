import type { Link } from '../../link/index.js';
import {
  asProtoflyError, bodyWith, child, isWithin, partsOf, ProtoflyError, runtimeOf,
  type Address, type Clock, type Message, type Backpressure, type Timer,
} from '../../protocol/index.js';
import type { Hosts, Intake } from '../delivery/index.js';
import type { Admission } from './admission.js';
import type { ConnectionList } from './connection-list.js';
import { P2pConnection } from './p2p-connection.js';
import type { Protostub, StatusEvent } from '../stubs/protostubs.js';

export interface HandledConnectionsComponents {
  readonly clock: Clock;
  /** The list to which connections are added. */
  readonly list: ConnectionList;
  readonly admission: Admission;
  /** True if a verified invitation of that runtime has come. */
  readonly isInvited: (runtime: Address) => boolean;
  /** Returns the running handler stub, if there is one. */
  readonly handler: () => Protostub | undefined;
  readonly hosts: Hosts;
  readonly intake: Pick<Intake, 'isOwn'>;
}

export interface HandledConnectionsInit {
  readonly runtime: Address;
  /** The handler stub's address. */
  readonly handler: Address;
}

/** Time that messages of a port wait until the stub announces its connection, in milliseconds. */
const ANNOUNCE_MS = 2000;

/** A port without an announced connection. */
interface Early {
  readonly port: Link<Message>;
  /** Settles when a connection has the port, or after the timeout. */
  readonly waited: Promise<void>;
  readonly settle: () => void;
  readonly timer: Timer;
}

/**
 * The connections that the handler stub reports. A stub may give each connection an address and a port. Otherwise it
 * reports only `value` and `resource`: then there is one connection per remote runtime, and messages use the stub's main
 * channel (docs/protocol.md, STB-7). Messages of unknown connections are refused.
 */
export class HandledConnections {
  readonly #components: HandledConnectionsComponents;
  readonly #init: HandledConnectionsInit;
  readonly #early = new Map<Address, Early>();
  /** Number of open set-ups of each connection that shares the main channel. */
  readonly #shared = new Map<P2pConnection, number>();
  #last = 0;

  constructor(components: HandledConnectionsComponents, init: HandledConnectionsInit) {
    this.#components = components;
    this.#init = init;
  }

  /**
   * Handles the announcement of a set-up, or a report on a connection.
   * @throws ProtoflyError `E_CONFLICT` if the set-up has to give way; `E_MESSAGE` or `E_NOT_FOUND` if the report is
   * invalid
   */
  report(event: StatusEvent): void {
    const { remoteRuntime, connection: address, status, description, details } = event;
    if (remoteRuntime === undefined) {
      if (address !== undefined) throw new ProtoflyError('E_MESSAGE', `${address} is reported without its remote runtime`);
      return;
    }
    if (runtimeOf(remoteRuntime) !== remoteRuntime || remoteRuntime === this.#init.runtime) throw new ProtoflyError('E_MESSAGE', `a connection is reported with ${remoteRuntime}, which is no other runtime`);
    if (address === undefined) {
      this.#reportShared(remoteRuntime, event);
      return;
    }
    if (!isWithin(address, this.#init.handler)) throw new ProtoflyError('E_MESSAGE', `a connection is reported at ${address}, which is not the stub's`);
    if (status === 'created') {
      this.#add(remoteRuntime, { address, generation: typeof details['generation'] === 'number' ? details['generation'] : 0 });
      const early = this.#early.get(address);
      if (early !== undefined) this.port(address, early.port);
      return;
    }
    const known = this.#components.list.get(address);
    if (known === undefined) throw new ProtoflyError('E_NOT_FOUND', `${address} is reported as ${status}, and was never announced`);
    this.#components.list.step(known, status, description, details);
  }

  /** Handles a port that the stub has opened. */
  port(address: Address, port: Link<Message>): void {
    const { list, clock } = this.#components;
    const connection = list.get(address);
    if (connection !== undefined && !isOver(connection)) {
      if (connection.link === undefined) this.#attach(connection, port, address);
      else void port.close('it has a port already');
      return;
    }
    let settle = (): void => undefined;
    const waited = new Promise<void>((resolve) => { settle = resolve; });
    const early: Early = { port, waited, settle, timer: clock.setTimeout(settle, ANNOUNCE_MS) };
    this.#early.set(address, early);
    port.receive((message) => early.waited.then(() => this.#cameEarly(message, address, port)));
    void port.closed.then(() => {
      early.timer.cancel();
      if (this.#early.get(address) === early) this.#early.delete(address);
    });
  }

  /** Takes in a message from the main channel, over the connection that its sender indicates. */
  admit(message: Message, stub: Protostub): Backpressure {
    const { admission, intake } = this.#components;
    if (intake.isOwn(message.from) || partsOf(message.from).scheme === 'domain') return admission.refuse(message, stub);
    return this.#attributed(message, (connection) => admission.admit(message, connection), (refusal, runtime) => carried(stub, refusal, runtime), stub.address);
  }

  /** Forgets a connection that has ended. */
  over(connection: P2pConnection): void {
    this.#shared.delete(connection);
  }

  /** Ends all waits for announcements. Idempotent. */
  close(): void {
    for (const { timer, settle } of this.#early.values()) {
      timer.cancel();
      settle();
    }
    this.#early.clear();
  }

  #reportShared(remoteRuntime: Address, { status, description, details }: StatusEvent): void {
    const { list } = this.#components;
    const ends = status === 'failed' || status === 'disconnected';
    let connection = this.#sharedWith(remoteRuntime);
    if (connection === undefined) {
      if (ends) return;
      connection = this.#addShared(remoteRuntime);
    } else if (status === 'created') {
      // The next generation is set up beside this one, under the same name.
      this.#shared.set(connection, this.#shared.get(connection)! + 1);
      return;
    }
    const setUps = this.#shared.get(connection)!;
    if (ends && setUps > 1) {
      this.#shared.set(connection, setUps - 1);
      return;
    }
    // Some stubs skip states.
    if (status === 'live' && connection.status === 'created') list.step(connection, 'in-progress');
    list.step(connection, status, description, details);
  }

  #addShared(remoteRuntime: Address): P2pConnection {
    const { handler } = this.#init;
    const connection = this.#add(remoteRuntime, { address: child(child(handler, 'shared'), String(this.#last + 1)), generation: 0, isShared: true });
    this.#last += 1;
    connection.link = {
      send: (message) => {
        const stub = this.#components.handler();
        if (stub === undefined) throw new ProtoflyError('E_LINK_CLOSED', `${handler} is gone`);
        return carried(stub, message, remoteRuntime);
      },
      // The channel belongs to the stub and its other connections.
      close: () => Promise.resolve(),
    };
    this.#shared.set(connection, 1);
    return connection;
  }

  #sharedWith(remoteRuntime: Address): P2pConnection | undefined {
    for (const connection of this.#shared.keys()) if (connection.remoteRuntime === remoteRuntime) return connection;
    return undefined;
  }

  /** Adds a connection. @throws ProtoflyError `E_REFUSED` if that runtime has sent no invitation, `E_CONFLICT` */
  #add(remoteRuntime: Address, init: { readonly address: Address; readonly generation: number; readonly isShared?: boolean }): P2pConnection {
    const { list, clock, isInvited } = this.#components;
    if (!isInvited(remoteRuntime)) throw new ProtoflyError('E_REFUSED', `${remoteRuntime} has sent no invitation`);
    this.#settleGlare(remoteRuntime);
    return list.add(new P2pConnection({ clock }, { ...init, stub: this.#init.handler, role: 'handler', remoteRuntime }));
  }

  /**
   * Resolves glare, when both sides set up at once: the requester with the lower runtime URL continues, the other gives
   * way.
   * @throws ProtoflyError `E_CONFLICT`
   */
  #settleGlare(remoteRuntime: Address): void {
    const { list } = this.#components;
    const own = list.settingUp(remoteRuntime).find(({ role }) => role === 'requester');
    if (own === undefined) return;
    if (this.#init.runtime < remoteRuntime) throw new ProtoflyError('E_CONFLICT', 'a set-up from here to there has precedence');
    // Deferred, so that the other side's set-up is listed when this one is reported as failed.
    queueMicrotask(() => {
      own.gaveWay = true;
      list.step(own, 'failed', 'gave way to a set-up from the other side');
    });
  }

  #attach(connection: P2pConnection, port: Link<Message>, address: Address): void {
    const { list, admission } = this.#components;
    connection.link = port;
    port.receive((message) => admission.admit(message, connection));
    void port.closed.then(({ reason }) => { list.lost(connection, reason); });
    const early = this.#early.get(address);
    this.#early.delete(address);
    early?.timer.cancel();
    early?.settle();
    // Its status may have come before its port.
    list.carries(connection);
  }

  /** Handles a message from a port whose connection was announced later or never. */
  #cameEarly(message: Message, address: Address, port: Link<Message>): Backpressure {
    const { list, admission } = this.#components;
    const announced = list.get(address);
    if (announced?.link === port) return admission.admit(message, announced);
    return this.#attributed(message, (connection) => {
      // The stub has ports, but doesn't name their connections.
      if (connection.link !== port) this.#attach(connection, port, address);
      return admission.admit(message, connection);
    }, (refusal) => port.send(refusal), announced === undefined ? address : `${address}, which is ${announced.status},`);
  }

  /**
   * Finds the shared connection to the runtime in which the sender of a message lives. If there is none, refuses the
   * message.
   */
  #attributed(message: Message, found: (connection: P2pConnection) => Backpressure, reply: (refusal: Message, runtime: Address | undefined) => Backpressure, origin: string): Backpressure {
    const { admission, hosts } = this.#components;
    const { from } = message;
    for (const connection of this.#shared.keys()) if (isWithin(from, connection.remoteRuntime) || connection.verified.has(from)) return found(connection);
    const decide = (runtime: Address | undefined): Backpressure => {
      const connection = runtime === undefined ? undefined : this.#sharedWith(runtime);
      if (connection !== undefined) return found(connection);
      return admission.turnAway(message, origin, (refusal) => reply(refusal, runtime), new ProtoflyError('E_UNREACHABLE', `no P2P connection with ${runtime ?? `the runtime of ${from}`} is known here`));
    };
    const runtime = runtimeOf(from);
    if (runtime !== undefined) return decide(runtime);
    return hosts.hostOf(from).then(decide, (thrown: unknown) => admission.turnAway(message, origin, (refusal) => reply(refusal, undefined), asProtoflyError(thrown)));
  }
}

const isOver = ({ status }: P2pConnection): boolean => status === 'failed' || status === 'disconnected';

/** Sends a message over one of a stub's connections that share its main channel. */
const carried = (stub: Protostub, message: Message, peer: Address | undefined): Backpressure =>
  stub.send(peer === undefined ? message : ({ ...message, body: bodyWith(message.body, { peer }) } as Message));
