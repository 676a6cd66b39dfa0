import type { Descriptor } from '../../../protocol/descriptor.js';
import { domainOf, ProtoflyError, type Address, type Cause, type StubConfig, CAPABILITIES, type Capability } from '../../../protocol/index.js';
import { serverOf, type DeployedStub, type Sandbox, type SandboxFactory } from '../../../sandbox/index.js';

/** A protostub's descriptor and code. */
export interface StubPackage {
  readonly descriptor: Descriptor;
  /** The source text of its module. */
  readonly source: string;
  /** Content address of the source: `sha256-<hex>`. */
  readonly hash: string;
  /** The source of this copy. */
  readonly from: 'catalogue' | 'cache' | 'built-in';
  /** The key that signed it. Absent for built-in stubs. */
  readonly keyId?: string;
}

/** A source of protostubs, all of them checked. */
export interface StubCatalogue {
  /**
   * Finds a protostub.
   * @throws ProtoflyError `E_NOT_FOUND`, `E_UNREACHABLE`, and the refusals of docs/protocol.md, "Catalogue"
   */
  find(origin: Address): Promise<StubPackage>;
  /** Finds a descriptor of any type, without code. @throws ProtoflyError as `find` */
  describe(origin: Address): Promise<Descriptor>;
}

export interface LoaderComponents {
  readonly catalogue: StubCatalogue;
  readonly sandboxes: SandboxFactory;
  /** Knows the code of this installation. It runs natively, other code in an interpreter. */
  readonly own: { includes(source: string): Promise<boolean> };
  /** Refuses the stubs of domains that no local program has named. */
  readonly named: {
    /** @throws ProtoflyError `E_STRANGER` */
    admit(domain: string, cause: Cause): void;
  };
  /** Refuses a server that a domain's stub may not reach. */
  readonly domains: {
    /** @throws ProtoflyError `E_PRIVATE` */
    checkServer(domain: string, url: string): void;
    /** True if servers of the domain must be on the public internet. */
    isPublicOnly(domain: string): boolean;
  };
}

/** A running stub. */
export interface Loaded extends DeployedStub, Omit<StubPackage, 'source' | 'keyId'> {
  readonly keyId: string | undefined;
  /** The descriptor's configuration with the runtime's additions. */
  readonly config: StubConfig;
  readonly pid: number | undefined;
}

/**
 * Deploys protostubs. Finds the package, chooses a sandbox by its domain, its requested capabilities and
 * whether the code is ours, and activates it there. If a sandbox has ended, the next deployment makes a new one.
 */
export class Loader {
  readonly #catalogue: StubCatalogue;
  readonly #factory: SandboxFactory;
  readonly #components: Pick<LoaderComponents, 'own' | 'named' | 'domains'>;
  readonly #sandboxes = new Map<string, Promise<Sandbox>>();
  #closed = false;

  constructor({ catalogue, sandboxes, own, named, domains }: LoaderComponents) {
    this.#catalogue = catalogue;
    this.#factory = sandboxes;
    this.#components = { own, named, domains };
  }

  /** Deploys a stub. @throws ProtoflyError `E_STRANGER`, `E_PRIVATE`, and as `StubCatalogue.find` and `Sandbox.deploy` */
  async deploy({ url, origin, config, cause }: { readonly url: Address; readonly origin: Address; readonly config: StubConfig; readonly cause: Cause }): Promise<Loaded> {
    const domain = domainOf(origin);
    this.#components.named.admit(domain, cause);
    const { descriptor, source, hash, from, keyId } = await this.#catalogue.find(origin);
    const complete: StubConfig = { ...descriptor.configuration, ...config };
    if (complete.url !== undefined) this.#components.domains.checkServer(domain, complete.url);
    const capabilities = CAPABILITIES.filter((capability) => descriptor.constraints[capability] === true);
    const sandbox = await this.#sandbox(domain, capabilities, await this.#components.own.includes(source));
    const deployed = await sandbox.deploy({ url, source, config: complete, capabilities, servers: serversOf(complete), publicOnly: this.#components.domains.isPublicOnly(domain) });
    return { ...deployed, descriptor, hash, from, keyId, config: complete, pid: sandbox.pid };
  }

  /** Returns the process ids of the running sandboxes. */
  async pids(): Promise<number[]> {
    const sandboxes = await Promise.all(this.#sandboxes.values());
    return sandboxes.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
  }

  async close(): Promise<void> {
    this.#closed = true;
    const sandboxes = await Promise.allSettled(this.#sandboxes.values());
    await Promise.all(sandboxes.map((result) => (result.status === 'fulfilled' ? result.value.close() : undefined)));
  }

  #sandbox(domain: string, capabilities: readonly Capability[], ours: boolean): Promise<Sandbox> {
    if (this.#closed) throw new ProtoflyError('E_UNREACHABLE', 'the runtime is stopping');
    const name = `${domain}-${capabilities.join('+') || 'plain'}${ours ? '' : '-foreign'}`;
    const running = this.#sandboxes.get(name);
    if (running !== undefined) return running;
    const made = this.#factory(`sandbox-${name}`, { capabilities, ours });
    this.#sandboxes.set(name, made);
    const forget = (): void => {
      if (this.#sandboxes.get(name) === made) this.#sandboxes.delete(name);
    };
    made.then((sandbox) => sandbox.ended.then(forget), forget);
    return made;
  }
}

/** Returns the one server that a message-node stub may reach. */
const serversOf = ({ url }: StubConfig): string[] => (url !== undefined && URL.canParse(url) ? [serverOf(new URL(url))] : []);
