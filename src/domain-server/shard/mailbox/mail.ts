import type { Address, MessageId, Request } from '../../../protocol/index.js';
import { digest } from '../keys.js';
import type { Mark } from './streams.js';

/** What is remembered of a message without reading it. */
export interface Card extends Mark {
  readonly to: Address;
  readonly from: Address;
  readonly id: MessageId;
  /** The runtime that sent it. */
  readonly sender: Address;
  readonly bytes: number;
  /** When it expires, in milliseconds since 1970. */
  readonly until: number;
  /** Whether its sender wants to hear of it. */
  readonly asked: boolean;
  /** Who gave it its epoch and number. */
  readonly numbered: 'here' | 'by its sender';
  /** Of a message that its sender has not numbered: its content, as a digest. */
  readonly content?: string;
}

export interface Mail extends Card {
  readonly key: string;
  /** When it expires, in steady time. */
  readonly deadline: number;
  /** On its way to the disk: settles when it is there. */
  durable: Promise<void> | undefined;
  /** Given to the receiver's present session. */
  given: boolean;
}

/**
 * Tells a message from all others for its receiver: its number, where its sender has given it one. An id alone doesn't:
 * a program may use it twice.
 */
export const nameOf = ({ from, id, numbered, epoch, seq, content = '' }: Pick<Card, 'from' | 'id' | 'numbered' | 'epoch' | 'seq' | 'content'>): string =>
  numbered === 'here' ? `${typeof id === 'number' ? '#' : '"'}${String(id)} ${digest(from)} ${content}` : `${epoch} ${String(seq)} ${digest(from)}`;

/** The digest of what a message says. */
export const contentOf = ({ type, body }: Request): string => digest(JSON.stringify([type, body]));
