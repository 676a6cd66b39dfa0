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

/** Asks the router for the carrier that a message takes now. */
export interface RouteRequest {
  readonly from: Address;
  readonly to: Address;
  /** The P2P preference of the message (`body.p2p`). `false`: never over P2P, `'require'`: only over P2P. */
  readonly p2p: unknown;
  /** A carrier that brings no receipts. The router chooses another if there is one. */
  readonly avoid?: Carrier | undefined;
}

export const routeRequest = ({ from, body }: Message, to: Address, avoid?: Carrier): RouteRequest => ({ from, to, p2p: body?.p2p, avoid });
