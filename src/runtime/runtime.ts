import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { MessageBus, type Origin, type Pressure } from '../bus/index.js';
import type { Link } from '../link/index.js';
import {
  asProtoflyError, child, domainOf, formatAddress, iceAddress, iceEndpoints, isSuccess, responseError, isResponse, isWithin, ProtoflyError, recipientsOf, refuse, respond, runtimeOf,
  type Address, type Clock, type IceServer, type IceTransportPolicy, type Message, type Response,
} from '../protocol/index.js';
import type { DomainInfo } from '../protocol/descriptor.js';
import type { Store } from '../store/index.js';
import { CatalogueService, Clients, RegistryService, UserAgent } from './control/index.js';
import { Outgoing, type Carrier } from './delivery/index.js';
import { Doctor } from './doctor/index.js';
import { IceConfiguration } from './ice/index.js';
import { loadIdentity, type Identity } from './identity/index.js';
import type { Arrival } from './inbox/index.js';
import { Loader, makeCatalogue, type CheckedCatalogue } from './loader/index.js';
import { describeChange, NetworkMonitor, type Interfaces } from './network/index.js';
import {
  cameFromElsewhere, Connections, Domains, Explainer, Hyperties, MessageNodes, P2pConnection, Protostub, Protostubs, Records, Router, type Cached,
} from './registry/index.js';
import { Outbox } from './outbox/index.js';
import { Publishers, type StubPolicy } from './policy/index.js';
import type { SandboxFactory } from './sandbox/index.js';
import { probeNetwork } from './stun/index.js';
import { SyncManager } from './syncher/index.js';

export type Log = (level: 'debug' | 'info' | 'warn', text: string) => void;

export interface RuntimeComponents {
  readonly store: Store;
  readonly sandboxes: SandboxFactory;
  readonly clock: Clock;
  readonly fetch: typeof fetch;
  readonly log: Log;
  /** The addresses of this machine. @default os.networkInterfaces */
  readonly interfaces?: Interfaces;
}

export interface RuntimeInit {
  /** Base URL of the runtime's own domain, like `http://localhost:9090`. */
  readonly domainUrl: string;
  /** Base URLs of other domains by name, where DNS doesn't say. @default none */
  readonly domains?: Readonly<Record<string, string>>;
  /** Whose runtime it is: a name in the domain. */
  readonly user: string;
  /** @default true */
  readonly p2p?: boolean;
  /** Besides those that the domain offers. @default none */
  readonly iceServers?: readonly IceServer[];
  /** `relay`: P2P connections go through TURN servers or not at all. @default 'all' */
  readonly iceTransportPolicy?: IceTransportPolicy;
  /** Whose protostubs are deployed, and what they are granted. @default signed by anybody, everything that they ask for */
  readonly stubs?: StubPolicy;
  /** Id of a publisher key of the domain that is to be believed, whatever was believed before. @default what it shows first */
  readonly trust?: string;
  readonly version: string;
  /** Shown in the status: where programs connect, and where the log is. */
  readonly socket?: string;
  readonly logFile?: string;
}

/** Components of a runtime that only programs of this runtime, and its own parts, may send requests to. */
const PRIVATE: ReadonlySet<string> = new Set(['ua', 'sm', 'registry', 'catalogue', 'protostub', 'sandbox']);

/** What a running runtime is made of. */
interface Parts {
  readonly bus: MessageBus;
  readonly publishers: Publishers;
  readonly catalogue: CheckedCatalogue;
  readonly loader: Loader;
  readonly stubs: Protostubs;
  readonly nodes: MessageNodes;
  readonly hyperties: Hyperties;
  readonly connections: Connections;
  readonly outgoing: Outgoing;
  readonly outbox: Outbox;
  readonly ice: IceConfiguration;
  readonly network: NetworkMonitor;
  readonly records: Records;
  readonly syncManager: SyncManager;
  readonly clients: Clients;
}

/**
 * The peer node, put together: a message bus, the registry that finds ways, the stubs that carry, and the programs
 * that send and receive. Everything it knows is in its store; everything that can crash is in its sandboxes.
 */
