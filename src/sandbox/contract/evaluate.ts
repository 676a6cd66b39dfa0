import type { Activate, Address, StubSandbox } from '../../protocol/index.js';

/** The facts about a stub that its surroundings are made from. */
export interface StubContext {
  readonly url: Address;
  /** `host:port` of each server that the stub may connect to. */
  readonly servers: readonly string[];
  /** True if its peer connections may only use TURN relays. @default false */
  readonly relayOnly?: boolean;
  /** Logs a line, preceded by the stub's address. Rate-limited. */
  readonly log: StubSandbox['log'];
  /** Calls into the stub, and logs errors that it throws. */
  readonly attempt: (run: () => void) => void;
}

/** The form of a granted capability: properties of the stub's sandbox object, and globals of the same meaning. */
export interface Provided {
  readonly sandbox: Partial<StubSandbox>;
  readonly globals: Readonly<Record<string, unknown>>;
}

/** Creates a capability for one stub. Called once per deployment. */
export type CapabilityProvider<Capability> = (capability: Capability, stub: StubContext) => Promise<Provided>;

export interface Evaluated {
  readonly activate: Activate;
  /** Stops everything that the module still runs, such as timers. Idempotent. */
  end(): void;
}

/**
 * Evaluates a stub's module.
 * @param globals added to the language and the harmless web platform; ignored by an evaluator without a realm
 *   of its own
 * @throws ProtoflyError `E_DESCRIPTOR`
 */
export type Evaluate = (source: string, stub: StubContext, globals: Readonly<Record<string, unknown>>) => Promise<Evaluated>;
