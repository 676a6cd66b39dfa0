import type { MessageBus, Origin } from '../../bus/index.js';
import type { Link } from '../../link/index.js';
import {
  asProtoflyError, child, ICE_RESOURCE, isResponse, isStubStatus, isWithin, nextStubStatus, parseAddress, ProtoflyError, refuse, respond, isAddress,
  type Address, type Cause, type Clock, type Message, type Backpressure, type StubConfig, type StubStatus, type ReceivedVia } from '../../protocol/index.js';
import type { Carrier } from '../delivery/index.js';
import type { Ice } from '../ice/index.js';
import type { Loaded, Loader } from './loader/index.js';

export type StubKind = 'msg-node' | 'p2p-handler' | 'p2p-requester';

/** A stub's report about itself or one of its connections. @see docs/architecture.md, "Status events" */
export interface StatusEvent {
  readonly type: 'create' | 'update';
  readonly status: StubStatus;
  readonly description?: string;
  /** The remote runtime; P2P only. */
  readonly remoteRuntime?: Address;
  /** Address of the connection; P2P only. */
  readonly connection?: Address;
  readonly session?: 'new' | 'resumed';
  readonly details: Readonly<Record<string, unknown>>;
}

export interface StubInit {
  readonly url: Address;
  readonly kind: StubKind;
  /** The domain to which it leads. For P2P, the domain of the remote runtime. */
  readonly domain: string;
  /** Its catalogue address. */
  readonly origin: Address;
  readonly config: StubConfig;
  /** The origin of the request. The stub of a domain that no program has named isn't deployed for a `remote` cause. */
  readonly cause: Cause;
  /** Called with each event. An error it throws answers a `create`. */
  readonly onStatus: (event: StatusEvent) => void;
  /** Checks and takes in a message of another sender that the stub brought over its main channel. */
  readonly admit: (message: Message, stub: Protostub) => Backpressure;
  /** Called with each port that the stub opens. @default ports are closed */
  readonly onPort?: (address: Address, port: Link<Message>) => void;
  /** Called once, when the stub's channel has ended for any reason. */
  readonly onEnd: (reason: string) => void;
}

export interface ProtostubsComponents {
  readonly bus: MessageBus;
  readonly loader: Loader;
  readonly clock: Clock;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

/** One deployed protostub: a carrier of messages, and the origin of those that it brings. */
export class Protostub implements Origin, Carrier {
  readonly kind: 'p2p' | 'msg-node';
  readonly address: Address;
  status: StubStatus = 'created';
  description: string | undefined;
  /** Time of the last status change, in milliseconds since 1970. */
  since: number;
  /** Time of the deployment, in steady time. */
  readonly deployedAt: number;
  /** Number of messages that it was not entitled to bring. */
  refused = 0;
  #ending = false;

  constructor(readonly init: StubInit, readonly loaded: Loaded, private readonly log: ProtostubsComponents['log'], clock: Clock) {
    this.deployedAt = clock.now();
    this.kind = init.kind === 'msg-node' ? 'msg-node' : 'p2p';
    this.address = init.url;
    this.since = clock.date();
  }

  get isAway(): boolean {
    return this.status === 'disconnected' || this.status === 'failed';
  }

  get via(): ReceivedVia {
    return { path: this.kind };
  }

  get name(): string {
    return this.address;
  }

  /** True if this runtime has ended it. */
  get ending(): boolean {
    return this.#ending;
  }

  send(message: Message): Backpressure {
    return this.loaded.link.send(message);
  }

  /** Tells the stub the ICE servers for its next set-ups. Ignored if the stub has ended. */
  configure(ice: Ice): void {
    const { runtimeURL } = this.init.config;
    try {
      void this.send({ id: 0, type: 'update', from: child(runtimeURL, 'registry'), to: this.address, body: { resource: ICE_RESOURCE, value: ice } });
    } catch (thrown) {
      this.log('debug', `${this.address} was not told of its servers: ${asProtoflyError(thrown).message}`);
    }
  }

  /** Drops a message that the stub was not entitled to bring. The stub is stopped if it continues. */
  refuse(message: Message, why: string): void {
    this.refused += 1;
    this.log('warn', `${this.address} brought a ${message.type} that ${why}`);
    this.loaded.misbehaved('it sends messages in the name of others');
  }

  /** Lets the stub close its connections, then ends it. Idempotent. */
  undeploy(): Promise<void> {
    this.#ending = true;
    return this.loaded.undeploy();
  }
}

/** The protostubs of this runtime: deploys them, handles their status events, and lists them. */
export class Protostubs {
  readonly #components: ProtostubsComponents;
  readonly #stubs = new Map<Address, Protostub>();
  /** Last state of the stubs that ended unexpectedly. */
  readonly #fallen = new Map<Address, Record<string, unknown>>();
  readonly #onEnd: ((url: Address) => void)[] = [];
  #closed = false;

  constructor(components: ProtostubsComponents) {
    this.#components = components;
  }

  /** Registers a listener for stubs that have ended, so that their data objects can be released. */
  onEnd(listener: (url: Address) => void): void {
    this.#onEnd.push(listener);
  }

