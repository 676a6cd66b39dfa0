import { randomBytes } from 'node:crypto';
import { networkInterfaces } from 'node:os';
import { isForeign, MessageBus } from '../bus/index.js';
import {
  child, iceAddress, iceEndpoints, isSuccess, responseError, type Acceptance, type Address, type Clock, type IceServer, type IceTransportPolicy,
} from '../protocol/index.js';
import type { DomainInfo } from '../protocol/descriptor.js';
import type { DeviceCode } from '../security/invite.js';
import type { SharedKeyKeeper } from '../security/key-keeper.js';
import type { Store } from '../store/index.js';
import { CatalogueService, ConnectedPrograms, PingService, RegistryService, UserAgent, UserService } from './services/index.js';
import { Outgoing, Receipts, replyOver, WINDOW, type Carrier } from './delivery/index.js';
import { Doctor } from './p2p/doctor/index.js';
import { AcceptPolicy, Contacts, Guests, Knocks, Senders, type Contact, type Knock } from './contacts/index.js';
import { Ingress } from './routing/ingress.js';
import { IceConfiguration } from './ice/index.js';
import type { Identity, UserIdentity } from './identity/index.js';
import { Loader, makeCatalogue, OwnCode, type CheckedCatalogue } from './stubs/loader/index.js';
import { describeChange, NetworkMonitor, type Interfaces } from './network/index.js';
import type { Domains, PublicWebPort } from './directory/domains.js';
import { NamedDomains } from './directory/named-domains.js';
import { Records, type Cached } from './directory/records.js';
import { Hyperties } from './hyperties/hyperties.js';
import { RecordSigner, type KeptSerials } from './hyperties/record-signer.js';
import { MessageNodes } from './nodes/message-nodes.js';
import { Enrolment } from './nodes/enrolment.js';
import { SessionSigner } from './nodes/session-signer.js';
import { Connections } from './p2p/connections.js';
import { SetUpSignatures } from './p2p/set-up-signatures.js';
import { Explainer } from './routing/explain.js';
import { RouteFinder } from './routing/route-finder.js';
import { Router } from './routing/router.js';
import { Protostubs } from './stubs/protostubs.js';
import { Outbox } from './delivery/outbox/index.js';
import { Publishers, type StubPolicy } from './stubs/policy/index.js';
import type { SandboxFactory } from '../sandbox/index.js';
import { probeNetwork } from './p2p/stun/index.js';
import { SyncManager } from './objects/index.js';

export type Log = (level: 'debug' | 'info' | 'warn', text: string) => void;

export interface RuntimeComponents {
  readonly store: Store;
  readonly sandboxes: SandboxFactory;
  readonly clock: Clock;
  /** For documents of the own domain, and of those that the user has added. */
  readonly fetch: typeof fetch;
  /** For documents of all other domains. @default the public internet alone */
  readonly web?: PublicWebPort;
  readonly log: Log;
  /** Storage of the key of a user, which all runtimes of an account share. @default the store */
  readonly userKeys?: (user: Address) => SharedKeyKeeper;
  /** Returns the addresses of this machine. @default os.networkInterfaces */
  readonly interfaces?: Interfaces;
}

export interface RuntimeInit {
  /** Base URL of the runtime's own domain, like `http://localhost:9090`. */
  readonly domainUrl: string;
  /** Base URLs of other domains by name, for domains without DNS. @default none */
  readonly domains?: Readonly<Record<string, string>>;
  /** The owner's user name in the domain. */
  readonly user: string;
  /** The token of an invitation to the domain. @default none */
  readonly invite?: string;
  /** The people whose messages, direct connections and pings are taken. @default 'anyone' for each */
  readonly accept?: Partial<Acceptance>;
  /** True if the runtime ends with its process, so that its user needn't list it among his machines. @default false */
  readonly isTransient?: boolean;
  /** The user's name for this machine. @default its host name */
  readonly device?: string;
  /** The code with which another runtime of the user has this one certified. @default this runtime uses the user's key */
  readonly code?: Pick<DeviceCode, 'runtime' | 'secret' | 'userKey'>;
  /** True to offer and set up P2P connections. @default true */
  readonly p2p?: boolean;
  /** ICE servers in addition to the domain's. @default none */
  readonly iceServers?: readonly IceServer[];
  /** `relay`: P2P connections go through TURN servers or not at all. @default 'all' */
  readonly iceTransportPolicy?: IceTransportPolicy;
  /** The publishers whose stubs are deployed, and the capabilities granted. @default all publishers, all capabilities */
  readonly stubs?: StubPolicy;
  /**
   * Id of a publisher key of the domain that is to be trusted, whatever keys were trusted before.
   * @default the first key that the domain shows
   */
  readonly trust?: string;
  /** Maximum number of bytes in flight from one sender to one receiver. @default 1 MiB */
  readonly window?: number;
  readonly version: string;
  /** Path of the control socket, shown in the status. @default none */
  readonly socket?: string;
  /** Returns the number of programs that the control socket refused; counted in the status as rejected. */
  readonly refusedPrograms?: () => number;
  /** Path of the log, shown in the status. @default none */
  readonly logFile?: string;
}

