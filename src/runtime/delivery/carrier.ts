import type { Origin } from '../../bus/index.js';
import type { Address, Message, Backpressure } from '../../protocol/index.js';

/** Takes messages to other runtimes: a message-node stub, or one P2P connection. */
export interface Carrier {
  readonly kind: 'p2p' | 'msg-node';
  /** Address of the stub, or of the connection. */
  readonly address: Address;
  /** True if the carrier has reported that it isn't connected. It keeps or refuses messages meanwhile. */
  readonly isAway: boolean;
  /** @throws ProtoflyError `E_LINK_CLOSED`, `E_TOO_LARGE` */
  send(message: Message): Backpressure;
}

/** Asks for the carrier that a message takes now. */
export interface RouteRequest {
  readonly from: Address;
  readonly to: Address;
  /** The P2P preference of the message (`body.p2p`). `false`: never over P2P, `'require'`: only over P2P. */
  readonly p2p: unknown;
  /** A carrier that brings no receipts. The route finder chooses another if there is one. */
  readonly avoid?: Carrier | undefined;
}

/** Finds the way of messages to other runtimes. */
export interface Routes {
  /** Chooses the carrier of a message. @throws ProtoflyError `E_NOT_FOUND`, `E_NOT_DIRECT`, `E_UNREACHABLE` */
  route(request: RouteRequest): Carrier | Promise<Carrier>;
  /** True if a message is known to have no route: its message node is away, and it may take no live connection. */
  isAway(request: RouteRequest): boolean;
}

/** Takes what carriers bring. */
export interface Intake {
  /** True if an address belongs to this runtime, so that no other may claim it. */
  isOwn(address: Address): boolean;
  /** Takes in a message whose sender has been verified. */
  accept(message: Message, origin: Origin): Backpressure;
  /** Has the messages in flight over a carrier sent again, because they may be lost. */
  lost(carrier: Carrier): void;
}

/** Knows where addresses live. */
export interface Hosts {
  /**
   * Returns the runtime that hosts an address, according to its registry.
   * @throws ProtoflyError `E_UNREACHABLE` when it can't be asked
   */
  hostOf(address: Address): Promise<Address | undefined>;
}

export const routeRequest = ({ from, body }: Message, to: Address, avoid?: Carrier): RouteRequest => ({ from, to, p2p: body?.p2p, avoid });
