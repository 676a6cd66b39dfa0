import type { Activate, Address, StubSandbox } from '../../protocol/index.js';

/** What is known of a stub to those who make its surroundings. */
export interface StubContext {
  readonly url: Address;
  /** `host:port` of each server that it may connect to. */
  readonly servers: readonly string[];
  /** Whether its peer connections go through TURN servers or not at all. @default false */
  readonly relayOnly?: boolean;
  /** Puts the stub's address before each line, and bounds them. */
  readonly log: StubSandbox['log'];
  /** Calls into the stub: what it throws is logged. */
  readonly attempt: (run: () => void) => void;
}

/** What a granted capability is: properties of the sandbox object that the stub gets, and globals of the same meaning. */
export interface Provided {
  readonly sandbox: Partial<StubSandbox>;
  readonly globals: Readonly<Record<string, unknown>>;
}

/** Makes what a capability stands for; asked once a deployment. */
export type CapabilityProvider<Capability> = (capability: Capability, stub: StubContext) => Promise<Provided>;

export interface Evaluated {
  readonly activate: Activate;
  /** Stops what the module still has going by itself, such as timers. Idempotent. */
  end(): void;
}

/**
 * Evaluates a stub's module.
 * @param globals what the module finds beside the language and what harms nobody; an evaluator without a realm of its own leaves them out
 * @throws ProtoflyError `E_DESCRIPTOR`
 */
export type Evaluate = (source: string, stub: StubContext, globals: Readonly<Record<string, unknown>>) => Promise<Evaluated>;
