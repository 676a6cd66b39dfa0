import type { Link } from '../../link/index.js';
import type { Mux } from '../../link/mux/index.js';
import type { Address, Message, StubSandbox } from '../../protocol/index.js';
import type { StubDeployment } from './sandbox.js';

/** The facts about a stub that its surroundings are made from. */
export interface StubContext {
  readonly url: Address;
  /** `host:port` of each server that the stub may connect to. */
  readonly servers: readonly string[];
  /** True if its servers must be on the public internet, whatever DNS says. @default false */
  readonly publicOnly?: boolean;
  /** True if its peer connections may only use TURN relays. @default false */
  readonly relayOnly?: boolean;
  /** Logs a line, preceded by the stub's address. Rate-limited. */
  readonly log: StubSandbox['log'];
  /** Calls into the stub, and logs errors that it throws. */
  readonly attempt: (run: () => void) => void;
}

/** A stub that was activated. */
export interface RunningStub {
  readonly name: string;
  /** The channel of the messages from and to the stub. */
  readonly link: Pick<Link<Message>, 'closed' | 'close'>;
  /** Lets the stub close its connections, then stops everything that it still runs. Idempotent. */
  close(): Promise<void>;
}

/**
 * Evaluates a stub's module and activates it, with a channel of its own in `mux`.
 * @throws ProtoflyError `E_DESCRIPTOR` if the module can't be activated
 */
export type StartStub = (deployment: StubDeployment, context: StubContext, mux: Mux) => Promise<RunningStub>;