/** The parts of a runtime: message bus, routing, stubs, hyperties and programs. */
export interface Parts {
  readonly named: NamedDomains;
  readonly enrolment: Enrolment;
  readonly contacts: Contacts;
  readonly knocks: Knocks;
  readonly senders: Senders;
  readonly bus: MessageBus;
  readonly publishers: Publishers;
  readonly catalogue: CheckedCatalogue;
  readonly loader: Loader;
  readonly stubs: Protostubs;
  readonly nodes: MessageNodes;
  readonly hyperties: Hyperties;
  readonly connections: Connections;
  readonly outgoing: Outgoing;
  readonly receipts: Receipts;
  readonly outbox: Outbox;
  readonly ice: IceConfiguration;
  readonly network: NetworkMonitor;
  readonly records: Records;
  readonly syncManager: SyncManager;
  readonly clients: ConnectedPrograms;
  readonly ingress: Ingress;
}

/** The parts' view of their runtime. */
export interface Host {
  /** Called when the status has changed. */
  onChange(): void;
  /** Called for a new session, in which the domain's node only knows this runtime's URL. */
  onSession(domain: string): Promise<void>;
  /** Called when the P2P offer of this runtime is known, or has changed. */
  onOffer(): void;
  /** Registers the hyperties anew, because their records have changed. @throws ProtoflyError as the domain refuses */
  announce(): Promise<void>;
  /** Called with a description when this machine's network has changed. `onChange` follows when all parts have been told. */
  onNetworkChange(change: string): void;
  /** Returns the status as docs/control.md describes it. */
  status(): Record<string, unknown>;
  /** Registers a listener for changes of the status. @returns a function that removes it */
  onStatus(listener: () => void): () => void;
  /** Called when a program asks the runtime to stop. */
  onStopRequested(): void;
}

export interface PartsComponents extends RuntimeComponents {
  readonly domains: Domains;
  readonly host: Host;
}

export interface PartsInit {
  readonly settings: RuntimeInit;
  /** The description of the runtime's own domain. */
  readonly own: DomainInfo;
  readonly runtime: Address;
  readonly identity: Identity;
  readonly userIdentity: UserIdentity;
}

