import type { Link } from '../../link/index.js';
import { asProtoflyError, catalogueAddress, child, isAddress, parseAddress, ProtoflyError, type Address, type Clock, type Message, type Backpressure, type Timer } from '../../protocol/index.js';
import type { StubCatalogue } from '../stubs/loader/index.js';
import type { Ice } from '../ice/index.js';
import { Backoff } from '../../kit/backoff.js';
import type { MessageNodes } from '../nodes/message-nodes.js';
import type { Protostub, Protostubs, StatusEvent } from '../stubs/protostubs.js';

/** What the record of a hyperty says of P2P: where a set-up is answered, and by which stub it is asked for. */
export interface P2pOffer {
  readonly p2pHandler: Address;
  readonly p2pRequester: Address;
}

export interface P2pHandlerComponents {
  readonly clock: Clock;
  readonly stubs: Protostubs;
  readonly nodes: MessageNodes;
  /** The servers for set-ups, as known now. */
  readonly ice: { readonly current: Ice };
  readonly catalogue: Pick<StubCatalogue, 'describe'>;
  readonly admit: (message: Message, stub: Protostub) => Backpressure;
  readonly onStatus: (event: StatusEvent) => void;
  readonly onPort: (address: Address, port: Link<Message>) => void;
  /** What others need for a set-up to here is known now, or another. */
  readonly onOffer: () => void;
  /** It has come, or couldn't. */
  readonly onChange: () => void;
  readonly onEnd: (reason: string) => void;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface P2pHandlerInit {
  readonly runtime: Address;
  readonly domain: string;
}

/** A stub that ran for so long has not failed at what it does, in milliseconds. */
const STEADY_MS = 10_000;

/** This runtime's P2P handler stub: the one that its domain's runtime descriptor names, kept deployed. */
export class P2pHandler {
  readonly address: Address;
  readonly #components: P2pHandlerComponents;
  readonly #init: P2pHandlerInit;
  readonly #backoff = new Backoff({ firstMs: 250, maxMs: 10_000 });
  #stub: Protostub | undefined;
  #deploying = false;
  #again: Timer | undefined;
  #offer: P2pOffer | undefined;
  #trouble: string | undefined;
  #missing = false;
  #closed = false;

  constructor(components: P2pHandlerComponents, init: P2pHandlerInit) {
    this.#components = components;
    this.#init = init;
    this.address = child(child(init.runtime, 'p2phandler'), '1');
  }

  /** While it runs. */
  get stub(): Protostub | undefined {
    return this.#stub;
  }

  /** Undefined while it isn't known. */
  get offer(): P2pOffer | undefined {
    return this.#offer;
  }

  /** Why it doesn't run. */
  get trouble(): string | undefined {
    return this.#stub === undefined ? this.#trouble : undefined;
  }

  /** Whether the domain names no stubs for P2P: its runtimes do without. */
  get isMissing(): boolean {
    return this.#missing;
  }

  /** Deploys it and has its messages come here; tries again, with pauses, for as long as that fails. */
  start(): void {
    this.#again?.cancel();
    if (this.#closed || this.#deploying || this.#stub !== undefined) return;
    this.#deploying = true;
    this.#deploy().catch((thrown: unknown) => {
      const { code, message } = asProtoflyError(thrown);
      this.#missing = code === 'E_NOT_FOUND';
      this.#startLater(`the P2P handler stub can't be deployed: ${message}`);
    }).finally(() => { this.#deploying = false; });
  }

  /** Which stubs the domain takes for P2P, looked up if need be. @throws ProtoflyError as `StubCatalogue.describe` */
  async offered(): Promise<P2pOffer> {
    if (this.#offer === undefined) await this.#describe();
    return this.#offer!;
  }

  close(): void {
    this.#closed = true;
    this.#again?.cancel();
  }

  async #deploy(): Promise<void> {
    const { stubs, nodes, ice, admit, onStatus, onPort, onChange, log } = this.#components;
    const { runtime, domain } = this.#init;
    const origin = await this.#describe();
    const { current } = ice;
    this.#stub = await stubs.deploy({
      url: this.address, kind: 'p2p-handler', domain, origin,
      config: { runtimeURL: runtime, ...current },
      admit, onStatus, onPort,
      onEnd: (reason) => { this.#ended(reason); },
    });
    if (JSON.stringify(ice.current) !== JSON.stringify(current)) this.#stub.configure(ice.current);
    this.#missing = false;
    onChange();
    nodes.subscribe([this.address], this.address).catch((thrown: unknown) => {
      log('warn', `the path of ${this.address} is not set: ${asProtoflyError(thrown).message}`);
      nodes.refresh(domain);
    });
  }

  /** @returns the stub that the domain takes for a handler. @throws ProtoflyError `E_DESCRIPTOR` */
  async #describe(): Promise<Address> {
    const origin = catalogueAddress(this.#init.domain, 'runtime', 'default');
    const { p2pHandlerStub, p2pRequesterStub } = await this.#components.catalogue.describe(origin);
    if (!isAddress(p2pHandlerStub) || !isAddress(p2pRequesterStub)) throw new ProtoflyError('E_DESCRIPTOR', `${origin} names no stubs for P2P`);
    const p2pRequester = parseAddress(p2pRequesterStub);
    if (p2pRequester !== this.#offer?.p2pRequester) {
      this.#offer = { p2pHandler: this.address, p2pRequester };
      this.#components.onOffer();
    }
    return parseAddress(p2pHandlerStub);
  }

  #ended(reason: string): void {
    const lost = this.#stub;
    this.#stub = undefined;
    if (!this.#closed) {
      if (lost !== undefined && this.#components.clock.now() - lost.deployedAt >= STEADY_MS) this.#backoff.reset();
      this.#startLater(`the P2P handler stub ended: ${reason}`);
    }
    this.#components.onEnd(reason);
  }

  #startLater(trouble: string): void {
    const { log, clock, onChange } = this.#components;
    const pause = this.#backoff.failed();
    this.#trouble = trouble;
    log('warn', `${trouble}; next try in ${String(pause)} ms`);
    this.#again = clock.setTimeout(() => { this.start(); }, pause);
    onChange();
  }
}
