import type { Pressure } from '../../bus/index.js';
import type { Address, Message } from '../../protocol/index.js';

/** Something that carries messages to elsewhere: a message-node stub, or one P2P connection. */
export interface Carrier {
  readonly kind: 'p2p' | 'msg-node';
  /** Address of the stub, or of the connection. */
  readonly address: Address;
  /** @throws ProtoflyError `E_LINK_CLOSED`, `E_TOO_LARGE` */
  send(message: Message): Pressure;
}

/**
 * `body.flow` of a message whose sender waits for a receipt: where it stands in the stream from its sender to its
 * receiver. @see docs/protocol.md, "Flows"
 */
export interface FlowMark {
  /** Names one stream. A sender that begins anew, after a restart or a long silence, takes another. */
  readonly epoch: string;
  /** 1, 2, 3, … within the epoch. */
  readonly seq: number;
  /** The lowest seq whose receipt is still awaited: nothing below it will come again. */
  readonly base: number;
}

/** Reads the mark of a message that came from elsewhere; undefined where there is none that makes sense. */
export const flowOf = (message: Message): FlowMark | undefined => {
  const mark = message.body?.['flow'];
  if (!Array.isArray(mark) || mark.length !== 3) return undefined;
  const [epoch, seq, base] = mark as unknown[];
  if (typeof epoch !== 'string' || epoch.length > 64) return undefined;
  if (typeof seq !== 'number' || typeof base !== 'number' || !Number.isSafeInteger(seq) || !Number.isSafeInteger(base)) return undefined;
  return base >= 1 && seq >= base ? { epoch, seq, base } : undefined;
};

export const withFlow = (message: Message, { epoch, seq, base }: FlowMark): Message =>
  ({ ...message, body: { ...message.body, flow: [epoch, seq, base] } }) as Message;
