import { LruMap } from '../../kit/lru-map.js';
import type { MessageBus } from '../../bus/index.js';
import {
  allocationAddress, asProtoflyError, child, domainOf, isAddress, isResponse, parseAddress, ProtoflyError, subscriptionAddress,
  type Address, type Cause, type Clock, type Message, type Backpressure, type StubStatus,
} from '../../protocol/index.js';
import type { Carrier, Intake } from '../delivery/index.js';
import { MessageNode } from './message-node.js';
import type { Protostub, Protostubs, StatusEvent } from '../stubs/protostubs.js';
import { slicesOf } from './slices.js';

export interface MessageNodesComponents {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly stubs: Protostubs;
  /** Takes the messages that stubs may bring. */
  readonly intake: Intake;
  /** The domains that this runtime may turn to. */
  readonly named: NamedDomainsPort;
  /** A new session has begun, in which the node knows only the URL of this runtime. A rejection has it called again later. */
  readonly onSession: (domain: string) => Promise<void>;
  readonly onChange: () => void;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

/** Decides which domains this runtime may turn to. */
export interface NamedDomainsPort {
  has(domain: string): boolean;
  /** @throws ProtoflyError `E_STRANGER` if no program wants it, and none has before */
  admit(domain: string, cause: Cause): void;
}

export interface MessageNodesInit {
  readonly runtime: Address;
  /** The runtime's own domain. Its stub is kept deployed. */
  readonly domain: string;
}

/** Most senders of other domains whose path back is remembered. */
const MAX_VISITORS = 10_000;

/**
 * The message nodes that this runtime uses, one a domain. Keeps the stub of the own domain deployed, gets addresses and
 * subscriptions from the nodes, and repeats subscriptions in a new session.
 */
export class MessageNodes {
  readonly #components: MessageNodesComponents;
  readonly #init: MessageNodesInit;
  readonly #nodes = new Map<string, MessageNode>();
  /** Senders that came in through the node of another domain than theirs. Answers to them go back through that node. */
  readonly #visitors = new LruMap<Address, MessageNode>(MAX_VISITORS);
  /** Lost stubs of the own domain, whose messages haven't been sent again yet. */
  readonly #lost: Protostub[] = [];
  #closed = false;

  constructor(components: MessageNodesComponents, init: MessageNodesInit) {
    this.#components = components;
    this.#init = init;
  }

  /** State of the own domain's stub. */
  get status(): { readonly stub: Address | undefined; readonly status: StubStatus; readonly url: string | undefined; readonly description: string | undefined; readonly refusal: ProtoflyError | undefined } {
    const { stub, failure, refusal } = this.#node(this.#init.domain);
    return {
      stub: stub?.address,
      status: stub?.status ?? (failure === undefined ? 'disconnected' : 'failed'),
      url: stub?.loaded.config.url,
      description: stub === undefined ? failure?.error.message : stub.description,
      refusal: stub === undefined ? failure?.error : refusal,
    };
  }

  /** Deploys the own domain's stub and keeps it deployed. */
  start(): void {
    this.#node(this.#init.domain).start();
  }

