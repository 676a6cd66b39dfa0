import type { Link } from '../../link/index.js';
import type { Address, Capability, Message, StubConfig } from '../../protocol/index.js';

/**
 * The Sandbox port: an isolated place where protostubs run. A stub's access is fixed at its deployment. A
 * stub's failure costs at most its sandbox.
 */

export interface StubDeployment {
  /** The stub's own address. */
  readonly url: Address;
  /** The source text of the stub's module. */
  readonly source: string;
  readonly config: StubConfig;
  readonly capabilities: readonly Capability[];
  /** `host:port` of each server that the stub may connect to by WebSocket, HTTP and TCP. */
  readonly servers: readonly string[];
  /** True if those servers must be on the public internet, whatever DNS says. @default false */
  readonly publicOnly?: boolean;
}

export interface DeployedStub {
  /** Carries messages from and to the stub. Ends when the stub ends. */
  readonly link: Link<Message>;
  /** Sets the listener for ports that the stub opens. A port's address lies below the stub's. */
  onPort(listener: (address: Address, port: Link<Message>) => void): void;
  /** Lets the stub close its connections, then forgets it. Idempotent. */
  undeploy(): Promise<void>;
  /**
   * Records a violation, such as a forged sender. After too many, the stub is stopped together with its
   * sandbox.
   * @param reason the violation, as in "forges senders"
   */
  misbehaved(reason: string): void;
}

export interface Sandbox {
  readonly name: string;
  /** Id of the sandbox's process, if it has one of its own. */
  readonly pid: number | undefined;
  /** Resolves with the reason when the sandbox and all its stubs have ended. Never rejects. */
  readonly ended: Promise<string>;
  /** @throws ProtoflyError `E_DESCRIPTOR` if the module can't be activated, `E_UNREACHABLE` if the sandbox is gone */
  deploy(stub: StubDeployment): Promise<DeployedStub>;
  /** Undeploys everything and ends. Idempotent. */
  close(): Promise<void>;
}

export interface SandboxInit {
  /** The most that its stubs can be granted. @default all */
  readonly capabilities?: readonly Capability[];
  /**
   * True if every stub is code of this installation, so that it may run natively. Foreign code runs in an
   * interpreter.
   * @default false
   */
  readonly ours?: boolean;
}

/**
 * Creates a sandbox.
 * @throws ProtoflyError `E_UNREACHABLE` if the sandbox can't be started, `E_PLATFORM` if nothing here can contain
 *   a stub
 */
export type SandboxFactory = (name: string, init?: SandboxInit) => Promise<Sandbox>;

/** Name of the channel between a runtime and a sandbox host. Every other channel carries one stub or one port. */
export const CONTROL_CHANNEL = 'control';

const PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'ws:': '80', 'https:': '443', 'wss:': '443' };
/** `host:port` of a URL. */
export const serverOf = ({ protocol, hostname, port }: URL): string => `${hostname}:${port || PORTS[protocol] || ''}`;
