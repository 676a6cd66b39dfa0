import type { ManualClock } from './manual-clock.js';
import { setImmediate as turn } from 'node:timers/promises';
import { MessageBus, type Origin } from '../../src/bus/index.js';
import {
  child, decodeMessage, encodeMessage, isProvisional, isResponse, isWithin, parseAddress, ProtoflyError, recipientsOf, refuse,
  type Address, type Message, type Backpressure, type Response,
} from '../../src/protocol/index.js';
import { SyncClient, SyncManager, type SyncBus, type SyncClientInit, type SyncManagerInit, type SyncRoutes } from '../../src/runtime/objects/index.js';

type Fate = 'pass' | 'drop' | 'hold' | 'twice';

/** A message node in memory: subscriptions and prefix routing. Delivers later, in order, and only what JSON can carry. */
export class MemoryNode {
  readonly sessions = new Map<Address, (message: Message) => void>();
  readonly subscriptions = new Map<Address, Set<Address>>();
  /** The runtime of each hyperty. */
  readonly hosts = new Map<Address, Address>();
  /** All messages that went over the wire. */
  readonly trace: Message[] = [];
  readonly held: (() => void)[] = [];
  fate: (message: Message, receiver: Address) => Fate = () => 'pass';
  allocations = 0;
  #queue: (() => void)[] = [];
  #pumping = false;

  send(message: Message, sender: Address): void {
    const copy = decodeMessage(encodeMessage(message));
    this.trace.push(copy);
    const [to] = recipientsOf(copy) as [Address];
    const receivers = this.#receiversOf(to, sender);
    if (receivers.length === 0) {
      if (!isResponse(copy)) this.#later(() => this.sessions.get(sender)?.(refuse(copy, new ProtoflyError('E_NOT_FOUND', `no such address: ${to}`))));
      return;
    }
    for (const receiver of receivers) {
      const deliver = (): void => { this.#later(() => this.sessions.get(receiver)?.(decodeMessage(encodeMessage(copy)))); };
      const fate = this.fate(copy, receiver);
      if (fate === 'hold') this.held.push(deliver);
      if (fate === 'pass' || fate === 'twice') deliver();
      if (fate === 'twice') deliver();
    }
  }

  release(): void {
    for (const deliver of this.held.splice(0)) deliver();
  }

  get idle(): boolean {
    return !this.#pumping;
  }

  #receiversOf(to: Address, sender: Address): readonly Address[] {
    const subscribers = [...(this.subscriptions.get(to) ?? [])].filter((runtime) => runtime !== sender);
    if (subscribers.length > 0) return subscribers.filter((runtime) => this.sessions.has(runtime));
    const host = this.hosts.get(to) ?? [...this.sessions.keys()].find((runtime) => isWithin(to, runtime));
    return host !== undefined && this.sessions.has(host) && host !== sender ? [host] : [];
  }

  #later(deliver: () => void): void {
    this.#queue.push(deliver);
    if (!this.#pumping) void this.#pump();
  }

  async #pump(): Promise<void> {
    this.#pumping = true;
    while (this.#queue.length > 0) {
      await turn();
      for (const deliver of this.#queue.splice(0)) deliver();
    }
    this.#pumping = false;
  }
}

/** The part of a runtime that data objects need. */
export class SyncRuntime {
  readonly address: Address;
  readonly bus: MessageBus;
  readonly origin: Origin = { name: 'message node' };
  readonly manager: SyncManager;
  readonly routes: SyncRoutes;
  readonly warnings: string[] = [];
  /** Set by a test to make the domain's functions hang or fail. */
  gate: () => Promise<void> = () => turn();
  readonly #node: MemoryNode;
  readonly #clock: ManualClock;

  constructor(name: string, { node, clock }: { readonly node: MemoryNode; readonly clock: ManualClock }, init: Partial<SyncManagerInit> = {}) {
    this.address = parseAddress(`hyperty-runtime://x.example/${name}`);
    this.#node = node;
    this.#clock = clock;
    const send = (message: Message): Backpressure => { node.send(message, this.address); };
    this.bus = new MessageBus({ clock });
    this.bus.resolveBy({ resolve: (_message, _to, origin) => {
      if (origin === this.origin) throw new ProtoflyError('E_NOT_FOUND', 'not here');
      return send;
    } });
    this.routes = {
      admit: () => undefined,
      allocate: async (scheme) => {
        await this.gate();
        return [parseAddress(`${scheme}://x.example/${name}-${String(node.allocations++)}`)];
      },
      subscribe: async (addresses) => {
        await this.gate();
        for (const address of addresses) node.subscriptions.set(address, new Set([...(node.subscriptions.get(address) ?? []), this.address]));
      },
      unsubscribe: async (addresses) => {
        await this.gate();
        for (const address of addresses) {
          node.subscriptions.get(address)?.delete(this.address);
          if (node.subscriptions.get(address)?.size === 0) node.subscriptions.delete(address);
        }
      },
      publish: send,
    };
    this.manager = new SyncManager({ bus: this.bus, clock, routes: this.routes, hosts: { hostOf: (address) => Promise.resolve(node.hosts.get(address)) } }, {
      runtime: this.address, domain: 'x.example', poolSize: 0, ...init,
      log: (level, text) => { if (level === 'warn') this.warnings.push(text); },
    });
    this.connect();
  }

  connect(): void {
    this.#node.sessions.set(this.address, (message) => { void this.bus.post(message, this.origin); });
  }

  /** Simulates a power failure of the machine. */
  vanish(): void {
    this.#node.sessions.delete(this.address);
  }

  /** Creates a program of this runtime: its bus, and the messages it gets that aren't for its syncher. */
  program(address: Address): { readonly bus: SyncBus; readonly heard: Message[] } {
    const origin: Origin = { name: address };
    const pending = new Map<unknown, (response: Response) => void>();
    const listeners: ((message: Message) => void | Promise<void>)[] = [];
    const heard: Message[] = [];
    let nextId = 1;
    this.#node.hosts.set(address, this.address);
    this.bus.addListener(address, (message) => {
      heard.push(message);
      const onResponse = isResponse(message) ? pending.get(message.id) : undefined;
      if (isResponse(message) && onResponse !== undefined) {
        if (!isProvisional(message)) pending.delete(message.id);
        onResponse(message);
        return;
      }
      for (const listener of listeners) void listener(message);
    }, origin);
    const bus: SyncBus = {
      postMessage: (message, onResponse) => {
        const complete = (message.id === undefined ? { ...message, id: nextId++ } : message) as Message;
        if (onResponse !== undefined) pending.set(complete.id, onResponse);
        return this.bus.post(complete, origin);
      },
      addListener: (_address, listener) => { listeners.push(listener); },
    };
    return { bus, heard };
  }

  client(name: string, init: Partial<SyncClientInit> = {}): SyncClient & { readonly owner: Address } {
    const owner = child(this.address, name);
    const client = new SyncClient({ bus: this.program(owner).bus, clock: this.#clock }, { owner, runtime: this.address, ...init });
    return Object.assign(client, { owner });
  }
}
