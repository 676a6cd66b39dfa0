import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { passingCodec, type Link } from '../link/index.js';
import type { ControlServer } from '../link/socket/index.js';
import { streamLink } from '../link/stream/index.js';
import { KEEP_ALIVE_MS } from '../link/websocket/index.js';
import { asProtoflyError, DELIVERY, iceAddress, MAX_MESSAGE_BYTES, ProtoflyError, publicUrlOf, type Address, type Clock, type Message } from '../protocol/index.js';
import type { KeyKeeper } from '../security/key-keeper.js';
import { storeKeeper } from '../store/key-keeper.js';
import type { Store } from '../store/store.js';
import { serveAdmin } from './operate/admin.js';
import { Membership } from './operate/membership.js';
import { commonEntries, installedStubs, keepStubs, packagedStubs, type CatalogueEntry, type InstalledStubs } from './catalogue/builtin.js';
import { Catalogue } from './catalogue/catalogue.js';
import { httpListener } from './edge/http.js';
import { iceFunction, IceOffer } from './ice/index.js';
import { checkProtocols, PROTOCOLS, stubOf, type Protocol } from './edge/protocols.js';
import { Publisher } from './publisher/index.js';
import type { MailLimits } from './shard/mailbox/index.js';
import { Admission, type AdmissionMode } from './shard/members/admission.js';
import { Members } from './shard/members/members.js';
import { NODE_LIMITS, type NodeLimits } from './shard/message-node/limits.js';
import { MessageNode } from './shard/message-node/node.js';
import type { RegistryLimits } from './shard/registry/limits.js';
import { StoredRecords } from './shard/registry/records.js';
import { DomainRegistry } from './shard/registry/registry.js';
import { isForRest, Rest, type RestLimits } from './edge/rest/index.js';
import { SHARE_LIMITS, type ShareLimits } from './edge/remote.js';
import { limitStranger } from './edge/strangers.js';
import { refuseRequest, WebAccess } from './edge/web-access.js';
import { refuseSocket, Websockets } from './edge/websockets.js';

export interface DomainServerComponents {
  /** The store. The caller opens and closes it. */
  readonly store: Store;
  readonly clock: Clock;
  /** Storage of the keys that sign the catalogue. @default the store */
  readonly publisherKeys?: KeyKeeper;
  /** @default crypto.randomBytes */
  readonly random?: (bytes: number) => Uint8Array;
  /** @default nothing is logged */
  readonly log?: (text: string, details?: Record<string, unknown>) => void;
}

export interface DomainServerInit {
  /** The domain's name, a host name. @default 'localhost' */
  readonly name?: string;
  /** Address to listen at. @default 127.0.0.1, any free port */
  readonly listen?: { readonly host: string; readonly port: number };
  /**
   * The URL at which clients reach the server, for the domain's documents and descriptors.
   * @default the address that it listens on; `localhost` if that is any address
   */
  readonly publicUrl?: string;
  /**
   * Origins of the web pages that may open sessions, besides the server's own; `*` for all.
   * @default none
   */
  readonly allowOrigins?: readonly string[];
  /**
   * True to let in runtimes whose URL names no key, like plain reTHINK clients. Nobody can tell who they are.
   * @default false
   */
  readonly allowUnauthenticated?: boolean;
  /**
   * The kind of its admission. `open` admits everybody, and a user's name belongs to the first key that comes with it;
   * `invite` admits those who were invited.
   * @default 'open' while it listens on the loopback interface alone and its public URL leads there, else 'invite'
   */
  readonly admission?: AdmissionMode;
  /** True to let in the runtimes of other domains, although users have to be invited. @default false */
  readonly allowVisitors?: boolean;
  /** PEM texts. @default no TLS */
  readonly tls?: { readonly cert: string; readonly key: string };
  /** URLs of the domain's STUN and TURN servers. @default none */
  readonly iceServers?: readonly string[];
  /** The secret shared with the TURN servers in `iceServers`. @default none: no credentials are made */
  readonly turnSecret?: string;
  /** Lifetime of TURN credentials, in seconds. @default 3600 */
  readonly turnTtlS?: number;
  /**
   * The protocols of the message node. The stub of the first is the domain's default.
   * @default ['websocket', 'rest']
   */
  readonly protocols?: readonly Protocol[];
  /**
   * URLs of the message node over the caller's own protocols, by protocol name. The caller passes such connections to
   * `serve` or `serveLines`. They precede `protocols`: the domain's `default` stub must be published.
   * @default none
   */
  readonly messageNode?: Readonly<Record<string, string>>;
  /**
   * A folder of built stubs for the catalogue. The domain keeps a copy, in case the folder is missing at a later
   * start.
   * @default the stubs of this package
   */
  readonly catalogueDir?: string;
  /** Path of the operator's local socket. @default none */
  readonly adminSocket?: string;
  /** Called when a stop is requested over the local socket. @default `close()` */
  readonly onStop?: () => void;
  /** Version of the software, shown in the status. @default none */
  readonly version?: string;
  /** Time after which a session without its runtime ends, in milliseconds. @default 60_000 */
  readonly sessionTtlMs?: number;
  /**
   * Interval of the pings to clients, in milliseconds. A client that is sent something and stays silent is pinged
   * after 3 s, if that is sooner.
   * @default 30_000
   */
  readonly keepAliveMs?: number;
  /** Time for which a disconnected registration is kept, in milliseconds. @default 7 days */
  readonly keepDisconnectedMs?: number;
  /** The parts that one remote address may have of what the server has for all. @default SHARE_LIMITS */
  readonly shares?: Partial<ShareLimits>;
  /** Limits of the message node. @default NODE_LIMITS */
  readonly limits?: Partial<NodeLimits>;
  /** Limits of the domain registry. @default REGISTRY_LIMITS */
  readonly registry?: Partial<RegistryLimits>;
  /** Limits of the mailbox. @default MAIL_LIMITS */
  readonly mail?: Partial<MailLimits>;
  /** Limits of REST. @default REST_LIMITS */
  readonly rest?: Partial<RestLimits>;
}

