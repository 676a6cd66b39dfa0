import type { Address, Message, Backpressure } from '../../protocol/index.js';

/** Something that carries messages to elsewhere: a message-node stub, or one P2P connection. */
export interface Carrier {
  readonly kind: 'p2p' | 'msg-node';
  /** Address of the stub, or of the connection. */
  readonly address: Address;
  /** It has told that it isn't connected: what it is given waits there, or is refused. */
  readonly isAway: boolean;
  /** @throws ProtoflyError `E_LINK_CLOSED`, `E_TOO_LARGE` */
  send(message: Message): Backpressure;
}

/** A question for the router: the carrier that a message takes now. */
export interface RouteRequest {
  readonly from: Address;
  readonly to: Address;
  /** The wish of the message (`body.p2p`). `false`: never over P2P, `'require'`: only over P2P. */
  readonly p2p: unknown;
  /** A carrier that brings no receipts: the router chooses another where there is one. */
  readonly avoid?: Carrier | undefined;
}

export const routeRequest = ({ from, body }: Message, to: Address, avoid?: Carrier): RouteRequest => ({ from, to, p2p: body?.p2p, avoid });
