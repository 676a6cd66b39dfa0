import { LruMap } from '../../kit/lru-map.js';
import type { Link } from '../../link/index.js';
import type { Mux } from '../../link/mux/index.js';
import {
  isProvisional, isResponse, isWithin, combinedBackpressure, ProtoflyError, refuse,
  type Address, type Clock, type Message, type Response, type StubBus, type StubPort, type StubRequest, type StubSandbox,
} from '../../protocol/index.js';
import { describeError } from '../contract/describe-error.js';

export interface MiniBusComponents {
  readonly link: Link<Message>;
  readonly mux: Pick<Mux, 'open'>;
  readonly clock: Clock;
  readonly log: StubSandbox['log'];
}

type Listener = (message: Message) => void | Promise<void>;

/** Maximum number of pending requests of one stub. Above it, the oldest is forgotten. */
const MAX_PENDING = 10_000;

/** The bus as one stub sees it: its listeners, its requests, and the channel to the runtime's bus. */
export class MiniBus implements StubBus {
  readonly #link: Link<Message>;
  readonly #mux: Pick<Mux, 'open'>;
  readonly #log: StubSandbox['log'];
  readonly #owner: Address;
  readonly #listeners = new Map<string, Listener[]>();
  readonly #pending = new LruMap<string, (response: Response) => void>(MAX_PENDING);
  readonly #ports = new Map<Address, Link<Message>>();
  #nextId: number;

  constructor({ link, mux, clock, log }: MiniBusComponents, { owner }: { readonly owner: Address }) {
    this.#link = link;
    this.#mux = mux;
    this.#log = log;
    this.#owner = owner;
    // Ids used before a restart of the same address must not come again.
    this.#nextId = (clock.date() % 1e9) * 1e6;
    link.receive((message) => this.#receive(message));
  }

  /** Returns the stub's view: the three functions, without access to the objects behind them. */
  face(): StubBus {
    return Object.freeze<StubBus>({
      postMessage: (message, onResponse) => this.postMessage(message, onResponse),
      addListener: (address, listener) => { this.addListener(address, listener); },
      openPort: (address) => Object.freeze(this.openPort(address)),
    });
  }

  postMessage(message: Message | StubRequest, onResponse?: (response: Response) => void): void | Promise<void> {
    const complete = (message.id === undefined ? { ...message, id: this.#nextId++ } : message) as Message;
    if (onResponse !== undefined) this.#await(complete, onResponse);
    return this.#link.send(complete);
  }

  addListener(address: string, listener: Listener): void {
    this.#listeners.set(address, [...(this.#listeners.get(address) ?? []), listener]);
  }

  openPort(address: Address): StubPort {
    if (!isWithin(address, this.#owner) || this.#ports.has(address)) throw new ProtoflyError('E_CONFLICT', `${address} can't be a port of ${this.#owner}`);
    const link = this.#mux.open(address);
    this.#ports.set(address, link);
    void link.closed.then(() => this.#ports.delete(address));
    return {
      post: (message) => link.send(message),
      onMessage: (listener) => { link.receive((message) => this.#hand(listener, message)); },
      close: () => { void link.close('closed by the stub'); },
    };
  }

  async close(): Promise<void> {
    this.#pending.clear();
    await Promise.all([...this.#ports.values()].map((port) => port.close('undeployed')));
  }

  #await(request: Message, onResponse: (response: Response) => void): void {
    this.#pending.set(`${request.from} ${String(request.id)}`, onResponse);
  }

  #receive(message: Message): void | Promise<void> {
    if (isResponse(message)) {
      const key = `${message.to} ${String(message.id)}`;
      const onResponse = this.#pending.get(key);
      if (onResponse !== undefined) {
        if (!isProvisional(message)) this.#pending.delete(key);
        // A response handler exerts no backpressure.
        void this.#hand(onResponse as Listener, message);
        return undefined;
      }
    }
    const listeners = (typeof message.to === 'string' ? this.#listeners.get(message.to) : undefined) ?? this.#listeners.get('*');
    if (listeners === undefined) {
      if (!isResponse(message)) void this.#link.send(refuse(message, new ProtoflyError('E_NOT_FOUND', `${this.#owner} has no listener for that`), this.#owner));
      return undefined;
    }
    if (listeners.length === 1) return this.#hand(listeners[0]!, message);
    return combinedBackpressure(listeners.map((listener) => this.#hand(listener, message)));
  }

  #hand(listener: Listener, message: Message): void | Promise<void> {
    try {
      const backpressure = listener(message);
      // A stub may return anything, also promises of another realm.
      return typeof backpressure?.then === 'function' ? Promise.resolve(backpressure).catch((thrown: unknown) => { this.#failed(thrown); }) : undefined;
    } catch (thrown) {
      this.#failed(thrown);
      return undefined;
    }
  }

  #failed(thrown: unknown): void {
    this.#log('warn', `a listener failed: ${describeError(thrown)}`);
  }
}