const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || host === '[::1]' || host.startsWith('127.');
const isAnyAddress = (host: string): boolean => host === '0.0.0.0' || host === '::';

const DOMAIN = /^[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9_])?$/;
const KEEP_DISCONNECTED_MS = 7 * 24 * 3600 * 1000;

type State =
  | { readonly at: 'new' | 'starting' }
  | { readonly at: 'running'; readonly url: string; readonly startedAt: string }
  | { readonly at: 'closed' };

/** A complete small domain in one process: message node, domain registry and catalogue on one port. */
export class DomainServer {
  readonly domain: string;
  readonly catalogue: Catalogue;
  readonly protocols: readonly Protocol[];
  readonly publisher: Publisher;
  readonly admission: AdmissionMode;
  readonly #membership: Membership;
  readonly #init: DomainServerInit;
  readonly #clock: Clock;
  readonly #log: (text: string, details?: Record<string, unknown>) => void;
  readonly #node: MessageNode;
  readonly #ice: IceOffer;
  readonly #records: StoredRecords;
  readonly #registry: DomainRegistry;
  readonly #rest: Rest;
  readonly #http: Server;
  readonly #websockets: Websockets;
  readonly #limits: NodeLimits;
  readonly #publicUrl: string | undefined;
  readonly #access: WebAccess;
  readonly #kept: InstalledStubs;
  readonly #installed: readonly CatalogueEntry[];
  #admin: ControlServer | undefined;
  #state: State = { at: 'new' };
  #closing: Promise<void> | undefined;

