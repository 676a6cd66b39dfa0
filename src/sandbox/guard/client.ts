import { MessageBus } from '../../bus/index.js';
import { LINK_DEFAULTS, type Link } from '../../link/index.js';
import type { Mux } from '../../link/mux/index.js';
import {
  asProtoflyError, isResponse, isWithin, parseAddress, ProtoflyError, type Address, type Clock, type Message, type StubSandbox, type Timer,
} from '../../protocol/index.js';
import { RateLimiter, type RateLimiterInit } from './rate-limiter.js';
import { CONTROL_CHANNEL, type DeployedStub, type Sandbox, type StubDeployment } from '../contract/sandbox.js';

export interface SandboxClientComponents {
  readonly mux: Mux;
  readonly clock: Clock;
  readonly log: StubSandbox['log'];
}

export interface SandboxClientInit {
  readonly name: string;
  /** Its process. @default none: it runs in this process */
  readonly pid?: number;
  /** Ends the sandbox after all its stubs were undeployed. */
  readonly stop: () => Promise<void>;
  /** Ends the sandbox at once; the reason becomes that of its links. */
  readonly kill: (reason: string) => Promise<void>;
  /** Called with the memory use that the sandbox reports, in bytes. */
  readonly onUsage?: (bytes: number) => void;
  /** Limits of each stub's own messages. @default those of `RateLimiter` */
  readonly conduct?: Omit<RateLimiterInit, 'url'>;
  /** Interval between heartbeats, and time for the sandbox to answer one, in milliseconds. @default 5000 */
  readonly heartbeatMs?: number;
  /** Maximum time for a deployment, in milliseconds. @default 10_000 */
  readonly deployMs?: number;
}

const RUNTIME = parseAddress('hyperty-runtime://sandbox/runtime');
const HOST = parseAddress('hyperty-runtime://sandbox/host');

/** Size of a malformed frame that counts as one more fault. */
const FAULT_SIZE = 64 * 1024;

interface Channel {
  readonly conduct: RateLimiter;
  link: Link<Message> | undefined;
  onPort: (address: Address, port: Link<Message>) => void;
}

/** The runtime's side of a sandbox, for every kind of host. */
export class SandboxClient implements Sandbox {
  readonly name: string;
  readonly pid: number | undefined;
  readonly ended: Promise<string>;
  readonly #mux: Mux;
  readonly #clock: Clock;
  readonly #log: StubSandbox['log'];
  readonly #init: SandboxClientInit;
  readonly #bus: MessageBus;
  readonly #stubs = new Map<Address, Channel>();
  readonly #gone = new AbortController();
  #heartbeat: Timer | undefined;
  #closing: Promise<void> | undefined;

