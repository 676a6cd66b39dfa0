import type { MessageBus } from '../../bus/index.js';
import { asProtoflyError, catalogueAddress, child, isErrorCode, ProtoflyError, type Address, type Clock, type Message, type Backpressure, type StubStatus } from '../../protocol/index.js';
import { RetryUntilDone } from '../../kit/retry-until-done.js';
import type { Protostub, Protostubs, StatusEvent, StubInit } from '../stubs/protostubs.js';
import { StubSupervisor, type StubFailure } from '../stubs/stub-supervisor.js';

export interface MessageNodeComponents {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly stubs: Protostubs;
  readonly admit: (node: MessageNode, message: Message, stub: Protostub) => Backpressure;
  /** Tells the message node what a new session has to know. @throws ProtoflyError as it refuses */
  readonly renew: (node: MessageNode) => Promise<void>;
  readonly onStatus: (node: MessageNode, event: StatusEvent) => void;
  /** The stub has been deployed. */
  readonly onDeployed: (node: MessageNode) => void;
  /** The stub can't be deployed, or was lost. */
  readonly onFailure: (node: MessageNode) => void;
  /** The stub ended unexpectedly; the next one is deployed after `pauseMs` at the earliest. */
  readonly onLost: (node: MessageNode, lost: Protostub, pauseMs: number) => void;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface MessageNodeInit {
  readonly runtime: Address;
  readonly domain: string;
  /** True keeps the stub deployed, false deploys it when it is wanted. */
  readonly isKept: boolean;
}

/** Facts about the stub that runs or is being deployed; a new deployment begins with new ones. */
interface StubFacts {
  /** True if the stub supports `/probe`. */
  canProbe: boolean;
  /** True if its domain has published another version since, and the stub has not been live yet. */
  isOutdated: boolean;
  /** The reason why the message node opens no session for it. */
  refusal: ProtoflyError | undefined;
}

/** A domain's message node as this runtime reaches it: through that domain's message-node stub. */
export class MessageNode {
  readonly domain: string;
  /** Catalogue address of the stub. */
  readonly origin: Address;
  /** Addresses for which this runtime wants messages from there, each with the address that asked for it. */
  readonly subscribed = new Map<Address, Address>();
  /** Repeats what a new session has to know until the message node has taken it. */
  readonly renewal: RetryUntilDone;
  readonly #components: MessageNodeComponents;
  readonly #runtime: Address;
  readonly #supervisor: StubSupervisor;
  #facts: StubFacts = { canProbe: false, isOutdated: false, refusal: undefined };
  #wasLive = false;

  constructor(components: MessageNodeComponents, { runtime, domain, isKept }: MessageNodeInit) {
    const { clock, stubs, log } = components;
    this.#components = components;
    this.#runtime = runtime;
    this.domain = domain;
    this.origin = catalogueAddress(domain, 'protocolstub', 'default');
    // Without a stub there is no session to renew. The next stub begins a new one.
    const renew = async (): Promise<void> => { if (this.stub !== undefined) await components.renew(this); };
    this.renewal = new RetryUntilDone({ clock, log, renew }, { name: `the session at ${domain}` });
    this.#supervisor = new StubSupervisor({
      clock, stubs, log,
      describe: () => this.#describe(),
      onRunning: () => { components.onDeployed(this); },
      onBackingOff: ({ error, pauseMs }) => {
        log('warn', `no message-node stub of ${domain} for ${String(pauseMs)} ms: ${error.message}`);
        components.onFailure(this);
      },
      onEnd: (stub, _reason, failure) => { if (failure !== undefined) components.onLost(this, stub, failure.pauseMs); },
    }, { isKept, describeLoss: (reason) => `the protostub of ${domain} was lost: ${reason}` });
  }

  /** The stub, while it is deployed. */
  get stub(): Protostub | undefined {
    return this.#supervisor.stub;
  }

  /** The reason why there is no stub. */
  get failure(): StubFailure | undefined {
    return this.#supervisor.failure;
  }

  /** The reason why the message node opens no session. */
  get refusal(): ProtoflyError | undefined {
    return this.#facts.refusal;
  }

  /** True if the message node was reached before. */
  get wasLive(): boolean {
    return this.#wasLive;
  }

  /** Deploys the stub now, unless it runs. */
  start(): void {
    this.#supervisor.start();
  }

  /** Returns the stub, deployed if need be. @throws ProtoflyError as `StubSupervisor.want` */
  want(): Promise<Protostub> {
    return this.#supervisor.want();
  }

  /** Forgets a failed deployment, so that the next one needn't wait. */
  retry(): void {
    this.#supervisor.retry();
  }

  /** The domain has published another version: a stub that can't reach its message node is replaced; others run on. */
  supersede(): void {
    this.#facts.isOutdated = this.stub?.status !== 'live';
    if (this.stub !== undefined) this.#replaceStuck(this.stub.status);
    this.#supervisor.retry();
  }

  /** Asks the stub to check its connection, if it supports that. */
  probe(): void {
    const { bus, log } = this.#components;
    const { stub } = this;
    if (stub === undefined || !this.#facts.canProbe) return;
    bus.ask({ type: 'execute', from: child(this.#runtime, 'registry'), to: stub.address, body: { resource: '/probe' } })
      .catch((thrown: unknown) => { log('debug', `${stub.address} was not probed: ${asProtoflyError(thrown).message}`); });
  }

  /** Deploys nothing any more. Idempotent. */
  close(): void {
    this.#supervisor.close();
    this.renewal.close();
  }

  #describe(): Omit<StubInit, 'onEnd'> {
    const { admit, onStatus } = this.#components;
    const facts: StubFacts = { canProbe: false, isOutdated: false, refusal: undefined };
    this.#facts = facts;
    return {
      url: child(child(this.#runtime, 'protostub'), this.domain),
      kind: 'msg-node',
      domain: this.domain,
      origin: this.origin,
      config: { runtimeURL: this.#runtime, release: true },
      // Whoever wants it has been judged before. A repeated deployment names no domain.
      cause: 'remote',
      admit: (message, stub) => admit(this, message, stub),
      onStatus: (event) => {
        if (event.details['probes'] === true) facts.canProbe = true;
        facts.refusal = refusalIn(event);
        onStatus(this, event);
        this.#replaceStuck(event.status);
      },
    };
  }

  #replaceStuck(status: StubStatus): void {
    if (status === 'live') {
      this.#facts.isOutdated = false;
      this.#wasLive = true;
    }
    const { stub } = this;
    if (!this.#facts.isOutdated || stub === undefined || (status !== 'disconnected' && status !== 'failed')) return;
    this.#facts.isOutdated = false;
    void stub.undeploy().catch((thrown: unknown) => { this.#components.log('debug', asProtoflyError(thrown).message); });
  }
}

const refusalIn = ({ status, description, details: { error, hint } }: StatusEvent): ProtoflyError | undefined =>
  (status === 'failed' && isErrorCode(error) ? new ProtoflyError(error, description ?? 'the message node opens no session', typeof hint === 'string' ? { hint } : {}) : undefined);