  /**
   * @throws ProtoflyError `E_USAGE` for an invalid domain name or public URL, unknown protocols or unusable ICE servers;
   * `E_DESCRIPTOR` for a bad catalogue folder
   */
  constructor({ store, clock, publisherKeys, random = randomBytes, log = () => undefined }: DomainServerComponents, init: DomainServerInit = {}) {
    this.domain = (init.name ?? 'localhost').toLowerCase();
    if (!DOMAIN.test(this.domain)) throw new ProtoflyError('E_USAGE', `${JSON.stringify(init.name)} is not a domain name`);
    const own = Object.keys(init.messageNode ?? {});
    this.protocols = checkProtocols(init.protocols ?? PROTOCOLS, own);
    this.#init = init;
    this.#publicUrl = init.publicUrl === undefined ? undefined : publicUrlOf(init.publicUrl);
    this.#access = new WebAccess({
      names: [this.domain, ...(init.listen === undefined ? [] : [init.listen.host]), ...(this.#publicUrl === undefined ? [] : [new URL(this.#publicUrl).hostname])],
      origins: init.allowOrigins ?? [],
      own: () => [new URL(this.publicUrl).origin, this.#listenUrl()],
    });
    this.#clock = clock;
    this.#log = log;
    const sessionTtlMs = init.sessionTtlMs ?? NODE_LIMITS.sessionTtlMs;
    const shares = { ...SHARE_LIMITS, ...init.shares };
    this.#limits = { ...NODE_LIMITS, sharePerAddress: shares.perAddress, ...init.limits, sessionTtlMs };
    this.#ice = new IceOffer({ clock }, {
      ...(init.iceServers === undefined ? {} : { servers: init.iceServers }),
      ...(init.turnSecret === undefined ? {} : { turnSecret: init.turnSecret }),
      ...(init.turnTtlS === undefined ? {} : { ttlS: init.turnTtlS }),
    });
    this.#records = new StoredRecords({ store, clock }, {
      keepDisconnectedMs: init.keepDisconnectedMs ?? KEEP_DISCONNECTED_MS, limits: { sharePerAddress: shares.perAddress, ...init.registry },
    });
    const members = new Members({ store, clock });
    const reachedAt = [init.listen?.host ?? '127.0.0.1', ...(this.#publicUrl === undefined ? [] : [new URL(this.#publicUrl).hostname])];
    this.admission = init.admission ?? (reachedAt.every(isLoopback) ? 'open' : 'invite');
    const admission = new Admission({ clock, members, onRemoved: (user, runtimes) => this.#expelRuntimes(user, runtimes), onTakenOver: (user) => this.#expelUser(user, 'another key has this name now') }, {
      domain: this.domain, mode: this.admission, allowUnauthenticated: init.allowUnauthenticated ?? false, allowVisitors: init.allowVisitors ?? false,
    });
    this.#node = new MessageNode({
      store, clock, random, log, admission,
      registeredBy: (address) => this.#records.get(address)?.runtime,
      acknowledges: (address) => this.#records.get(address)?.delivery === DELIVERY,
      onSessionEnded: (runtime) => this.#registry.disconnected(runtime),
    }, { domain: this.domain, allowUnauthenticated: init.allowUnauthenticated ?? false, limits: this.#limits, mail: { sharePerAddress: shares.perAddress, ...init.mail } });
    this.#registry = new DomainRegistry({
      clock, log,
      records: this.#records,
      claim: (address, runtime) => this.#claim(address, runtime),
      checkUser: (record, standing) => admission.checkRecord(record, standing),
      publish: (message, to) => { this.#node.publish(message, to); },
    }, { domain: this.domain, graceMs: sessionTtlMs });
    this.#node.addFunction(this.#registry.address, (request, session) => this.#registry.handle(request, session));
    this.#node.addFunction(iceAddress(this.domain), iceFunction(this.#ice, this.domain));
    this.publisher = new Publisher({ keeper: publisherKeys ?? storeKeeper(store, { collection: 'publisher', key: this.domain, what: `the publisher key of ${this.domain}` }), clock }, { domain: this.domain });
    this.#membership = new Membership({ members, publisher: this.publisher, random, expel: (user) => this.#expelUser(user, 'it was removed from this domain') }, { domain: this.domain, publicUrl: () => this.publicUrl });
    this.#kept = store.collection('catalogue-installed');
    this.#installed = installedStubs(init.catalogueDir ?? packagedStubs(), this.#kept);
    this.catalogue = new Catalogue({ store, clock, signer: this.publisher }, {
      domain: this.domain,
      defaultStub: own.length > 0 || this.protocols[0] === undefined ? undefined : stubOf(this.protocols[0]),
      entries: [...commonEntries(this.domain), ...this.#installed],
    });
    this.#rest = new Rest({ node: this.#node, clock, log }, { maxBody: MAX_MESSAGE_BYTES, sessionTtlMs, shares, ...(init.rest === undefined ? {} : { limits: init.rest }) });
    this.#http = this.#makeHttp();
    this.#websockets = new Websockets({ node: this.#node, clock }, { keepAliveMs: init.keepAliveMs ?? KEEP_ALIVE_MS, shares });
  }

  /** The base URL. Undefined until the server has started. */
  get url(): string | undefined {
    return this.#state.at === 'running' ? this.#state.url : undefined;
  }

  /** The URL that documents name. @see DomainServerInit.publicUrl */
  get publicUrl(): string {
    return this.#publicUrl ?? this.#listenUrl();
  }

  /**
   * Starts the server.
   * @returns the base URL
   * @throws ProtoflyError `E_CONFLICT` if the port or the local socket is taken, `E_STORE` if the publisher key is
   * damaged, `E_ABORTED` if the server is closed during the start, `E_PLATFORM`
   */
  async start(): Promise<string> {
    if (this.#state.at !== 'new') throw new ProtoflyError('E_CONFLICT', 'a domain server is started once');
    const { host, port } = this.#init.listen ?? { host: '127.0.0.1', port: 0 };
    this.#state = { at: 'starting' };
    try {
      // The local socket comes first: it prevents a second server from using the same state.
      if (this.#init.adminSocket !== undefined) {
        const { catalogue, publisher } = this;
        this.#admin = await serveAdmin({ catalogue, publisher, membership: this.#membership, status: () => this.status(), stop: () => { this.#stop(); }, log: this.#log }, { domain: this.domain, path: this.#init.adminSocket });
      }
      await this.publisher.load();
      await keepStubs(this.#kept, this.#installed);
      await this.catalogue.load();
      this.#node.directory.load();
      this.#node.mailbox.load();
      if (this.#closing === undefined) await this.#listen(host, port);
      if (this.#closing !== undefined) throw new ProtoflyError('E_ABORTED', 'the domain server was closed before it had started');
    } catch (thrown) {
      await this.close();
      // Close what was opened after `close` had run.
      this.#http.close();
      await this.#admin?.close();
      throw thrown;
    }
    const url = this.#listenUrl();
    this.#state = { at: 'running', url, startedAt: new Date(this.#clock.date()).toISOString() };
    this.#registry.start();
    if (this.#publicUrl === undefined && isAnyAddress(host)) this.#log('documents name localhost: runtimes on other machines need a public URL', { hint: 'domain start --public-url http://HOST:PORT' });
    this.#log('serving', { domain: this.domain, url, ...(this.#publicUrl === undefined ? {} : { publicUrl: this.#publicUrl }) });
    return url;
  }

  /**
   * Serves a client of the message node over the caller's own protocol. The server owns the link from now on, and
   * closes it if it can't serve it.
   * @param taken a number that changes only when bytes leave the link. A client that causes backpressure while it
   * stays the same loses the link.
   * @default the number of messages sent, which suffices for small messages
   * @see docs/protocol.md, "Message-node session"
   */
  serve(link: Link<Message>, taken: () => number = () => link.stats.sent): void {
    try {
      if (this.#state.at !== 'running') throw new ProtoflyError('E_UNAVAILABLE', 'the domain server is not running');
      this.#node.attach(() => ({ link, taken }));
    } catch (thrown) {
      void link.close(asProtoflyError(thrown).message);
    }
  }

  /**
   * Serves a client of the message node over a connection with one message per line (UTF-8; empty lines are ignored).
   * The server owns the connection from now on. An invalid line is answered with its error.
   * @param socket must allow half-open connections (`allowHalfOpen`)
   * @see docs/protocol.md, "Message-node session"
   */
  serveLines(socket: Socket): void {
    socket.setNoDelay(true).setKeepAlive(true, this.#init.keepAliveMs ?? KEEP_ALIVE_MS).on('error', () => undefined);
    try {
      if (this.#state.at !== 'running') throw new ProtoflyError('E_UNAVAILABLE', 'the domain server is not running');
      this.#node.attach((init) => {
        const link = streamLink({ readable: socket, writable: socket }, passingCodec, init);
        limitStranger(socket, init.isMember, () => { socket.destroy(); });
        return { link, taken: () => socket.bytesWritten - socket.writableLength };
      });
    } catch (thrown) {
      this.#log('a client was not served', { error: asProtoflyError(thrown) });
      socket.destroy();
    }
  }

  /** @see docs/control.md, "The domain server's socket" */
  status(): Record<string, unknown> {
    const { received, delivered, refused, dropped, receivedPerSecond } = this.#node.meter;
    return {
      domain: this.domain,
      url: this.url,
      ...(this.#publicUrl === undefined ? {} : { publicUrl: this.#publicUrl }),
      pid: process.pid,
      version: this.#init.version,
      startedAt: this.#state.at === 'running' ? this.#state.startedAt : undefined,
      protocols: [...Object.keys(this.#init.messageNode ?? {}), ...this.protocols],
      admission: this.admission,
      publisherKey: this.#state.at === 'running' ? this.publisher.keyId : undefined,
      ...this.#node.directory.counts,
      connections: this.#node.connections,
      hyperties: this.#records.count(),
      messages: { received, delivered, refused, dropped },
      refused: { ...this.#access.refused, ...this.#node.directory.refused, records: this.#records.refused, mail: this.#node.mailbox.refusedShares, bodies: this.#rest.refused },
      mailbox: this.#node.mailbox.status,
      rates: { receivedPerSecond },
    };
  }

  /**
   * Closes the server. Sessions, registrations and catalogue entries stay in the store for the next start.
   * Idempotent.
   */
  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  async #end(): Promise<void> {
    this.#state = { at: 'closed' };
    const ended = new Promise<void>((resolve) => { this.#http.close(() => { resolve(); }); });
    await this.#node.close();
    this.#rest.close();
    this.#websockets.close();
    this.#http.closeAllConnections();
    await this.#registry.close();
    await ended;
    await this.#admin?.close();
  }

  #stop(): void {
    if (this.#init.onStop !== undefined) { this.#init.onStop(); return; }
    this.close().catch((thrown: unknown) => { this.#log('stopping failed', { error: asProtoflyError(thrown) }); });
  }

  async #claim(address: Address, runtime: Address): Promise<void> {
    const session = this.#node.directory.session(runtime);
    if (session === undefined) throw new ProtoflyError('E_UNAUTHENTICATED', `${runtime} has no session`);
    await this.#node.directory.allocate(session, [address]);
  }

  async #expelUser(user: Address, why: string): Promise<void> {
    const sessions = [...this.#node.directory.sessions].filter(({ standing }) => standing.as === 'user' && standing.user === user);
    await this.#node.expel(sessions, `${user}: ${why}`);
    await this.#records.removeOf(user);
  }

  async #expelRuntimes(user: Address, runtimes: readonly Address[]): Promise<void> {
    const sessions = runtimes.flatMap((runtime) => this.#node.directory.session(runtime) ?? []).filter(({ standing }) => standing.as === 'user' && standing.user === user);
    await this.#node.expel(sessions, 'the user of this runtime has removed it');
    for (const runtime of runtimes) await this.#records.removeOf(user, runtime);
  }

  #makeHttp(): Server {
    const { tls } = this.#init;
    const limits = { maxHeaderSize: 16 * 1024, headersTimeout: 10_000, requestTimeout: 180_000, keepAliveTimeout: 30_000, connectionsCheckingInterval: 2000 };
    const plain = httpListener({ catalogue: this.catalogue, publisher: this.publisher, log: this.#log }, {
      domain: this.domain, protocols: this.protocols, own: this.#init.messageNode ?? {}, publicUrl: () => this.publicUrl, iceServers: this.#ice.open,
    });
    const rest = this.protocols.includes('rest');
    const listener: RequestListener = (request, response) => {
      const forRest = rest && isForRest(request);
      const refusal = this.#access.checkHost(request) ?? (forRest ? this.#access.checkOrigin(request) : undefined);
      if (refusal !== undefined) { refuseRequest(request, response, refusal); return; }
      if (!forRest) { plain(request, response); return; }
      for (const [name, value] of Object.entries(this.#access.headers(request))) response.setHeader(name, value);
      this.#rest.listener(request, response);
    };
    const server = tls === undefined ? createServer(limits, listener) : createSecureServer({ ...limits, ...tls, minVersion: 'TLSv1.2' }, listener);
    server.maxConnections = this.#limits.connections;
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => { this.#upgrade(request, socket, head); });
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
      const status = error.code === 'HPE_HEADER_OVERFLOW' ? '431 Request Header Fields Too Large' : error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? '408 Request Timeout' : '400 Bad Request';
      refuseSocket(socket, status);
    });
    return server;
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => undefined);
    const refusal = this.#access.checkHost(request) ?? this.#access.checkOrigin(request);
    if (refusal !== undefined) { refuseSocket(socket, refusal.status === 421 ? '421 Misdirected Request' : '403 Forbidden', refusal.error); return; }
    const [path = ''] = (request.url ?? '').split('?', 1);
    if ((path !== '/' && path !== '/ws') || !this.protocols.includes('websocket')) { refuseSocket(socket, '404 Not Found'); return; }
    if (this.#state.at !== 'running') { refuseSocket(socket, '503 Service Unavailable'); return; }
    this.#websockets.accept(request, socket, head);
  }

  #listen(host: string, port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const failed = (cause: NodeJS.ErrnoException): void => {
        const inUse = cause.code === 'EADDRINUSE';
        reject(new ProtoflyError(inUse ? 'E_CONFLICT' : 'E_PLATFORM', inUse ? `somebody listens on ${host}:${String(port)} already` : `can't listen on ${host}:${String(port)}: ${cause.message}`, { cause }));
      };
      this.#http.once('error', failed);
      this.#http.listen(port, host, () => {
        this.#http.off('error', failed);
        this.#http.on('error', (error) => { this.#log('the server socket failed', { error }); });
        resolve();
      });
    });
  }

  /** Returns the URL of the address that the server listens on. */
  #listenUrl(): string {
    const address = this.#http.address() as AddressInfo | null;
    const given = this.#init.listen?.host ?? '127.0.0.1';
    const host = isAnyAddress(given) ? 'localhost' : given;
    return `${this.#init.tls === undefined ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${String(address?.port ?? this.#init.listen?.port ?? 0)}`;
  }
}
