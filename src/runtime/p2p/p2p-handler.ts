import type { Link } from '../../link/index.js';
import { asProtoflyError, catalogueAddress, child, isAddress, parseAddress, ProtoflyError, type Address, type Clock, type Message, type Backpressure } from '../../protocol/index.js';
import type { StubCatalogue } from '../stubs/loader/index.js';
import type { Ice } from '../ice/index.js';
import type { MessageNodes } from '../nodes/message-nodes.js';
import type { Protostub, Protostubs, StatusEvent, StubInit } from '../stubs/protostubs.js';
import { StubSupervisor, type StubFailure } from '../stubs/stub-supervisor.js';

/** The P2P part of a hyperty's record: the handler that answers set-ups, and the catalogue address of the stub that asks for them. */
export interface P2pOffer {
  readonly p2pHandler: Address;
  readonly p2pRequester: Address;
}

export interface P2pHandlerComponents {
  readonly clock: Clock;
  readonly stubs: Protostubs;
  readonly nodes: MessageNodes;
  /** The servers that the next set-ups use. */
  readonly ice: { readonly current: Ice };
  readonly catalogue: Pick<StubCatalogue, 'describe'>;
  readonly admit: (message: Message, stub: Protostub) => Backpressure;
  readonly onStatus: (event: StatusEvent) => void;
  readonly onPort: (address: Address, port: Link<Message>) => void;
  /** The offer has changed. */
  readonly onOffer: () => void;
  /** The stub has been deployed, or that failed. */
  readonly onChange: () => void;
  readonly onEnd: (reason: string) => void;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface P2pHandlerInit {
  readonly runtime: Address;
  readonly domain: string;
}

/** This runtime's P2P handler stub: the one that its domain's runtime descriptor names, kept deployed. */
export class P2pHandler {
  readonly address: Address;
  readonly #components: P2pHandlerComponents;
  readonly #init: P2pHandlerInit;
  readonly #supervisor: StubSupervisor;
  #offer: P2pOffer | undefined;

  constructor(components: P2pHandlerComponents, init: P2pHandlerInit) {
    const { clock, stubs, log } = components;
    this.#components = components;
    this.#init = init;
    this.address = child(child(init.runtime, 'p2phandler'), '1');
    this.#supervisor = new StubSupervisor({
      clock, stubs, log,
      describe: () => this.#describe(),
      onRunning: (stub) => { this.#running(stub); },
      onBackingOff: (failure) => {
        log('warn', `${describeFailure(failure)}; next try in ${String(failure.pauseMs)} ms`);
        components.onChange();
      },
      onEnd: (_stub, reason) => { components.onEnd(reason); },
    }, { isKept: true, describeLoss: (reason) => `the P2P handler stub ended: ${reason}` });
  }

  /** The stub, while it runs. */
  get stub(): Protostub | undefined {
    return this.#supervisor.stub;
  }

  /** Undefined until the domain's runtime descriptor is known. */
  get offer(): P2pOffer | undefined {
    return this.#offer;
  }

  /** The reason why the stub doesn't run. */
  get trouble(): string | undefined {
    const { stub, failure } = this.#supervisor;
    return stub === undefined && failure !== undefined ? describeFailure(failure) : undefined;
  }

  /** True if the domain names no stubs for P2P: its runtimes do without. */
  get isMissing(): boolean {
    return this.#supervisor.failure?.error.code === 'E_NOT_FOUND';
  }

  /** Deploys the stub now, unless it runs; then keeps it deployed. */
  start(): void {
    this.#supervisor.start();
  }

  /** Returns the stubs that the domain uses for P2P, looked up if need be. @throws ProtoflyError as `StubCatalogue.describe` */
  async offered(): Promise<P2pOffer> {
    if (this.#offer === undefined) await this.#lookUp();
    return this.#offer!;
  }

  /** Deploys nothing any more. Idempotent. */
  close(): void {
    this.#supervisor.close();
  }

  async #describe(): Promise<Omit<StubInit, 'onEnd'>> {
    const { ice, admit, onStatus, onPort } = this.#components;
    const { runtime, domain } = this.#init;
    const origin = await this.#lookUp();
    return { url: this.address, kind: 'p2p-handler', domain, origin, config: { runtimeURL: runtime, ...ice.current }, cause: 'remote', admit, onStatus, onPort };
  }

  #running(stub: Protostub): void {
    const { nodes, ice, onChange, log } = this.#components;
    const { runtime, domain } = this.#init;
    if (JSON.stringify(stub.init.config) !== JSON.stringify({ runtimeURL: runtime, ...ice.current })) stub.configure(ice.current);
    onChange();
    nodes.subscribe([this.address], this.address).catch((thrown: unknown) => {
      log('warn', `the path of ${this.address} is not set: ${asProtoflyError(thrown).message}`);
      nodes.refresh(domain);
    });
  }

  /** Reads the domain's runtime descriptor. @returns catalogue address of the handler stub. @throws ProtoflyError `E_DESCRIPTOR` */
  async #lookUp(): Promise<Address> {
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
}

const describeFailure = ({ isLoss, error: { message } }: StubFailure): string => (isLoss ? message : `the P2P handler stub can't be deployed: ${message}`);
