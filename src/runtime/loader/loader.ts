import type { Descriptor } from '../../protocol/descriptor.js';
import { ProtoflyError, type Address, type StubConfig } from '../../protocol/index.js';
import { CAPABILITIES, type Capability, type DeployedStub, type Sandbox, type SandboxFactory } from '../sandbox/index.js';

/** A protostub's descriptor and code. */
export interface StubPackage {
  readonly descriptor: Descriptor;
  /** The source text of its module. */
  readonly source: string;
}

/** Where protostubs come from. */
export interface StubCatalogue {
  /** @throws ProtoflyError `E_NOT_FOUND`, `E_DESCRIPTOR`, `E_UNREACHABLE` */
  find(origin: Address): Promise<StubPackage>;
}

export interface LoaderComponents {
  readonly catalogue: StubCatalogue;
  readonly sandboxes: SandboxFactory;
}

/** A stub that runs. */
export interface Loaded extends DeployedStub {
  readonly descriptor: Descriptor;
  readonly pid: number | undefined;
}

/**
 * Deploys protostubs: finds the package, chooses the sandbox by the capabilities that the descriptor asks for, and
 * activates it there. Stubs with the same capabilities share a sandbox; one that has ended is made anew for the next.
 */
export class Loader {
  readonly #catalogue: StubCatalogue;
  readonly #factory: SandboxFactory;
  readonly #sandboxes = new Map<string, Promise<Sandbox>>();
  #closed = false;

  constructor({ catalogue, sandboxes }: LoaderComponents) {
    this.#catalogue = catalogue;
    this.#factory = sandboxes;
  }

  /** @throws ProtoflyError as `StubCatalogue.find` and `Sandbox.deploy` */
  async deploy({ url, origin, config }: { readonly url: Address; readonly origin: Address; readonly config: StubConfig }): Promise<Loaded> {
    const { descriptor, source } = await this.#catalogue.find(origin);
    const capabilities = CAPABILITIES.filter((capability) => descriptor.constraints[capability] === true);
    const sandbox = await this.#sandbox(capabilities);
    const deployed = await sandbox.deploy({ url, source, config: { ...descriptor.configuration, ...config }, capabilities });
    return { ...deployed, descriptor, pid: sandbox.pid };
  }

  /** Process ids of the sandboxes that run. */
  async pids(): Promise<number[]> {
    const sandboxes = await Promise.all(this.#sandboxes.values());
    return sandboxes.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  }

  async close(): Promise<void> {
    this.#closed = true;
    const sandboxes = await Promise.allSettled(this.#sandboxes.values());
    await Promise.all(sandboxes.map((result) => (result.status === 'fulfilled' ? result.value.close() : undefined)));
  }

  #sandbox(capabilities: readonly Capability[]): Promise<Sandbox> {
    if (this.#closed) throw new ProtoflyError('E_UNREACHABLE', 'the runtime is stopping');
    const name = capabilities.join('+') || 'plain';
    const running = this.#sandboxes.get(name);
    if (running !== undefined) return running;
    const made = this.#factory(`sandbox-${name}`);
    this.#sandboxes.set(name, made);
    const forget = (): void => {
      if (this.#sandboxes.get(name) === made) this.#sandboxes.delete(name);
    };
    made.then((sandbox) => sandbox.ended.then(forget), forget);
    return made;
  }
}
