import type { Link } from '../../link/index.js';
import type { Address, Capability, Message, StubConfig } from '../../protocol/index.js';

/**
 * The Sandbox port: a place apart where protostubs run. What a stub may touch is decided at its deployment; what it
 * does costs at most the sandbox.
 */

export interface StubDeployment {
  /** The stub's own address. */
  readonly url: Address;
  /** The source text of its module. */
  readonly source: string;
  readonly config: StubConfig;
  readonly capabilities: readonly Capability[];
  /** `host:port` of each server that the stub may connect to by WebSocket, HTTP and TCP. */
  readonly servers: readonly string[];
}

export interface DeployedStub {
  /** What the stub sends, and what is given to it. Ends when the stub does. */
  readonly link: Link<Message>;
  /** Sets who is told of each port that the stub opens. Its address lies below the stub's. */
  onPort(listener: (address: Address, port: Link<Message>) => void): void;
  /** Lets the stub close what it has open, then forgets it. Idempotent. */
  undeploy(): Promise<void>;
  /**
   * The stub did what none may, such as sending in another's name. One that keeps on is stopped, and its sandbox with it.
   * @param reason says what it does: "forges senders"
   */
  misbehaved(reason: string): void;
}

export interface Sandbox {
  readonly name: string;
  /** Of the sandbox's process, where it has one of its own. */
  readonly pid: number | undefined;
  /** Resolves with the reason when the sandbox is gone and all its stubs with it. Never rejects. */
  readonly ended: Promise<string>;
  /** @throws ProtoflyError `E_DESCRIPTOR` when the module can't be activated, `E_UNREACHABLE` when the sandbox is gone */
  deploy(stub: StubDeployment): Promise<DeployedStub>;
  /** Undeploys everything and ends. Idempotent. */
  close(): Promise<void>;
}

/**
 * Makes a sandbox for stubs that are granted no more than these capabilities.
 * @param capabilities @default all
 * @throws ProtoflyError `E_UNREACHABLE` when it can't be started
 */
export type SandboxFactory = (name: string, capabilities?: readonly Capability[]) => Promise<Sandbox>;

/** The channel between a runtime and a sandbox host; the others carry a stub or a port each. */
export const CONTROL_CHANNEL = 'control';

const PORTS: Readonly<Record<string, string>> = { 'http:': '80', 'ws:': '80', 'https:': '443', 'wss:': '443' };
/** `host:port` of a URL. */
export const serverOf = ({ protocol, hostname, port }: URL): string => `${hostname}:${port || PORTS[protocol] || ''}`;
