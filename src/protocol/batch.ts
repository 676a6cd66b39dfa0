import { ProtoflyError } from './errors.js';
import type { FlowMark, FlowRange } from './flow.js';
import { MAX_BATCH } from './limits.js';
import { bodyWith, isBody, parseId, type Body, type Message, type MessageId, type Request } from './message.js';

const ID = /^(.{1,64})\/([1-9]\d{0,15})-([1-9]\d{0,15})$/s;

/**
 * Combines consecutive messages of one flow into a batch. `body.value` lists ids and bodies; `body.flow` has
 * the number of the first message and the count.
 * @see docs/protocol.md, FLW-8
 * @param messages at least one; all of one type, and all want a receipt
 * @param mark the mark of the first message
 * @param ack the body of a receipt that the batch carries along (FLW-9)
 */
export const batchOf = (messages: readonly Request[], { epoch, seq, base }: FlowMark, ack?: Body): Request => {
  const { type, from, to } = messages[0]!;
  const value = messages.map(({ id, body }) => [id, bodyWith(body, { expect: undefined })]);
  return {
    id: `${epoch}/${String(seq)}-${String(seq + messages.length - 1)}`, type, from, to,
    body: { value, expect: 'receipt', flow: [epoch, seq, base, messages.length], ...(ack === undefined ? {} : { ack }) },
  };
};

/** True for any batch, also for a malformed one. */
export const isBatch = ({ body }: Message): boolean => Array.isArray(body?.['flow']) && body['flow'].length === 4;

/** Returns the number of messages in a batch, or 1 for any other message. */
export const countOf = (message: Message): number => (isBatch(message) && Array.isArray(message.body?.value) ? Math.max(1, message.body.value.length) : 1);

/** Splits a received batch into its messages, each with its number. @throws ProtoflyError `E_MESSAGE` */
export const unbatched = ({ type, from, to, body }: Request): readonly Request[] => {
  const [epoch, first, base, count] = body?.['flow'] as unknown[];
  const list = body?.value;
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_BATCH || list.length !== count) throw malformed(`it doesn't list its messages, 1 to ${String(MAX_BATCH)}`);
  if (!isNumber(first) || !isNumber(base)) throw malformed('its flow has no numbers');
  return list.map((item: unknown, index) => {
    const [id, itemBody] = pairOf(item);
    return { id, type, from, to, body: bodyWith(itemBody, { expect: 'receipt', flow: [epoch, first + index, base] }) };
  });
};

/** Returns the range of messages that a batch's id stands for; undefined for other ids. */
export const batchRange = (id: MessageId): FlowRange | undefined => {
  const [, epoch, first, last] = (typeof id === 'string' ? ID.exec(id) : null) ?? [];
  return epoch === undefined ? undefined : { epoch, first: Number(first), last: Number(last) };
};

const malformed = (why: string): ProtoflyError => new ProtoflyError('E_MESSAGE', `malformed batch: ${why}`);

const isNumber = (value: unknown): value is number => typeof value === 'number' && Number.isSafeInteger(value);

const pairOf = (item: unknown): readonly [MessageId, Body] => {
  if (!Array.isArray(item) || item.length !== 2) throw malformed('a message is no pair of id and body');
  const [id, body] = item as unknown[];
  if (!isBody(body)) throw malformed('a body is not an object');
  return [parseId(id), body];
};
