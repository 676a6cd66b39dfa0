import { bodyWith, isBody, type Body, type Message, type Request, type Response } from './message.js';

/**
 * `body.flow` of a message whose sender waits for a receipt: the message's place in the flow from its sender to
 * its receiver.
 * @see docs/protocol.md, "Flows"
 */
export interface FlowMark {
  /** Names the flow. A sender that starts anew, after a restart or a long silence, uses another epoch. */
  readonly epoch: string;
  /** 1, 2, 3, … within the epoch. */
  readonly seq: number;
  /** The lowest seq in flight: nothing below it will be sent again. */
  readonly base: number;
}

/** `body.flow` of a receipt: the messages of one flow that it covers, both ends included. @see docs/protocol.md, FLW-7 */
export interface FlowRange {
  readonly epoch: string;
  readonly first: number;
  readonly last: number;
}

const MAX_EPOCH = 64;

/** `[epoch, n, m]` with whole numbers n and m. */
const triple = (flow: unknown): readonly [string, number, number] | undefined => {
  if (!Array.isArray(flow) || flow.length !== 3) return undefined;
  const [epoch, one, other] = flow as unknown[];
  if (typeof epoch !== 'string' || epoch.length > MAX_EPOCH) return undefined;
  return typeof one === 'number' && typeof other === 'number' && Number.isSafeInteger(one) && Number.isSafeInteger(other) ? [epoch, one, other] : undefined;
};

/** Reads the flow mark of a received message; undefined if it is missing or invalid. */
export const flowOf = (message: Message): FlowMark | undefined => {
  const flow = triple(message.body?.['flow']);
  if (flow === undefined) return undefined;
  const [epoch, seq, base] = flow;
  return base >= 1 && seq >= base ? { epoch, seq, base } : undefined;
};

/** Adds a flow mark to a message. @param ack the body of a receipt that the message carries along (FLW-9) */
export const withFlow = ({ id, type, from, to, body }: Message, { epoch, seq, base }: FlowMark, ack?: Body): Message =>
  ({ id, type, from, to, body: bodyWith(body, { flow: [epoch, seq, base], ack }) }) as Message;

/** Reads the messages that a received receipt covers; undefined if only its id tells. */
export const rangeOf = (receipt: Response): FlowRange | undefined => {
  const flow = triple(receipt.body['flow']);
  if (flow === undefined) return undefined;
  const [epoch, first, last] = flow;
  return first >= 1 && last >= first ? { epoch, first, last } : undefined;
};

/**
 * Reads the receipt that a received message carries along; undefined if it is missing or invalid.
 * @see docs/protocol.md, FLW-9
 */
export const receiptIn = ({ id, from, to, body }: Request): Response | undefined => {
  const ack = body?.['ack'];
  if (!isBody(ack) || typeof to !== 'string') return undefined;
  const receipt: Response = { id, type: 'response', from, to, body: { ...ack, code: 200 } };
  return rangeOf(receipt) === undefined ? undefined : receipt;
};

export const withoutReceipt = ({ id, type, from, to, body }: Request): Request => ({ id, type, from, to, body: bodyWith(body, { ack: undefined }) });

export const isWithinRange = ({ epoch, first, last }: FlowRange, mark: Pick<FlowMark, 'epoch' | 'seq'>): boolean =>
  mark.epoch === epoch && mark.seq >= first && mark.seq <= last;
