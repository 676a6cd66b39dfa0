import type { Link } from '../../link/index.js';
import type { Mux } from '../../link/mux/index.js';
import { asProtoflyError, isResponse, parseAddress, ProtoflyError, refuse, respond, type Address, type Message, type Request, type StubSandbox } from '../../protocol/index.js';
import { describeError } from '../contract/describe-error.js';
import { CONTROL_CHANNEL, type StubDeployment } from '../contract/sandbox.js';
import type { RunningStub, StartStub, StubContext } from '../contract/stub.js';

export interface SandboxHostComponents {
  readonly mux: Mux;
  readonly start: StartStub;
  readonly log: StubSandbox['log'];
}

/**
 * The inside of a sandbox: starts the stubs that the runtime sends, each on a channel of its own. Requests on the control channel: `create` with a deployment, `delete` with a stub's address,
 * `ping`.
 */
export class SandboxHost {
  readonly #components: SandboxHostComponents;
  readonly #running = new Map<Address, RunningStub>();

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
    const { url } = deployment;
    const { mux, start, log } = this.#components;
    const context = contextOf(deployment, log);
    if (this.#running.has(url)) throw new ProtoflyError('E_CONFLICT', `${url} runs already`);
    try {
      const running = await start(deployment, context, mux);
      this.#running.set(url, running);
      // A stub whose channel broke can't be used any more.
      void running.link.closed.then(() => this.#undeploy(url)).catch((thrown: unknown) => { context.log('warn', `closing failed: ${describeError(thrown)}`); });
      return { name: running.name };
    } catch (thrown) {
      context.log('warn', asProtoflyError(thrown).message);
      throw thrown;
    }
  }

  async #undeploy(url: Address): Promise<void> {
    const running = this.#running.get(url);
    if (running === undefined) return;
    this.#running.delete(url);
    try {
      await running.close();
    } finally {
      await running.link.close('undeployed');
    }
  }
}

const contextOf = ({ url, servers, publicOnly = false, config }: StubDeployment, write: StubSandbox['log']): StubContext => {
  const log: StubSandbox['log'] = (level, text) => { write(level === 'debug' || level === 'warn' ? level : 'info', `${url}: ${String(text)}`); };
  const attempt = (run: () => void): void => {
    try {
      run();
    } catch (thrown) {
      log('warn', `a callback failed: ${describeError(thrown)}`);
    }
  };
  return { url, servers, publicOnly, relayOnly: config.iceTransportPolicy === 'relay', log, attempt };
};
