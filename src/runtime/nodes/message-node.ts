import type { MessageBus } from '../../bus/index.js';
import { asProtoflyError, catalogueAddress, child, ProtoflyError, type Address, type Clock, type Message, type Backpressure, type StubStatus } from '../../protocol/index.js';
import { Backoff } from '../../kit/backoff.js';
import type { Protostub, Protostubs, StatusEvent } from '../stubs/protostubs.js';
import { RetryUntilDone } from '../../kit/retry-until-done.js';

export interface MessageNodeComponents {
  readonly bus: MessageBus;
  readonly clock: Clock;
  readonly stubs: Protostubs;
  /** Whether the runtime is stopping: nothing is deployed any more. */
  readonly isClosed: () => boolean;
  readonly admit: (node: MessageNode, message: Message, stub: Protostub) => Backpressure;
  /** Tells the node what it has to know in a new session. @throws ProtoflyError as it refuses */
  readonly renew: (node: MessageNode) => Promise<void>;
  readonly onStatus: (node: MessageNode, event: StatusEvent) => void;
  /** Its stub has ended without having been told to by the runtime's stopping; it isn't deployed again for so many milliseconds. */
  readonly onEnd: (node: MessageNode, lost: Protostub, pauseMs: number) => void;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface MessageNodeInit {
  readonly runtime: Address;
  readonly domain: string;
}

/** Why the last deployment failed, or ended (`lost`), and until when it isn't tried again for somebody's message. */
export interface NodeRefusal {
  readonly error: ProtoflyError;
  readonly until: number;
  readonly lost: boolean;
}

const BACKOFF = { firstMs: 250, maxMs: 10_000 } as const;
/** Messages wait for a stub that was lost when it is tried again within this, in milliseconds; otherwise they are refused. */
const SOON_MS = 1000;
/** A stub that ran for so long has not failed at what it does. */
const STEADY_MS = 10_000;

/** A message node as this runtime reaches it: by its domain's stub, which is deployed when it is wanted, with growing pauses while that fails. */
export class MessageNode {
  readonly domain: string;
  /** What its domain calls its message-node stub. */
  readonly origin: Address;
  /** Addresses that this runtime wants to receive for there, and for whom. */
  readonly subscribed = new Map<Address, Address>();
  /** Of what it has to know in a new session. */
  readonly renewal: RetryUntilDone;
  readonly #components: MessageNodeComponents;
  readonly #runtime: Address;
  readonly #backoff = new Backoff(BACKOFF);
  #stub: Protostub | undefined;
  #deploying: Promise<Protostub> | undefined;
  /** The deployment of a stub that was lost, after its pause. */
  #soon: Promise<Protostub> | undefined;
  #refusal: NodeRefusal | undefined;
  /** Whether its stub says that it can be asked to look after its connection. */
  #probes = false;
  #wasLive = false;
  /** Its domain has had another version since this stub was looked for, and it has not been live yet. */
  #outdated = false;

