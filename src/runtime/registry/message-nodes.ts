import type { MessageBus, Origin, Pressure } from '../../bus/index.js';
import {
  allocationAddress, asProtoflyError, catalogueAddress, child, domainOf, isAddress, parseAddress, ProtoflyError, subscriptionAddress,
  type Address, type Clock, type Message, type StubStatus,
} from '../../protocol/index.js';
import type { Carrier } from '../delivery/index.js';
import type { Domains } from './domains.js';
import type { Protostub, Protostubs, StatusEvent } from './protostubs.js';

export interface MessageNodesComponents {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly domains: Domains;
  readonly stubs: Protostubs;
  readonly admit: (message: Message, origin: Origin) => Pressure;
  /** A session was opened anew: the node knows nothing of this runtime but its URL. */
  readonly onSession: (domain: string) => void;
  /** What was on its way over this carrier may be lost. */
  readonly onLost: (carrier: Carrier) => void;
  readonly onChange: () => void;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface MessageNodesInit {
  readonly runtime: Address;
  /** The runtime's own domain: its stub is kept deployed. */
  readonly domain: string;
}

interface Node {
  readonly domain: string;
  stub: Protostub | undefined;
  deploying: Promise<Protostub> | undefined;
  failures: number;
  /** Addresses that this runtime wants to receive for, at this domain. */
  readonly subscribed: Map<Address, Address>;
  url: string | undefined;
}

const MAX_BACKOFF_MS = 10_000;

/**
 * The message nodes that this runtime uses, one a domain: deploys their stubs on demand, keeps its own domain's
 * deployed, and brings allocations and subscriptions back into a new session.
 */
export class MessageNodes {
  readonly #components: MessageNodesComponents;
  readonly #init: MessageNodesInit;
  readonly #nodes = new Map<string, Node>();
  #closed = false;

  constructor(components: MessageNodesComponents, init: MessageNodesInit) {
    this.#components = components;
    this.#init = init;
  }

  /** State of the own domain's stub. */
  get status(): { readonly stub: Address | undefined; readonly status: StubStatus; readonly url: string | undefined; readonly description: string | undefined } {
    const node = this.#nodes.get(this.#init.domain);
    return { stub: node?.stub?.address, status: node?.stub?.status ?? 'disconnected', url: node?.url, description: node?.stub?.description };
  }

  /** Deploys the own domain's stub and has it connect. @throws ProtoflyError when it can't be deployed */
  async start(): Promise<void> {
    await this.#deploy(this.#node(this.#init.domain));
    void this.#components.bus.request({ type: 'ping', from: child(this.#init.runtime, 'registry'), to: subscriptionAddress(this.#init.domain) });
  }

  /** The stub that leads to a domain's message node, deployed if need be. @throws ProtoflyError `E_UNREACHABLE`, `E_DESCRIPTOR` */
  carrier(domain: string): Carrier | Promise<Carrier> {
    const node = this.#node(domain);
    return node.stub ?? this.#deploy(node);
  }

  /** The stub deployed for a domain, if there is one. */
  deployed(domain: string): Protostub | undefined {
    return this.#nodes.get(domain)?.stub;
  }

  /** Whether the stub of a domain says that its message node can't be reached. */
  isAway(domain: string): boolean {
    const status = this.deployed(domain)?.status;
    return status === 'disconnected' || status === 'failed';
  }

  /** Gets new addresses from the own domain. @throws ProtoflyError as the node refuses */
  async allocate(scheme: string, number = 1): Promise<Address[]> {
    const response = await this.#ask(this.#init.domain, 'create', allocationAddress(this.#init.domain), { scheme, value: { number } });
    const allocated = (response as { allocated?: unknown } | undefined)?.allocated;
    if (!Array.isArray(allocated) || allocated.length !== number || !allocated.every(isAddress)) {
      throw new ProtoflyError('E_MESSAGE', 'the message node allocated something else than it was asked for');
    }
    return allocated.map(parseAddress);
  }

  /** Claims addresses that were allocated in an earlier session. @throws ProtoflyError `E_CONFLICT` */
  async claim(addresses: readonly Address[]): Promise<void> {
    if (addresses.length > 0) await this.#ask(this.#init.domain, 'create', allocationAddress(this.#init.domain), { value: { addresses } });
  }

  /** Gives addresses back. */
  async release(addresses: readonly Address[]): Promise<void> {
    await this.#ask(this.#init.domain, 'delete', allocationAddress(this.#init.domain), { childrenResources: addresses });
  }