  constructor({ mux, clock, log }: SandboxClientComponents, init: SandboxClientInit) {
    this.name = init.name;
    this.pid = init.pid;
    this.#mux = mux;
    this.#clock = clock;
    this.#log = log;
    this.#init = init;
    this.#bus = new MessageBus({ clock }, { timeoutMs: init.heartbeatMs ?? 5000 });
    const control = mux.open(CONTROL_CHANNEL);
    this.#bus.addListener(HOST, (message) => control.send(message));
    // A sandbox only answers; it sends no requests.
    control.receive((message) => (isResponse(message) ? this.#bus.post(message) : undefined));
    mux.onChannel((name, link) => { this.#onChannel(name, link); });
    this.ended = mux.closed.then(({ reason }) => {
      this.#heartbeat?.cancel();
      this.#gone.abort(new Error(reason));
      return reason;
    });
    this.#beat();
  }

  async deploy(stub: StubDeployment): Promise<DeployedStub> {
    if (this.#stubs.has(stub.url)) throw new ProtoflyError('E_CONFLICT', `${stub.url} is deployed already`);
    const conduct = new RateLimiter(
      { clock: this.#clock, onBreach: (reason) => { this.#stop(`${stub.url}: ${reason}`); } },
      { ...this.#init.conduct, url: stub.url },
    );
    const channel: Channel = { conduct, link: undefined, onPort: (_address, port) => { void port.close('nobody takes ports of this stub'); } };
    this.#stubs.set(stub.url, channel);
    try {
      await this.#bus.ask(
        { type: 'create', from: RUNTIME, to: HOST, body: { value: stub } },
        { timeoutMs: this.#init.deployMs ?? 10_000, signal: this.#gone.signal },
      );
      if (channel.link === undefined) throw new ProtoflyError('E_DESCRIPTOR', `${stub.url} opened no channel`);
    } catch (thrown) {
      this.#stubs.delete(stub.url);
      // The sandbox ends a stub whose channel is closed, also one that is ready too late.
      void channel.link?.close('it was not ready in time');
      throw await this.#refusal(thrown);
    }
    const { link } = channel;
    void link.closed.then(() => this.#stubs.delete(stub.url));
    return {
      link: conduct.watch(link),
      onPort: (listener) => { channel.onPort = listener; },
      undeploy: () => this.#undeploy(stub.url),
      misbehaved: (reason) => { conduct.misbehaved(reason); },
    };
  }

  /**
   * Counts a frame of the sandbox that is no message. What runs there doesn't write such frames.
   * @param length in UTF-16 code units
   */
  malformed(length: number): void {
    for (const { conduct } of this.#stubs.values()) conduct.misbehaved('sends malformed messages', 1 + Math.floor(length / FAULT_SIZE));
  }

  close(): Promise<void> {
    this.#closing ??= Promise.all([...this.#stubs.keys()].map((url) => this.#undeploy(url))).then(() => this.#init.stop());
    return this.#closing;
  }

  async #refusal(thrown: unknown): Promise<ProtoflyError> {
    if (thrown instanceof ProtoflyError && thrown.code !== 'E_ABORTED' && thrown.code !== 'E_LINK_CLOSED') return thrown;
    return new ProtoflyError('E_UNREACHABLE', `the sandbox ${this.name} is gone: ${await this.ended}`, { cause: thrown });
  }

  #stop(reason: string): void {
    this.#log('warn', `${this.name} is stopped: ${reason}`);
    void this.#init.kill(reason);
  }

  async #undeploy(url: Address): Promise<void> {
    const link = this.#stubs.get(url)?.link;
    if (link === undefined) return;
    const response = await this.#bus.request(
      { type: 'delete', from: RUNTIME, to: HOST, body: { resource: url } },
      { timeoutMs: LINK_DEFAULTS.lingerMs, signal: this.#gone.signal },
    ).catch((thrown: unknown) => asProtoflyError(thrown));
    await link.close(response instanceof ProtoflyError ? response.message : 'undeployed');
  }

  #onChannel(name: string, link: Link<Message>): void {
    const exact = this.#stubs.get(name as Address);
    if (exact !== undefined && exact.link === undefined) {
      exact.link = link;
      return;
    }
    const owner = [...this.#stubs].find(([url]) => name !== url && isWithin(name as Address, url));
    if (owner === undefined) void link.close('no such stub');
    else if (owner[1].conduct.port()) owner[1].onPort(name as Address, owner[1].conduct.watch(link));
    else void link.close('too many ports');
  }

  /** Sends heartbeats, and ends a sandbox that doesn't answer. */
  #beat(): void {
    const heartbeatMs = this.#init.heartbeatMs ?? 5000;
    this.#heartbeat = this.#clock.setTimeout(() => {
      this.#bus.request({ type: 'ping', from: RUNTIME, to: HOST }, { signal: this.#gone.signal }).then(
        (response) => {
          const { code, value } = response.body;
          if (typeof value === 'number') this.#init.onUsage?.(value);
          if (code === 200) this.#beat();
          else this.#stop(`it gave no sign of life for ${String(heartbeatMs / 1000)} s`);
        },
        () => undefined,
      );
    }, heartbeatMs);
  }
}
