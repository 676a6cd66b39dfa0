import type { Link } from '../link/index.js';
import { PublicWeb } from '../link/web/index.js';
import { asProtoflyError, formatAddress, ProtoflyError, userAddress, type Address, type Message } from '../protocol/index.js';
import type { DomainInfo } from '../protocol/descriptor.js';
import { hostname } from 'node:os';
import { storeKeeper } from '../store/key-keeper.js';
import { loadIdentity, UserIdentity, UserKeys, type Identity } from './identity/index.js';
import { MAX_DEVICE_NAME } from '../security/certificate.js';
import { assemble, type Host, type Parts, type RuntimeComponents, type RuntimeInit } from './parts.js';
import { Domains } from './directory/domains.js';

/**
 * The life of a peer node: starts and stops its parts in order, keeps its domain informed, and reports its status. All
 * durable state is in the store; everything that may crash is in sandboxes.
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
  #failure: { readonly trouble: string; readonly error: ProtoflyError } | undefined;
  #networkChange: { readonly at: string; readonly change: string } | undefined;
  #wasLive = false;

  /**
   * Starts a runtime with the identity, address and hyperties of its store. It is usable at once, and `live` when its
   * domain knows it: see `whenLive`.
   * @throws ProtoflyError `E_UNREACHABLE` if the domain has never been reached, `E_NOT_FOUND` if it doesn't list the key
   * to be trusted, `E_USAGE`, `E_STORE`
   */
  static async start(components: RuntimeComponents, init: RuntimeInit): Promise<Runtime> {
    const { store, fetch, log, web = new PublicWeb() } = components;
    const known = store.collection<DomainInfo>('domains');
    const own = await new Domains({ known, fetch, web, log }, { urls: {} }).at(init.domainUrl);
    const domains = new Domains({ known, fetch, web, log }, { urls: { ...init.domains, [own.domain]: init.domainUrl } });
    const identity = await loadIdentity(store);
    const user = userAddress(own.domain, init.user);
    const { userKeys = (of) => storeKeeper(store, { collection: 'user-keys', key: of, what: `the key of ${of}` }) } = components;
    const userIdentity = await UserIdentity.load({
      clock: components.clock, keys: new UserKeys({ keeper: userKeys(user) }, { user }), kept: store.collection('identity-user'), codes: store.collection('device-codes'),
    }, { user, runtime: runtimeUrl(own.domain, identity), device: deviceName(init.device), isListed: init.isTransient !== true, ...(init.code === undefined ? {} : { code: init.code }) });
    const runtime = new Runtime(components, init, own, domains, identity, userIdentity);
    if (init.trust !== undefined) await runtime.#parts.publishers.add(own.domain, init.trust);
    runtime.#begin();
    return runtime;
  }

  private constructor(components: RuntimeComponents, init: RuntimeInit, own: DomainInfo, domains: Domains, identity: Identity, userIdentity: UserIdentity) {
    this.#components = components;
    this.#init = init;
    this.#startedAt = components.clock.date();
    this.domain = own.domain;
    this.url = runtimeUrl(own.domain, identity);
    this.user = userIdentity.user;
    const host: Host = {
      onChange: () => { this.#changed(); },
      onSession: (name) => this.#renew(name),
      onOffer: () => { this.#announce().catch(() => { this.#parts.nodes.refresh(this.domain); }); },
      announce: () => this.#announce(),
      onNetworkChange: (change) => {
        this.#networkChange = { at: new Date(components.clock.date()).toISOString(), change };
      },
      status: () => this.status(),
      onStatus: (listener) => this.onStatus(listener),
      onStopRequested: () => { this.#stopRequested(); },
    };
    this.#parts = assemble({ ...components, domains, host }, { settings: init, own, runtime: this.url, identity, userIdentity });
  }

  /** Serves a program at the other end of a link. */
  serve(link: Link<Message>): void {
    this.#parts.clients.add(link);
  }

  /** Returns the status as docs/control.md describes it. */
  status(): Record<string, unknown> {
    const { nodes, connections, hyperties, bus, outgoing, clients, outbox, ingress } = this.#parts;
    const handler = connections.handler;
    const enabled = connections.handlerAddress !== undefined;
    const { refusal = refusalIn(this.#failure?.error), ...messageNode } = nodes.status;
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
      counters: { dropped: bus.dropped, resent: outgoing.resent + outbox.resent, rejected: ingress.rejected + clients.rejected + connections.refused + (this.#init.refusedPrograms?.() ?? 0) },
    };
  }

  /** Registers a listener for changes of the status. @returns a function that removes it */
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

  /** Ends connections, sandboxes and links in order. Data on disk stays. The caller closes the store. Idempotent. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const { enrolment, clients, receipts, syncManager, catalogue, stubs, nodes, connections, loader, outgoing, ice, hyperties, outbox, network } = this.#parts;
    network.close();
    enrolment.close();
    await clients.close();
    receipts.flush();
    // An unreachable domain needs no time.
    await syncManager.close(nodes.isAway(this.domain) ? 0 : undefined);
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

  /** Returns the reason why the runtime isn't live; undefined if it is. */
  #notLive(): string | undefined {
    const { nodes, connections, hyperties, enrolment } = this.#parts;
    const { status, description } = nodes.status;
    if (status !== 'live') return `the message node is ${status === 'disconnected' ? 'not connected' : status}${description === undefined ? '' : ` (${description})`}`;
    if (connections.expectsHandler && connections.handler === undefined) return connections.trouble ?? 'the P2P handler is being deployed';
    if (this.#failure !== undefined) return `${this.#failure.trouble}: ${this.#failure.error.message}`;
    if (!enrolment.isEnrolled) return 'another machine of the user has to certify this one';
    if (!hyperties.allRegistered) return 'hyperties are being registered';
    return undefined;
  }

  #changed(): void {
    if (this.#notLive() === undefined) this.#wasLive = true;
    for (const listener of [...this.#statusListeners]) listener();
  }

  /**
   * Subscribes again in a new session; in the own domain, also registers this runtime's hyperties.
   * @throws ProtoflyError as the domain refuses
   */
  async #renew(domain: string): Promise<void> {
    const { syncManager, enrolment } = this.#parts;
    if (domain === this.domain) await this.#attempt('the user of this runtime is not known yet', () => enrolment.begin());
    await Promise.all([syncManager.resubscribe(domain), ...(domain === this.domain ? [this.#introduce()] : [])]);
  }

  async #introduce(): Promise<void> {
    const { ice } = this.#parts;
    void ice.renew();
    // Others may connect as soon as this runtime is registered, so its stubs must know their servers before.
    await ice.ready();
    if (this.#stopping === undefined) await this.#announce();
  }

  /** Registers the present hyperties of this runtime with its own domain. @throws ProtoflyError as the domain refuses */
  async #announce(): Promise<void> {
    const { syncManager, hyperties } = this.#parts;
    await this.#attempt('hyperties are not registered', () => hyperties.renew());
    this.#failure = undefined;
    syncManager.start();
    this.#changed();
  }

  /** Runs a step to become live; if it fails, the status says why. */
  async #attempt(trouble: string, step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (thrown) {
      this.#failure = { trouble, error: asProtoflyError(thrown) };
      this.#changed();
      throw thrown;
    }
  }
}

/** Returns the error if it is a decision of the other side, which waiting doesn't change. */
const refusalIn = (error: ProtoflyError | undefined): ProtoflyError | undefined => (error?.status === 403 || error?.status === 409 ? error : undefined);

const runtimeUrl = (domain: string, { key }: Identity): Address => formatAddress({ scheme: 'hyperty-runtime', domain, path: key.id });

/** Returns the name of this machine, without what a name can't have. */
const deviceName = (given: string = hostname()): string => given.replace(/\p{C}/gu, '').slice(0, MAX_DEVICE_NAME) || 'machine';