  /** Has messages to these addresses come here, in this session and those that follow it. */
  async subscribe(addresses: readonly Address[], source: Address = child(this.#init.runtime, 'sm')): Promise<void> {
    for (const [domain, group] of byDomain(addresses)) {
      const node = this.#node(domain);
      for (const address of group) node.subscribed.set(address, source);
      await this.#ask(domain, 'subscribe', subscriptionAddress(domain), { subscribe: group, source }, source);
    }
  }

  async unsubscribe(addresses: readonly Address[], source: Address = child(this.#init.runtime, 'sm')): Promise<void> {
    for (const [domain, group] of byDomain(addresses)) {
      const node = this.#node(domain);
      for (const address of group) node.subscribed.delete(address);
      await this.#ask(domain, 'unsubscribe', subscriptionAddress(domain), { unsubscribe: group, source }, source);
    }
  }

  /** Sends a message through the message node of its receiver's domain. */
  publish(message: Message): Pressure {
    const to = typeof message.to === 'string' ? message.to : message.to[0]!;
    const carrier = this.carrier(domainOf(to));
    if (!(carrier instanceof Promise)) return carrier.send(message);
    return carrier.then((ready) => ready.send(message)).catch((thrown: unknown) => {
      this.#components.log('warn', `not published to ${to}: ${asProtoflyError(thrown).message}`);
    });
  }

  close(): void {
    this.#closed = true;
  }

  #node(domain: string): Node {
    let node = this.#nodes.get(domain);
    if (node === undefined) {
      node = { domain, stub: undefined, deploying: undefined, failures: 0, subscribed: new Map(), url: undefined };
      this.#nodes.set(domain, node);
    }
    return node;
  }

  async #ask(domain: string, type: 'create' | 'delete' | 'subscribe' | 'unsubscribe', to: Address, body: Record<string, unknown>, source?: Address): Promise<unknown> {
    const from = source !== undefined && source.startsWith(this.#init.runtime) ? source : child(this.#init.runtime, 'registry');
    const response = await this.#components.bus.ask({ type, from, to, body });
    return response.body.value;
  }

  #deploy(node: Node): Promise<Protostub> {
    if (this.#closed) throw new ProtoflyError('E_UNREACHABLE', 'the runtime is stopping');
    node.deploying ??= this.#deployNow(node).finally(() => { node.deploying = undefined; });
    return node.deploying;
  }

  async #deployNow(node: Node): Promise<Protostub> {
    const { domains, stubs, admit } = this.#components;
    const info = await domains.info(node.domain);
    const url = info.messageNode.websocket;
    if (url === undefined) throw new ProtoflyError('E_UNREACHABLE', `the message node of ${node.domain} speaks no protocol that is known here`);
    node.url = url;
    node.stub = await stubs.deploy({
      url: child(child(this.#init.runtime, 'protostub'), node.domain),
      kind: 'msg-node',
      domain: node.domain,
      origin: catalogueAddress(node.domain, 'protocolstub', 'default'),
      config: { url, runtimeURL: this.#init.runtime, release: true },
      admit,
      onStatus: (event) => { this.#status(node, event); },
      onEnd: (reason) => { this.#ended(node, reason); },
    });
    node.failures = 0;
    return node.stub;
  }

  #status(node: Node, event: StatusEvent): void {
    const { onSession, onLost, onChange, log } = this.#components;
    if (event.status === 'live' && node.stub !== undefined) {
      if (event.session !== 'resumed') {
        this.#resubscribe(node).catch((thrown: unknown) => { log('warn', `subscriptions at ${node.domain} not renewed: ${asProtoflyError(thrown).message}`); });
        onSession(node.domain);
      }
      onLost(node.stub);
    }
    onChange();
  }

  async #resubscribe(node: Node): Promise<void> {
    const bySource = new Map<Address, Address[]>();
    for (const [address, source] of node.subscribed) bySource.set(source, [...(bySource.get(source) ?? []), address]);
    for (const [source, addresses] of bySource) {
      await this.#ask(node.domain, 'subscribe', subscriptionAddress(node.domain), { subscribe: addresses, source }, source);
    }
  }

  #ended(node: Node, reason: string): void {
    const { clock, log, onLost, onChange } = this.#components;
    const lost = node.stub;
    node.stub = undefined;
    onChange();
    if (this.#closed) return;
    log('warn', `the message-node stub of ${node.domain} ended: ${reason}`);
    const again = (): void => {
      if (this.#closed) return;
      this.#deploy(node).then(
        () => {
          if (lost !== undefined) onLost(lost);
          void this.#components.bus.request({ type: 'ping', from: child(this.#init.runtime, 'registry'), to: subscriptionAddress(node.domain) });
        },
        (thrown: unknown) => {
          log('warn', `not deployed again: ${asProtoflyError(thrown).message}`);
          node.failures += 1;
          clock.setTimeout(again, Math.min(250 * 2 ** node.failures, MAX_BACKOFF_MS));
        },
      );
    };
    if (node.domain === this.#init.domain) again();
    else if (lost !== undefined) onLost(lost);
  }
}

const byDomain = (addresses: readonly Address[]): Map<string, Address[]> => {
  const groups = new Map<string, Address[]>();
  for (const address of addresses) groups.set(domainOf(address), [...(groups.get(domainOf(address)) ?? []), address]);
  return groups;
};