  constructor(components: MessageNodeComponents, { runtime, domain }: MessageNodeInit) {
    this.#components = components;
    this.#runtime = runtime;
    this.domain = domain;
    this.origin = catalogueAddress(domain, 'protocolstub', 'default');
    // Without a stub there is nothing to be told: the next one begins another session.
    const renew = async (): Promise<void> => { if (this.#stub !== undefined) await components.renew(this); };
    this.renewal = new RetryUntilDone({ clock: components.clock, log: components.log, renew }, { name: `the session at ${domain}` });
  }

  /** While it is deployed. */
  get stub(): Protostub | undefined {
    return this.#stub;
  }

  get refusal(): NodeRefusal | undefined {
    return this.#refusal;
  }

  /** Whether it was ever reached. */
  get wasLive(): boolean {
    return this.#wasLive;
  }

  /** What failed may be tried again at once. */
  forgive(): void {
    this.#refusal = undefined;
  }

  /** Its domain has another version of the stub: one that can't reach its node is replaced, now or when it says so; others run on. */
  supersede(): void {
    this.#refusal = undefined;
    this.#outdated = this.#stub?.status !== 'live';
    if (this.#stub !== undefined) this.#replaceStuck(this.#stub.status);
  }

  /** Has its stub, if it can, make sure that its connection still leads to the node. */
  probe(): void {
    const { bus, log } = this.#components;
    const stub = this.#stub;
    if (stub === undefined || !this.#probes) return;
    bus.ask({ type: 'execute', from: child(this.#runtime, 'registry'), to: stub.address, body: { resource: '/probe' } })
      .catch((thrown: unknown) => { log('debug', `${stub.address} was not probed: ${asProtoflyError(thrown).message}`); });
  }

  /**
   * @param patient a deployment that has just failed isn't tried again: its error is thrown. For a lost stub the promise waits, if not for long
   * @throws ProtoflyError as `Protostubs.deploy`
   */
  deploy(patient = false): Promise<Protostub> {
    const refusal = this.#refusal;
    const { clock, isClosed } = this.#components;
    if (isClosed()) throw new ProtoflyError('E_UNREACHABLE', 'the runtime is stopping');
    const left = patient && refusal !== undefined ? refusal.until - clock.now() : 0;
    if (refusal !== undefined && left > 0) {
      if (!refusal.lost || left > SOON_MS) throw refusal.error;
      this.#soon ??= new Promise<void>((resolve) => { clock.setTimeout(resolve, left); }).then(() => this.#stub ?? this.deploy()).finally(() => { this.#soon = undefined; });
      return this.#soon;
    }
    this.#deploying ??= this.#deployNow().finally(() => { this.#deploying = undefined; });
    return this.#deploying;
  }

  async #deployNow(): Promise<Protostub> {
    const { stubs, admit, onStatus } = this.#components;
    this.#probes = this.#outdated = false;
    try {
      this.#stub = await stubs.deploy({
        url: child(child(this.#runtime, 'protostub'), this.domain),
        kind: 'msg-node',
        domain: this.domain,
        origin: this.origin,
        config: { runtimeURL: this.#runtime, release: true },
        admit: (message, stub) => admit(this, message, stub),
        onStatus: (event) => {
          if (event.details['probes'] === true) this.#probes = true;
          onStatus(this, event);
          this.#replaceStuck(event.status);
        },
        onEnd: (reason) => { this.#ended(reason); },
      });
      this.#refusal = undefined;
      return this.#stub;
    } catch (thrown) {
      this.#refuse(asProtoflyError(thrown));
      throw thrown;
    }
  }

  #replaceStuck(status: StubStatus): void {
    if (status === 'live') {
      this.#outdated = false;
      this.#wasLive = true;
    }
    const stub = this.#stub;
    if (!this.#outdated || stub === undefined || (status !== 'disconnected' && status !== 'failed')) return;
    this.#outdated = false;
    void stub.undeploy().catch((thrown: unknown) => { this.#components.log('debug', asProtoflyError(thrown).message); });
  }

  /** @returns for how long */
  #refuse(error: ProtoflyError, lost = false): number {
    const { clock, log } = this.#components;
    const pause = this.#backoff.failed();
    this.#refusal = { error, until: clock.now() + pause, lost };
    log('warn', `no message-node stub of ${this.domain} for ${String(pause)} ms: ${error.message}`);
    return pause;
  }

  #ended(reason: string): void {
    const { clock, isClosed, onEnd } = this.#components;
    const lost = this.#stub;
    this.#stub = undefined;
    if (lost === undefined || isClosed()) return;
    if (clock.now() - lost.deployedAt >= STEADY_MS) this.#backoff.reset();
    const pause = this.#refuse(new ProtoflyError('E_UNREACHABLE', `the protostub of ${this.domain} was lost: ${reason}`), true);
    onEnd(this, lost, pause);
  }
}