  /** Deploys a stub. @throws ProtoflyError as `Loader.deploy`; `E_CONFLICT` if the address is in use */
  async deploy(init: StubInit): Promise<Protostub> {
    if (this.#stubs.has(init.url)) throw new ProtoflyError('E_CONFLICT', `${init.url} is deployed already`);
    const { bus, loader, clock, log } = this.#components;
    const loaded = await loader.deploy(init);
    const stub = new Protostub(init, loaded, log, clock);
    this.#stubs.set(init.url, stub);
    this.#fallen.delete(init.url);
    const remove = bus.addListener(init.url, (message) => stub.send(message), stub);
    if (init.onPort !== undefined) loaded.onPort(init.onPort);
    loaded.link.receive((message) => this.#receive(stub, message));
    void loaded.link.closed.then(({ reason }) => {
      remove();
      this.#stubs.delete(init.url);
      log(stub.ending || this.#closed ? 'info' : 'warn', `protostub ${init.url} ended: ${reason}`);
      // A stub that ended unexpectedly stays listed until it is back.
      if (!stub.ending && init.kind !== 'p2p-requester') this.#fallen.set(init.url, { ...view(stub), status: 'failed', description: reason, pid: undefined, since: new Date(clock.date()).toISOString() });
      init.onEnd(reason);
      for (const listener of this.#onEnd) listener(init.url);
    });
    log('info', `protostub ${init.url} deployed: ${init.origin}, version ${loaded.descriptor.version}, ${loaded.hash}, from the ${loaded.from}${loaded.keyId === undefined ? '' : `, signed by ${loaded.keyId}`}`);
    return stub;
  }

  get(url: Address): Protostub | undefined {
    return this.#stubs.get(url);
  }

  /** Returns all stubs as docs/control.md describes them. */
  list(): Record<string, unknown>[] {
    return [...[...this.#stubs.values()].map(view), ...this.#fallen.values()];
  }

  /** Tells the P2P stubs the ICE servers for their next set-ups. */
  configure(ice: Ice): void {
    for (const stub of this.#stubs.values()) if (stub.kind === 'p2p') stub.configure(ice);
  }

  /** Notes that the runtime is stopping, so that stubs end as expected. */
  close(): void {
    this.#closed = true;
  }

  #receive(stub: Protostub, message: Message): Backpressure {
    const { url, admit } = stub.init;
    if (message.to === child(url, 'status')) {
      if (!isResponse(message)) this.#status(stub, message);
      return undefined;
    }
    return isWithin(message.from, url) ? this.#components.bus.post(message, stub) : admit(message, stub);
  }

  #status(stub: Protostub, message: Exclude<Message, { type: 'response' }>): void {
    const { log, clock } = this.#components;
    try {
      const event = statusEvent(message);
      const { resource } = message.body ?? {};
      if (stub.init.kind === 'p2p-handler' && event.remoteRuntime === undefined && resource !== undefined && resource !== null) throw new ProtoflyError('E_MESSAGE', 'the stub reports a connection without a valid address');
      if (isOfStub(stub, event) && event.status !== stub.status) {
        if (nextStubStatus(stub.status, event.status) === undefined) log('warn', `${stub.address}: from ${stub.status} to ${event.status} is no step`);
        else {
          log('info', `${stub.address} is ${event.status}${event.description === undefined ? '' : `: ${event.description}`}`);
          stub.status = event.status;
          stub.description = event.description;
          stub.since = clock.date();
        }
      }
      stub.init.onStatus(event);
      if (message.type === 'create') void stub.send(respond(message, 200));
    } catch (thrown) {
      const error = asProtoflyError(thrown);
      log('info', `${stub.address}: ${error.message}`);
      if (message.type === 'create') void stub.send(error.code === 'E_CONFLICT' ? respond(message, 486, { description: error.message }) : refuse(message, error));
    }
  }
}

const view = ({ init, loaded, status, description, since, refused }: Protostub): Record<string, unknown> => ({
  url: init.url, kind: init.kind, domain: init.domain, origin: init.origin,
  version: loaded.descriptor.version, hash: loaded.hash, from: loaded.from, keyId: loaded.keyId,
  status, description, pid: loaded.pid, since: new Date(since).toISOString(),
  sent: loaded.link.stats.sent, received: loaded.link.stats.received, refused,
});

/** Maximum length of a stub's description. */
const MAX_DESCRIPTION = 500;

const address = (value: unknown): Address | undefined => (isAddress(value) ? parseAddress(value) : undefined);

/** True if an event is about the stub itself. A handler has connections; any other P2P stub is one. */
const isOfStub = ({ init: { kind }, address: own }: Protostub, { connection, remoteRuntime }: StatusEvent): boolean =>
  kind === 'p2p-handler' ? connection === undefined && remoteRuntime === undefined : (connection ?? own) === own;

/** Parses a status event. @throws ProtoflyError `E_MESSAGE` */
const statusEvent = (message: Exclude<Message, { type: 'response' }>): StatusEvent => {
  const { value, resource, connection, session, details } = message.body ?? {};
  const description = message.body?.['description'] ?? message.body?.['desc'];
  if (!isStubStatus(value)) throw new ProtoflyError('E_MESSAGE', `a stub reports an unknown status`);
  const remoteRuntime = address(resource);
  const at = address(connection);
  return {
    type: message.type === 'create' ? 'create' : 'update',
    status: value,
    ...(typeof description === 'string' ? { description: description.slice(0, MAX_DESCRIPTION) } : {}),
    ...(remoteRuntime === undefined ? {} : { remoteRuntime }),
    ...(at === undefined ? {} : { connection: at }),
    ...(session === 'new' || session === 'resumed' ? { session } : {}),
    details: typeof details === 'object' && details !== null ? (details as Record<string, unknown>) : {},
  };
};
