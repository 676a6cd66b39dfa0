import type { Address, Message, Pressure } from '../../protocol/index.js';

/** Something that carries messages to elsewhere: a message-node stub, or one P2P connection. */
export interface Carrier {
  readonly kind: 'p2p' | 'msg-node';
  /** Address of the stub, or of the connection. */
  readonly address: Address;
  /** It has told that it isn't connected: what it is given waits there, or is refused. */
  readonly isAway: boolean;
  /** @throws ProtoflyError `E_LINK_CLOSED`, `E_TOO_LARGE` */
  send(message: Message): Pressure;
}