  /** Ends the pauses after failed deployments. Deploys the own domain's stub now, others when a message needs them. */
  retry(): void {
    for (const node of this.#nodes.values()) node.retry();
    this.start();
  }

  /** A domain has published another version of a stub: a stub that reaches nobody is replaced; others run on. */
  renew(origin: Address): void {
    for (const node of this.#nodes.values()) if (node.origin === origin) node.supersede();
  }

  /** The network of this machine has changed: checks every session and ends all pauses. */
  networkChanged(): void {
    for (const node of this.#nodes.values()) node.probe();
    this.retry();
  }

  /** Lets this runtime turn to the domain of an address. @throws ProtoflyError `E_STRANGER` */
  admit(address: Address, cause: Cause): void {
    this.#components.named.admit(domainOf(address), cause);
  }

  /**
   * Returns the stub for a domain's message node, and deploys it if necessary.
   * @throws ProtoflyError `E_STRANGER`, or as `Protostubs.deploy`
   */
  carrier(domain: string, cause: Cause): Carrier | Promise<Carrier> {
    this.#components.named.admit(domain, cause);
    const node = this.#node(domain);
    return node.stub ?? node.want();
  }

  /**
   * The carrier of an answer: the message node through which its receiver's messages came. An answer never has the stub of
   * a new domain deployed: the own domain's node may still know the receiver.
   * @throws ProtoflyError as `carrier`
   */
  wayBack(to: Address): Carrier | Promise<Carrier> {
    const domain = domainOf(to);
    return this.#visitors.get(to)?.stub ?? this.carrier(this.#components.named.has(domain) ? domain : this.#init.domain, 'remote');
  }

  /** Returns the stub deployed for a domain, if there is one. */
  deployed(domain: string): Protostub | undefined {
    return this.#nodes.get(domain)?.stub;
  }

  /** True if the stub of a domain reports that its message node can't be reached. */
  isAway(domain: string): boolean {
    return this.deployed(domain)?.isAway === true;
  }

  /** True if the message node of a domain was reached since this runtime was started. */
  wasLive(domain: string): boolean {
    return this.#nodes.get(domain)?.wasLive ?? false;
  }

  /** Allocates new addresses in the own domain. @throws ProtoflyError as the node refuses */
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
    for (const some of slicesOf(addresses, MAX_ASKED)) await this.#ask(this.#init.domain, 'create', allocationAddress(this.#init.domain), { value: { addresses: some } });
  }

  /** Releases addresses of the own domain. */
  async release(addresses: readonly Address[]): Promise<void> {
    for (const some of slicesOf(addresses, MAX_ASKED)) await this.#ask(this.#init.domain, 'delete', allocationAddress(this.#init.domain), { childrenResources: some });
  }

  /** Subscribes to messages to these addresses, in this session and later ones. */
  async subscribe(addresses: readonly Address[], source: Address = child(this.#init.runtime, 'sm')): Promise<void> {
    for (const [domain, group] of byDomain(addresses)) {
      const node = this.#node(domain);
      for (const address of group) node.subscribed.set(address, source);
      for (const some of slicesOf(group, MAX_ASKED)) await this.#ask(domain, 'subscribe', subscriptionAddress(domain), { subscribe: some, source }, source);
    }
  }

  /** Tells the node of a domain everything again, because something may not have arrived. */
  refresh(domain: string): void {
    if (!this.#closed) this.#node(domain).renewal.start();
  }

  async unsubscribe(addresses: readonly Address[], source: Address = child(this.#init.runtime, 'sm')): Promise<void> {
    for (const [domain, group] of byDomain(addresses)) {
      const node = this.#node(domain);
      for (const address of group) node.subscribed.delete(address);
      for (const some of slicesOf(group, MAX_ASKED)) await this.#ask(domain, 'unsubscribe', subscriptionAddress(domain), { unsubscribe: some, source }, source);
    }
  }

  /** Sends a message through the message node of its receiver's domain. */
  publish(message: Message): Backpressure {
    const to = typeof message.to === 'string' ? message.to : message.to[0]!;
    const carrier = this.carrier(domainOf(to), 'remote');
    if (!(carrier instanceof Promise)) return carrier.send(message);
    return carrier.then((ready) => ready.send(message)).catch((thrown: unknown) => {
      this.#components.log('warn', `not published to ${to}: ${asProtoflyError(thrown).message}`);
    });
  }

  close(): void {
    this.#closed = true;
    for (const node of this.#nodes.values()) node.close();
  }

  #node(domain: string): MessageNode {
    let node = this.#nodes.get(domain);
    if (node === undefined) {
      node = new MessageNode({
        ...this.#components,
        admit: (from, message, stub) => this.#admit(from, message, stub),
        renew: (of) => this.#renew(of),
        onStatus: (of, event) => { this.#status(of, event); },
        onDeployed: (of) => { if (this.#isKept(of)) this.#connect(of); },
        onFailure: (of) => { if (this.#isKept(of)) this.#components.onChange(); },
        onLost: (of, lost, pauseMs) => { this.#lostStub(of, lost, pauseMs); },
      }, { runtime: this.#init.runtime, domain, isKept: domain === this.#init.domain });
      if (this.#closed) node.close();
      this.#nodes.set(domain, node);
    }
    return node;
  }

  async #ask(domain: string, type: 'create' | 'delete' | 'subscribe' | 'unsubscribe', to: Address, body: Record<string, unknown>, source?: Address): Promise<unknown> {
    const from = source !== undefined && source.startsWith(this.#init.runtime) ? source : child(this.#init.runtime, 'registry');
    const response = await this.#components.bus.ask({ type, from, to, body });
    return response.body.value;
  }

  /**
   * Takes a message from the stub's own domain. The message node of the own domain vouches for senders of other domains,
   * too. No message node vouches for addresses of this runtime.
   */
  #admit(node: MessageNode, message: Message, stub: Protostub): Backpressure {
    const { from } = message;
    const isStranger = domainOf(from) !== node.domain;
    if (this.#components.intake.isOwn(from) || (isStranger && node.domain !== this.#init.domain)) {
      stub.refuse(message, `claims to come from ${from}`);
      return undefined;
    }
    if (isStranger && !isResponse(message)) this.#visitors.set(from, node);
    return this.#components.intake.accept(message, stub);
  }

  #status(node: MessageNode, event: StatusEvent): void {
    const { intake, onChange } = this.#components;
    if (event.status === 'live' && node.stub !== undefined) {
      if (event.session === 'resumed') node.renewal.resume();
      else node.renewal.start();
      intake.lost(node.stub);
    }
    onChange();
  }

  async #renew(node: MessageNode): Promise<void> {
    await Promise.all([this.#resubscribe(node), this.#components.onSession(node.domain)]);
  }

  async #resubscribe(node: MessageNode): Promise<void> {
    const bySource = new Map<Address, Address[]>();
    for (const [address, source] of node.subscribed) {
      const addresses = bySource.get(source);
      if (addresses === undefined) bySource.set(source, [address]);
      else addresses.push(address);
    }
    for (const [source, addresses] of bySource) {
      for (const some of slicesOf(addresses, MAX_ASKED)) await this.#ask(node.domain, 'subscribe', subscriptionAddress(node.domain), { subscribe: some, source }, source);
    }
  }

  #isKept({ domain }: MessageNode): boolean {
    return domain === this.#init.domain;
  }

  /** Sends again what earlier stubs may have lost, and has the new one connect. */
  #connect({ domain }: MessageNode): void {
    const { bus, intake } = this.#components;
    for (const lost of this.#lost.splice(0)) intake.lost(lost);
    void bus.request({ type: 'ping', from: child(this.#init.runtime, 'registry'), to: subscriptionAddress(domain) });
  }

  #lostStub(node: MessageNode, lost: Protostub, pauseMs: number): void {
    const { clock, intake, onChange } = this.#components;
    if (this.#isKept(node)) {
      this.#lost.push(lost);
      return;
    }
    onChange();
    // Messages in flight bring the stub back, if they still have to go there.
    clock.setTimeout(() => { intake.lost(lost); }, pauseMs);
  }
}

/**
 * Maximum number of addresses in one request: well below the limit of nodes (docs/protocol.md, ALC-2), and below a
 * megabyte.
 */
const MAX_ASKED = 400;

const byDomain = (addresses: readonly Address[]): Map<string, Address[]> => {
  const groups = new Map<string, Address[]>();
  for (const address of addresses) groups.set(domainOf(address), [...(groups.get(domainOf(address)) ?? []), address]);
  return groups;
};
