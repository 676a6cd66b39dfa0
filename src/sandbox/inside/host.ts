import type { Link } from '../../link/index.js';
import type { Mux } from '../../link/mux/index.js';
import {
  asProtoflyError, isResponse, parseAddress, ProtoflyError, refuse, respond, type Address, type Clock, type Message, type Request, type StubInstance, type StubSandbox, CAPABILITIES, type Capability,
} from '../../protocol/index.js';
import { SyncClient } from './objects/client.js';
import type { CapabilityProvider, Evaluate, Evaluated, Provided, StubContext } from '../contract/evaluate.js';
import { CONTROL_CHANNEL, type StubDeployment } from '../contract/sandbox.js';
import { MiniBus } from './mini-bus.js';
import { describeError } from '../contract/describe-error.js';

export interface SandboxHostComponents {
  readonly mux: Mux;
  readonly clock: Clock;
  readonly provide: CapabilityProvider<Capability>;
  readonly evaluate: Evaluate;
  readonly log: StubSandbox['log'];
}

interface Running {
  readonly bus: MiniBus;
  readonly link: Link<Message>;
  readonly instance: StubInstance;
  readonly evaluated: Evaluated;
}

/**
 * The inside of a sandbox: activates the modules that the runtime sends, and gives each a mini bus on a channel
 * of its own. Requests on the control channel: `create` with a deployment, `delete` with a stub's address,
 * `ping`.
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

  async #deploy(deployment: StubDeployment): Promise<{ readonly name: string }> {
    const { url, source, capabilities } = deployment;
    const { log, provide, evaluate } = this.#components;
    const stub = contextOf(deployment, log);
    if (this.#running.has(url)) throw new ProtoflyError('E_CONFLICT', `${url} runs already`);
    try {
      const granted = CAPABILITIES.filter((capability) => capabilities.includes(capability));
      const provided = await Promise.all(granted.map((capability) => provide(capability, stub)));
      const evaluated = await evaluate(source, stub, merged(provided.map(({ globals }) => globals)));
      return await this.#activate(deployment, stub, evaluated, merged(provided.map(({ sandbox }) => sandbox)));
    } catch (thrown) {
      stub.log('warn', asProtoflyError(thrown).message);
      throw thrown;
    }
  }

  async #activate({ url, config }: StubDeployment, { log, attempt }: StubContext, evaluated: Evaluated, granted: Provided['sandbox']): Promise<{ readonly name: string }> {
    const { clock, mux } = this.#components;
    const link = mux.open(url);
    const bus = new MiniBus({ link, mux, clock, log }, { owner: url });
    const createSyncher = (): SyncClient => new SyncClient({ bus, clock }, { owner: url, runtime: config.runtimeURL, log });
    try {
      const { name, instance } = evaluated.activate(url, bus.face(), config, Object.assign(granted, { createSyncher, clock: guarded(clock, attempt), log }));
      this.#running.set(url, { bus, link, instance, evaluated });
      // A stub whose channel broke can't be used any more.
      void link.closed.then(() => this.#undeploy(url)).catch((thrown: unknown) => { log('warn', `closing failed: ${describeError(thrown)}`); });
      return { name: typeof name === 'string' ? name : '' };
    } catch (cause) {
      evaluated.end();
      await bus.close();
      await link.close('activation failed');
      throw new ProtoflyError('E_DESCRIPTOR', `the stub's activate() failed: ${describeError(cause)}`, { cause });
    }
  }

  async #undeploy(url: Address): Promise<void> {
    const running = this.#running.get(url);
    if (running === undefined) return;
    this.#running.delete(url);
    try {
      await running.instance?.close?.();
    } finally {
      running.evaluated.end();
      await running.bus.close();
      await running.link.close('undeployed');
    }
  }
}

const contextOf = ({ url, servers, config }: StubDeployment, write: StubSandbox['log']): StubContext => {
  const log: StubSandbox['log'] = (level, text) => { write(level === 'debug' || level === 'warn' ? level : 'info', `${url}: ${String(text)}`); };
  const attempt = (run: () => void): void => {
    try {
      run();
    } catch (thrown) {
      log('warn', `a callback failed: ${describeError(thrown)}`);
    }
  };
  return { url, servers, relayOnly: config.iceTransportPolicy === 'relay', log, attempt };
};

/** Wraps the clock, so that errors thrown in a stub's timers are logged as the stub's. */
const guarded = (clock: Clock, attempt: StubContext['attempt']): Clock => ({
  now: () => clock.now(),
  date: () => clock.date(),
  setTimeout: (run, milliseconds) => {
    const timer = clock.setTimeout(() => { attempt(run); }, milliseconds);
    return { cancel: () => { timer.cancel(); } };
  },
});

/** Merges all properties into one object and keeps getters. */
const merged = <T extends object>(objects: readonly T[]): T =>
  Object.defineProperties({}, Object.assign({}, ...objects.map((each) => Object.getOwnPropertyDescriptors(each))) as PropertyDescriptorMap) as T;
