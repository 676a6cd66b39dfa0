import type { IncomingMessage } from 'node:http';
import { ProtoflyError } from '../../../protocol/index.js';

/** The parameters of a request for messages, apart from its body. */
export interface Parameters {
  /** @default 0 */
  readonly waitMs: number;
  /** The client acknowledges all messages up to this number. */
  readonly after: number | undefined;
  readonly batch: number | undefined;
}

const WHOLE = /^\d{1,16}$/;
const SECONDS = /^\d{1,6}(?:\.\d{1,6})?$/;

const whole = (text: string | null | undefined, name: string, least: number): number | undefined => {
  if (text === null || text === undefined) return undefined;
  const number = WHOLE.test(text) ? Number(text) : NaN;
  if (!Number.isSafeInteger(number) || number < least) throw new ProtoflyError('E_USAGE', `${name} is a whole number from ${String(least)}`);
  return number;
};

/** @throws ProtoflyError `E_USAGE` */
export const parametersOf = ({ url = '', headers }: IncomingMessage): Parameters => {
  const query = new URLSearchParams(url.includes('?') ? url.slice(url.indexOf('?') + 1) : '');
  const wait = query.get('wait') ?? '0';
  if (!SECONDS.test(wait)) throw new ProtoflyError('E_USAGE', 'wait is a number of seconds');
  const lastEvent = headers['last-event-id'];
  const batch = headers['protofly-batch'];
  const after = whole(query.get('after'), 'after', 0);
  const seen = whole(typeof lastEvent === 'string' ? lastEvent : undefined, 'Last-Event-ID', 0);
  return {
    waitMs: Number(wait) * 1000,
    // An event source reconnects with the URL of its first connection, so the larger number counts.
    after: after === undefined && seen === undefined ? undefined : Math.max(after ?? 0, seen ?? 0),
    batch: whole(typeof batch === 'string' ? batch : undefined, 'protofly-batch', 1),
  };
};
