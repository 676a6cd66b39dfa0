import type { Link } from '../../link/index.js';
import type { Mux } from '../../link/mux/index.js';
import {
  asProtoflyError, isResponse, parseAddress, ProtoflyError, refuse, respond,
  type Activate, type Address, type Clock, type Message, type Request, type StubInstance, type StubSandbox,
} from '../../protocol/index.js';
import { SyncClient } from '../syncher/client.js';
import { CAPABILITIES, CONTROL_CHANNEL, type Capability, type StubDeployment } from './sandbox.js';
import { MiniBus } from './mini-bus.js';

/** Makes what a capability stands for; asked once a deployment. */
export type CapabilityProvider = (capability: Capability) => Promise<Partial<StubSandbox>>;

export interface SandboxHostComponents {
  readonly mux: Mux;
  readonly clock: Clock;
  readonly provide: CapabilityProvider;
  readonly log: StubSandbox['log'];
}

interface Running {
  readonly bus: MiniBus;
  readonly link: Link<Message>;
  readonly instance: StubInstance;
}

/**
 * The inside of a sandbox: activates the modules that the runtime sends, and gives each a mini bus on a channel of
 * its own. Requests on the control channel: `create` with a deployment, `delete` with a stub's address, `ping`.
 */
export class SandboxHost {
  readonly #components: SandboxHostComponents;
  readonly #running = new Map<Address, Running>();

  constructor(components: SandboxHostComponents) {
    this.#components = components;
    components.mux.onChannel((name, link) => {
      if (name === CONTROL_CHANNEL) link.receive((message) => { this.#control(link, message); });
      else void link.close('a runtime opens the control channel only');
    });
  }

  /** Ends every stub. Idempotent. */
  async close(): Promise<void> {
    await Promise.all([...this.#running.keys()].map((url) => this.#undeploy(url)));
  }

  #control(link: Link<Message>, message: Message): void {
    if (isResponse(message)) return;
    this.#handle(message).then(
      (value) => { void link.send(respond(message, 200, value === undefined ? {} : { value })); },
      (thrown: unknown) => { void link.send(refuse(message, asProtoflyError(thrown))); },
    );
  }

  async #handle(request: Request): Promise<unknown> {
    switch (request.type) {
      case 'create': return this.#deploy(request.body?.value as StubDeployment);
      case 'delete': return this.#undeploy(parseAddress(request.body?.resource));
      case 'ping': return process.memoryUsage.rss();
      default: throw new ProtoflyError('E_MESSAGE', `a sandbox knows no ${request.type}`);
    }
  }

  async #deploy({ url, source, config, capabilities }: StubDeployment): Promise<{ readonly name: string }> {
    if (this.#running.has(url)) throw new ProtoflyError('E_CONFLICT', `${url} runs already`);
    const activate = await load(source);
    const { clock, log, mux } = this.#components;
    const granted = CAPABILITIES.filter((capability) => capabilities.includes(capability));
    const provided = await Promise.all(granted.map((capability) => this.#components.provide(capability)));
    const link = mux.open(url);
    const bus = new MiniBus({ link, mux, clock, log }, { owner: url });
    const createSyncher = (): SyncClient => new SyncClient({ bus, clock }, { owner: url, runtime: config.runtimeURL, log });
    const sandbox: StubSandbox = Object.assign({ createSyncher, clock, log }, ...provided as object[]);
    try {
      const { name, instance } = activate(url, bus, config, sandbox);
      this.#running.set(url, { bus, link, instance });
      return { name };
    } catch (cause) {
      await link.close('activation failed');
      throw new ProtoflyError('E_DESCRIPTOR', `the stub's activate() failed: ${asProtoflyError(cause).message}`, { cause });
    }
  }

  async #undeploy(url: Address): Promise<void> {
    const running = this.#running.get(url);
    if (running === undefined) return;
    this.#running.delete(url);
    try {
      await running.instance.close?.();
    } finally {
      await running.bus.close();
      await running.link.close('undeployed');
    }
  }
}

const load = async (source: string): Promise<Activate> => {
  try {
    const module = (await import(`data:text/javascript;base64,${Buffer.from(source).toString('base64')}`)) as { readonly default?: unknown };
    if (typeof module.default === 'function') return module.default as Activate;
  } catch (cause) {
    throw new ProtoflyError('E_DESCRIPTOR', `the stub's module can't be evaluated: ${asProtoflyError(cause).message}`, { cause });
  }
  throw new ProtoflyError('E_DESCRIPTOR', 'the stub\'s module has no default export activate()');
};
