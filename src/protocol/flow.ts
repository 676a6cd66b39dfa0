import { bodyWith, isBody, type Body, type Message, type Request, type Response } from './message.js';

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

/** `body.flow` of a receipt: the messages of one stream that it stands for, both ends included. @see docs/protocol.md, FLW-7 */
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

/** Reads the mark of a message that came from elsewhere; undefined where there is none that makes sense. */
export const flowOf = (message: Message): FlowMark | undefined => {
  const flow = triple(message.body?.['flow']);
  if (flow === undefined) return undefined;
  const [epoch, seq, base] = flow;
  return base >= 1 && seq >= base ? { epoch, seq, base } : undefined;
};

/** @param ack the body of a receipt that the message takes along (FLW-9) */
export const withFlow = ({ id, type, from, to, body }: Message, { epoch, seq, base }: FlowMark, ack?: Body): Message =>
  ({ id, type, from, to, body: bodyWith(body, { flow: [epoch, seq, base], ack }) }) as Message;

/** Reads which messages a receipt from elsewhere stands for; undefined where its id alone says so. */
export const rangeOf = (receipt: Response): FlowRange | undefined => {
  const flow = triple(receipt.body['flow']);
  if (flow === undefined) return undefined;
  const [epoch, first, last] = flow;
  return first >= 1 && last >= first ? { epoch, first, last } : undefined;
};

/** The receipt that a message from elsewhere has taken along; undefined where there is none that makes sense. @see docs/protocol.md, FLW-9 */
export const receiptIn = ({ id, from, to, body }: Request): Response | undefined => {
  const ack = body?.['ack'];
  if (!isBody(ack) || typeof to !== 'string') return undefined;
  const receipt: Response = { id, type: 'response', from, to, body: { ...ack, code: 200 } };
  return rangeOf(receipt) === undefined ? undefined : receipt;
};

export const withoutReceipt = ({ id, type, from, to, body }: Request): Request => ({ id, type, from, to, body: bodyWith(body, { ack: undefined }) });

export const isWithinRange = ({ epoch, first, last }: FlowRange, mark: Pick<FlowMark, 'epoch' | 'seq'>): boolean =>
  mark.epoch === epoch && mark.seq >= first && mark.seq <= last;
