import { MAX_ADDRESS_LENGTH, ProtoflyError } from '../../protocol/index.js';

/**
 * The frames of a mux, one line each. A channel is numbered by who opened it, from 1 up; in a frame the number is
 * positive when the frame's sender opened the channel, negative when its receiver did. Amounts are UTF-16 code units
 * of the messages' JSON: both sides count the same without encoding anything.
 *
 *     o <channel> <window> <name>   opens a channel; window: how much its opener takes
 *     c <channel> <amount>          takes that much more
 *     m <channel> <json>            a message
 *     x <channel> <reason>          the channel is closed
 */
export type MuxFrame =
  | { readonly kind: 'open'; readonly channel: number; readonly window: number; readonly name: string }
  | { readonly kind: 'credit'; readonly channel: number; readonly amount: number }
  | { readonly kind: 'close'; readonly channel: number; readonly reason: string };

/** Larger than any window. A higher number is nonsense or an attack. */
export const MAX_CREDIT = 2 ** 40;
const MAX_CHANNEL = 2 ** 48;
const MAX_REASON = 300;
const SPACE = 0x20;
const MINUS = 0x2d;
const ZERO = 0x30;
const MESSAGE = 0x6d;

const bad = (why: string): ProtoflyError => new ProtoflyError('E_MESSAGE', `broken mux frame: ${why}`);

/** Parses the decimal digits up to `end`; NaN if they are no number or exceed `max`. */
const digits = (text: string, start: number, end: number, max: number): number => {
  if (end <= start || end - start > 16) return NaN;
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = text.charCodeAt(at) - ZERO;
    if (digit < 0 || digit > 9) return NaN;
    value = value * 10 + digit;
  }
  return value <= max ? value : NaN;
};

export const isMessageFrame = (frame: string): boolean => frame.charCodeAt(0) === MESSAGE;

/** Index at which the channel's number ends. @throws ProtoflyError `E_MESSAGE` */
export const channelEnd = (frame: string): number => {
  const end = frame.indexOf(' ', 2);
  if (frame.charCodeAt(1) !== SPACE || end < 0) throw bad('no channel');
  return end;
};

/** @throws ProtoflyError `E_MESSAGE` */
export const channelOf = (frame: string, end: number): number => {
  const negative = frame.charCodeAt(2) === MINUS;
  const number = digits(frame, negative ? 3 : 2, end, MAX_CHANNEL);
  if (!(number > 0)) throw bad('the channel is no number');
  return negative ? -number : number;
};

const amountOf = (text: string, start: number, end: number): number => {
  const amount = digits(text, start, end, MAX_CREDIT);
  if (!(amount > 0)) throw bad('the amount is no number, or too large');
  return amount;
};

/** Parses a control frame (any frame but a message). @throws ProtoflyError `E_MESSAGE` */
export const parseControl = (frame: string): MuxFrame => {
  const end = channelEnd(frame);
  const channel = channelOf(frame, end);
  switch (frame.charAt(0)) {
    case 'o': {
      const space = frame.indexOf(' ', end + 1);
      const name = frame.slice(space + 1);
      if (space < 0 || !isChannelName(name)) throw bad('a channel needs a name');
      return { kind: 'open', channel, window: amountOf(frame, end + 1, space), name };
    }
    case 'c': return { kind: 'credit', channel, amount: amountOf(frame, end + 1, frame.length) };
    case 'x': return { kind: 'close', channel, reason: frame.slice(end + 1, end + 1 + MAX_REASON) };
    default: throw bad('unknown kind');
  }
};

export const isChannelName = (name: string): boolean => name.length > 0 && name.length <= MAX_ADDRESS_LENGTH && name.isWellFormed() && !/\p{Cc}/u.test(name);

export const openFrame = (channel: number, window: number, name: string): string => `o ${String(channel)} ${String(window)} ${name}`;
export const creditFrame = (channel: number, amount: number): string => `c ${String(channel)} ${String(amount)}`;
export const messagePrefix = (channel: number): string => `m ${String(channel)} `;
export const closeFrame = (channel: number, reason: string): string =>
  `x ${String(channel)} ${reason.slice(0, MAX_REASON).toWellFormed().replaceAll(/\p{Cc}/gu, ' ')}`;