/** Puts a runtime together, without starting it. */
export const assemble = (components: PartsComponents, init: PartsInit): Parts => {
  const { store, clock, log, sandboxes, domains, host, interfaces = networkInterfaces } = components;
  const { settings, own, runtime, identity, userIdentity } = init;
  const { key, guid } = identity;
  const { user } = userIdentity;
  const { domain } = own;
  const { window = WINDOW } = settings;

  const bus = new MessageBus({ clock }, {
    firstId: randomBytes(4).readUInt32BE() * 1024,
    onDrop: (message, why) => { log('debug', `dropped ${message.type} from ${message.from} to ${String(message.to)}: ${why}`); },
  });
  const ingress = new Ingress({ bus }, { runtime });

  const contacts = new Contacts({ clock, kept: store.collection<Contact>('contacts'), own: userIdentity, log });
  const named = new NamedDomains([domain, ...Object.keys(settings.domains ?? {}), ...contacts.domains]);
  const publishers = new Publishers({ kept: store.collection('publishers'), domains, clock, log });
  const catalogue = makeCatalogue({ store, clock, log, domains, publishers, ownDomain: domain }, settings.stubs ?? {});
  const loader = new Loader({ catalogue, sandboxes, own: new OwnCode(), named, domains });
  const stubs = new Protostubs({ bus, loader, clock, log });

  const nodes = new MessageNodes({
    bus, clock, stubs, named, intake: ingress, log,
    onSession: (name) => host.onSession(name),
    onChange: () => { host.onChange(); },
  }, { runtime, domain });
  new SessionSigner({ bus, key, identity: userIdentity }, { runtime, domain, invite: settings.invite });
  const enrolment = new Enrolment({ bus, clock, identity: userIdentity, onRenewed: () => { host.onOffer(); }, log }, { runtime, domain });
  catalogue.onNews((origin) => { nodes.renew(origin); });
  const records = new Records({ bus, clock, cache: store.collection<Cached>('records'), nodes, named, users: contacts, log }, { runtime, domain, user });
  const senders = new Senders({ clock, records });
  const knocks = new Knocks({ clock, kept: store.collection<Knock>('knocks'), log });
  const accept = new AcceptPolicy({ contacts, senders, knocks }, { user, domain, ...(settings.accept === undefined ? {} : { accept: settings.accept }) });
  const guests = new Guests({ contacts, senders, policy: accept });
  const signatures = new SetUpSignatures({ clock, key, identity: userIdentity, stubs }, { runtime });
  const syncManager = new SyncManager({ bus, clock, routes: nodes, hosts: records, signer: signatures }, { runtime, domain, isOutside: isForeign, log });
  stubs.onEnd((url) => { void syncManager.release(url); });

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
    own: settings.iceServers ?? [], listed: own.iceServers ?? [], ...(settings.iceTransportPolicy === undefined ? {} : { policy: settings.iceTransportPolicy }),
  });
  const connections = new Connections({
    bus, clock, stubs, nodes, catalogue, ice, signatures, guests, hosts: records, intake: ingress, log,
    random: Math.random,
    generations: store.collection('generations'),
    onHandler: () => { host.onChange(); },
    onOffer: () => { if (nodes.status.status === 'live') host.onOffer(); },
  }, { runtime, domain, enabled: settings.p2p ?? true });

  const reply = replyOver(bus);
  const receipts = new Receipts({ reply });
  const signer = new RecordSigner({ clock, key, kept: store.collection<KeptSerials>('serials'), log });
  const hyperties = new Hyperties({ bus, clock, store, nodes, connections, identity: userIdentity, receipts, signer, isGuest: (from) => accept.isGuest(from), log }, { runtime, domain, guid });
  const routes = new RouteFinder({ records, hyperties, connections, nodes }, { runtime });
  const epoch = randomBytes(6).toString('base64url');
  const onMute = (carrier: Carrier): void => { connections.acknowledgesNothing(carrier); };
  const outgoing = new Outgoing({ clock, routes, reply, receipts, onMute }, { epoch, window });
  const outbox = new Outbox({ clock, routes, reply, onMute, log, messages: store.collection('outbox'), pairs: store.collection('outbox-pairs') }, { epoch, window });
  contacts.onRemoved((runtimeId) => {
    senders.forget(runtimeId);
    connections.dismiss(runtimeId);
  });
  connections.onChange(({ now }) => {
    if (now !== 'live') return;
    outgoing.wake();
    outbox.wake();
  });
  ingress.serve({ hyperties, records, connections, accept, named, outgoing, outbox });
  bus.resolveBy(new Router({ routes, records, nodes, outgoing, outbox, reply }, { runtime }));

  const network = new NetworkMonitor({
    clock, log, interfaces,
    onChange: (change) => {
      host.onNetworkChange(describeChange(change));
      connections.networkChanged(change.kind === 'addresses' ? change.gone : new Set());
      nodes.networkChanged();
      host.onChange();
    },
  });
  const clients = new ConnectedPrograms({ bus, hyperties, log }, { runtime, domain, user, window });
  const parts: Parts = { named, enrolment, contacts, knocks, senders, bus, publishers, catalogue, loader, stubs, nodes, hyperties, connections, outgoing, receipts, outbox, ice, network, records, syncManager, clients, ingress };
  addServices(parts, components, { runtime, domain, identity, userIdentity });
  return parts;
};

/** Adds the services at the runtime's own addresses: for its programs, and `ping` for everybody. */
const addServices = (parts: Parts, components: PartsComponents, { runtime, domain, identity, userIdentity }: Pick<PartsInit, 'runtime' | 'identity' | 'userIdentity'> & { readonly domain: string }): void => {
  const { bus, clients, hyperties, records, connections, nodes, stubs, catalogue, publishers, ice, named, enrolment, contacts, knocks, senders } = parts;
  const { clock, host, interfaces = networkInterfaces } = components;
  new UserAgent({
    bus, clients,
    status: () => host.status(),
    onStatus: (listener) => host.onStatus(listener),
    stop: () => { host.onStopRequested(); },
  }, { runtime });
  const explainer = new Explainer({ records, hyperties, connections, nodes, stubs, catalogue }, { runtime });
  const registry = new RegistryService({ bus, clock, hyperties, stubs, connections, records, explainer }, { runtime });
  new Doctor({
    bus, clock, connections,
    probe: async () => probeNetwork(iceEndpoints((await ice.ready()).iceServers), {
      clock, addresses: () => Object.values(interfaces()).flatMap((addresses = []) => addresses.map(({ address }) => address)),
    }),
    isConnected: () => nodes.status.status === 'live',
    p2p: () => ({ on: connections.handler !== undefined, relayOnly: ice.current.iceTransportPolicy === 'relay' }),
    host: (what) => registry.host(what),
  }, { runtime });
  new CatalogueService({ bus, publishers, catalogue, onTrust: () => { nodes.retry(); connections.retry(); } }, { runtime, domain });
  new UserService({
    bus, named, publishers, contacts, knocks, senders, hyperties,
    look: (user) => records.discover({ user }),
    identity: userIdentity,
    onChanged: async () => {
      await enrolment.show();
      await host.announce();
    },
    nodeUrl: () => nodes.status.url,
  }, { runtime, domain, runtimeKey: identity.key.fingerprint });
  new PingService({ bus }, { runtime });
};