export class Runtime {
  /** `hyperty-runtime://<domain>/<id>` */
  readonly url: Address;
  readonly domain: string;
  readonly user: Address;
  readonly #components: RuntimeComponents;
  readonly #init: RuntimeInit;
  readonly #parts: Parts;
  readonly #startedAt: number;
  readonly #statusListeners = new Set<() => void>();
  #stopRequested: () => void = () => undefined;
  /** Resolves when a program has asked the runtime to stop. */
  readonly stopRequested = new Promise<void>((resolve) => { this.#stopRequested = resolve; });
  #stopping: Promise<void> | undefined;
  #failure: string | undefined;
  #networkChange: { readonly at: string; readonly change: string } | undefined;
  #wasLive = false;
  #rejected = 0;

  /**
   * Starts a runtime: its identity and address are those of the store, its hyperties come back. It is usable at once
   * and `live` when its domain knows it: see `whenLive`.
   * @throws ProtoflyError `E_UNREACHABLE` when the domain has never been reached, `E_NOT_FOUND` when it hasn't the key
   * that is to be believed, `E_USAGE`, `E_STORE`
   */
  static async start(components: RuntimeComponents, init: RuntimeInit): Promise<Runtime> {
    const { store, fetch } = components;
    const known = store.collection<DomainInfo>('domains');
    const own = await new Domains({ known, fetch }, { urls: {} }).at(init.domainUrl);
    const domains = new Domains({ known, fetch }, { urls: { ...init.domains, [own.domain]: init.domainUrl } });
    const runtime = new Runtime(components, init, own, domains, await loadIdentity(store));
    if (init.trust !== undefined) await runtime.#parts.publishers.add(own.domain, init.trust);
    runtime.#begin();
    return runtime;
  }

  private constructor(components: RuntimeComponents, init: RuntimeInit, own: DomainInfo, domains: Domains, identity: Identity) {
    const { store, clock, log, sandboxes, fetch } = components;
    this.#components = components;
    this.#init = init;
    this.#startedAt = clock.now();
    this.domain = own.domain;
    this.url = formatAddress({ scheme: 'hyperty-runtime', domain: own.domain, path: identity.runtimeId });
    this.user = formatAddress({ scheme: 'user', domain: own.domain, path: init.user });
    const { url: runtime, domain, user } = this;

    const bus: MessageBus = new MessageBus({ clock, resolver: { resolve: (message, to, origin) => router.resolve(message, to, origin) } }, {
      firstId: randomBytes(4).readUInt32BE() * 1024,
      onDrop: (message, why) => { log('debug', `dropped ${message.type} from ${message.from} to ${String(message.to)}: ${why}`); },
    });
    const changed = (): void => { this.#changed(); };
    const epoch = randomBytes(6).toString('base64url');
    const route = (message: Message, to: Address): Carrier | Promise<Carrier> => router.route(message, to);
    const reply = (response: Response): void => { void bus.post(response); };
    const outgoing = new Outgoing({ clock, route }, { epoch });
    const outbox = new Outbox({
      clock, route, reply, log,
      messages: store.collection('outbox'), pairs: store.collection('outbox-pairs'),
      isAway: (to) => {
        const host = runtimeOf(to) ?? records.last(to)?.runtime;
        return nodes.isAway(domainOf(to)) && (host === undefined || connections.live(host) === undefined);
      },
    }, { epoch });
    const lost = (carrier: Carrier): void => {
      outgoing.lost(carrier);
      outbox.lost(carrier);
    };
    const publishers = new Publishers({ kept: store.collection('publishers'), domains, clock, log });
    const catalogue = makeCatalogue({ store, fetch, clock, log, domains, publishers, ownDomain: domain, onNews: (origin) => { nodes.renew(origin); } }, init.stubs ?? {});
    const loader = new Loader({ catalogue, sandboxes });
    const stubs = new Protostubs({ bus, loader, clock, log, onEnd: (url) => { void syncManager.release(url); } });
    const nodes: MessageNodes = new MessageNodes({
      bus, clock, stubs, log,
      accept: (message, origin) => this.#accept(message, origin),
      isOwn: (address) => this.#isOwn(address),
      onSession: (name) => { this.#renew(name); },
      onLost: lost,
      onChange: changed,
    }, { runtime, domain });
    const hyperties: Hyperties = new Hyperties({ bus, clock, store, nodes, log, arrivalOf }, {
      runtime, domain, user, guid: identity.guid, offer: () => connections.offer,
    });
    const records = new Records({ bus, clock, cache: store.collection<Cached>('records'), isAway: (name) => nodes.isAway(name) }, { runtime, domain, user });
    const ice = new IceConfiguration({
      clock, log,
      ask: async () => {
        const response = await bus.request({ type: 'read', from: child(runtime, 'registry'), to: iceAddress(domain) });
        if (response.body.code === 404) return undefined;
        if (!isSuccess(response)) throw responseError(response);
        return response.body.value;
      },
      onChange: (servers) => { stubs.configure(servers); },
    }, {
      own: init.iceServers ?? [], listed: own.iceServers ?? [], ...(init.iceTransportPolicy === undefined ? {} : { policy: init.iceTransportPolicy }),
    });
    const connections: Connections = new Connections({
      bus, clock, stubs, nodes, catalogue, ice, log,
      random: Math.random,
      generations: store.collection('generations'),
      hostOf: async (address) => {
        const record = await records.find(address);
        if (record === undefined && nodes.isAway(domainOf(address))) throw new ProtoflyError('E_UNREACHABLE', `where ${address} lives can't be checked: the registry of ${domainOf(address)} is away`);
        return record?.runtime;
      },
      isOwn: (address) => this.#isOwn(address),
      accept: (message, origin) => this.#accept(message, origin),
      onLost: lost,
      onHandler: changed,
      onOffer: () => { if (nodes.status.status === 'live') this.#announce(); },
    }, { runtime, domain, enabled: init.p2p ?? true });
    const router: Router = new Router({ records, hyperties, connections, nodes, outgoing, outbox, reply }, { runtime });
    connections.onChange(({ now }) => { if (now === 'live') outbox.wake(); });
    const network = new NetworkMonitor({
      clock, log,
      interfaces: components.interfaces ?? networkInterfaces,
      onChange: (change) => {
        this.#networkChange = { at: new Date(clock.now()).toISOString(), change: describeChange(change) };
        connections.networkChanged(change.kind === 'addresses' ? change.gone : new Set());
        nodes.networkChanged();
        changed();
      },
    });
    const syncManager: SyncManager = new SyncManager({
      bus, clock,
      routes: {
        allocate: async (scheme) => (await nodes.allocate(scheme))[0]!,
        subscribe: (addresses) => nodes.subscribe(addresses),
        unsubscribe: (addresses) => nodes.unsubscribe(addresses),
        publish: (message) => nodes.publish(message),
      },
    }, { runtime, domain, isOutside: cameFromElsewhere, log });
    const clients = new Clients({ bus, hyperties, log }, { runtime, domain, user });
    new UserAgent({
      bus, clients,
      status: () => this.status(),
      onStatus: (listener) => this.onStatus(listener),
      stop: () => { this.#stopRequested(); },
    }, { runtime });
    const explainer = new Explainer({ records, hyperties, connections, nodes, stubs, catalogue }, { runtime });
    const registry = new RegistryService({ bus, clock, hyperties, stubs, connections, records, explainer }, { runtime });
    new Doctor({
      bus, clock, connections,
      probe: async () => probeNetwork(iceEndpoints((await ice.ready()).iceServers), {
        clock, addresses: () => Object.values((components.interfaces ?? networkInterfaces)()).flatMap((addresses = []) => addresses.map(({ address }) => address)),
      }),
      isConnected: () => nodes.status.status === 'live',
      p2p: () => ({ on: connections.handler !== undefined, relayOnly: ice.current.iceTransportPolicy === 'relay' }),
      host: (what) => registry.host(what),
    }, { runtime });
    new CatalogueService({ bus, publishers, catalogue, onTrust: () => { nodes.retry(); connections.retry(); } }, { runtime, domain });
    bus.addListener(runtime, (message, origin) => {
      if (isResponse(message)) return;
      if (message.type !== 'ping') throw new ProtoflyError('E_REFUSED', 'a runtime answers nothing but ping at its own address');
      void bus.post(respond(message, 200, { ...arrivalOf(origin) }, runtime));
    });
    this.#parts = { bus, publishers, catalogue, loader, stubs, nodes, hyperties, connections, outgoing, outbox, ice, network, records, syncManager, clients };
  }

  /** Serves a program that is at the other end of a link. */
  serve(link: Link<Message>): void {
    this.#parts.clients.add(link);
  }

  /** @see docs/control.md */
  status(): Record<string, unknown> {
    const { nodes, connections, hyperties, bus, outgoing, clients, outbox } = this.#parts;
    const handler = connections.handler;
    const enabled = connections.handlerAddress !== undefined;
    const { refusal, ...messageNode } = nodes.status;
    const reason = this.#notLive();
    return {
      runtime: this.url, domain: this.domain, user: this.user, pid: process.pid, version: this.#init.version,
      startedAt: new Date(this.#startedAt).toISOString(),
      state: reason === undefined ? 'live' : this.#wasLive ? 'degraded' : 'starting',
      ...(reason === undefined ? {} : { reason }),
      ...(refusal === undefined ? {} : { refusal: { code: refusal.code, message: refusal.message, ...(refusal.hint === undefined ? {} : { hint: refusal.hint }) } }),
      messageNode,
      p2p: { enabled, ...(handler === undefined ? { ...(connections.trouble === undefined ? {} : { status: 'failed', description: connections.trouble }) } : { handler: handler.address, status: handler.status }) },
      hyperties: hyperties.size, connections: connections.list().filter(({ status }) => status === 'live').length, programs: clients.size, outbox: { ...outbox.waiting, ...outbox.givenUp },
      ...(this.#init.socket === undefined ? {} : { socket: this.#init.socket }),
      ...(this.#init.logFile === undefined ? {} : { log: this.#init.logFile }),
      ...(this.#networkChange === undefined ? {} : { network: this.#networkChange }),
      counters: { dropped: bus.dropped, resent: outgoing.resent + outbox.resent, rejected: this.#rejected + clients.rejected + connections.refused },
    };
  }

  /** Calls back at each change of the status. @returns ends it */
  onStatus(listener: () => void): () => void {
    this.#statusListeners.add(listener);
    return () => this.#statusListeners.delete(listener);
  }

  /** Resolves when the runtime is live. @throws ProtoflyError `E_ABORTED` */
  whenLive(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (this.#notLive() !== undefined) return;
        end();
        resolve();
      };
      const abort = (): void => {
        end();
        reject(new ProtoflyError('E_ABORTED', `the runtime is not live: ${this.#notLive() ?? 'given up'}`));
      };
      const stop = this.onStatus(look);
      const end = (): void => {
        stop();
        signal?.removeEventListener('abort', abort);
      };
      signal?.addEventListener('abort', abort);
      look();
    });
  }

  /** Ends connections, sandboxes and links in order; keeps what is on disk. The store is its owner's. Idempotent. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const { clients, syncManager, catalogue, stubs, nodes, connections, loader, outgoing, ice, hyperties, outbox, network } = this.#parts;
    network.close();
    await clients.close();
    await syncManager.close();
    stubs.close();
    nodes.close();
    connections.close();
    ice.close();
    outgoing.close();
    outbox.close();
    await loader.close();
    await catalogue.close();
    hyperties.close();
  }

  #begin(): void {
    const { nodes, connections, outbox, network } = this.#parts;
    network.start();
    nodes.start();
    connections.start();
    outbox.start();
  }

  /** Why the runtime isn't live, or undefined. */
  #notLive(): string | undefined {
    const { nodes, connections, hyperties } = this.#parts;
    const { status, description } = nodes.status;
    if (status !== 'live') return `the message node is ${status === 'disconnected' ? 'not connected' : status}${description === undefined ? '' : ` (${description})`}`;
    if (connections.expectsHandler && connections.handler === undefined) return connections.trouble ?? 'the P2P handler is being deployed';
    if (!hyperties.allRegistered) return this.#failure ?? 'hyperties are being registered';
    return undefined;
  }

  #changed(): void {
    if (this.#notLive() === undefined) this.#wasLive = true;
    for (const listener of [...this.#statusListeners]) listener();
  }

  /** In a new session the own domain has to be told again what lives here. */
  #renew(domain: string): void {
    const { syncManager, ice } = this.#parts;
    syncManager.resubscribe(domain).catch((thrown: unknown) => {
      this.#components.log('warn', `data objects at ${domain} not followed again: ${asProtoflyError(thrown).message}`);
    });
    if (domain !== this.domain) return;
    void ice.renew();
    // Whoever learns of this runtime may connect at once: its stubs know their servers by then.
    void ice.ready().then(() => { if (this.#stopping === undefined) this.#announce(); });
  }

  /** Has the own domain know the hyperties of this runtime, as they are now. */
  #announce(): void {
    const { syncManager, hyperties } = this.#parts;
    hyperties.renew().then(
      () => {
        this.#failure = undefined;
        syncManager.start();
        this.#changed();
      },
      (thrown: unknown) => {
        this.#failure = `hyperties are not registered: ${asProtoflyError(thrown).message}`;
        this.#components.log('warn', this.#failure);
        this.#changed();
      },
    );
  }

  #isOwn(address: Address): boolean {
    return isWithin(address, this.url) || this.#parts.hyperties.find(address) !== undefined;
  }

  #accept(message: Message, origin: Origin): Pressure {
    const { bus, outgoing, outbox, records } = this.#parts;
    if (isResponse(message)) {
      const wanted = outbox.settle(message) && outgoing.settle(message);
      // Whoever isn't there any more is looked for anew.
      if (message.body.code === 404 || message.body.code === 408) records.forget(message.from).catch((thrown: unknown) => { this.#components.log('warn', asProtoflyError(thrown).message); });
      if (!wanted) return undefined;
    } else if (recipientsOf(message).some((to) => this.#isPrivate(to))) {
      this.#rejected += 1;
      return bus.post(refuse(message, new ProtoflyError('E_REFUSED', `${String(message.to)} is for programs of that runtime`)));
    }
    return bus.post(message, origin);
  }

  #isPrivate(to: Address): boolean {
    if (!isWithin(to, this.url)) return false;
    const [component = ''] = to.slice(this.url.length + 1).split('/');
    return PRIVATE.has(component);
  }
}

const arrivalOf = (origin: Origin | undefined): Arrival =>
  origin instanceof P2pConnection ? { path: 'p2p', generation: origin.generation } : { path: origin instanceof Protostub ? origin.kind : 'local' };
