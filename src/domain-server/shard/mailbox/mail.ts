import type { Address, MessageId, Request } from '../../../protocol/index.js';
import { digest } from '../keys.js';
import type { Mark } from './mail-flows.js';

/** The fields of a stored message that stay in memory. */
export interface Card extends Mark {
  readonly to: Address;
  readonly from: Address;
  readonly id: MessageId;
  /** The runtime that sent the message. */
  readonly sender: Address;
  /** The holder whose share the message counts for. @default limited by the other limits alone */
  readonly holder?: string | undefined;
  readonly bytes: number;
  /** Time of its expiry, in milliseconds since 1970. */
  readonly until: number;
  /** True if its sender wants responses about it. */
  readonly asked: boolean;
  /** The origin of its epoch and number: this mailbox or the sender. */
  readonly numbered: 'here' | 'by its sender';
  /** The digest of its content, if its sender has not numbered it. */
  readonly content?: string;
}

export interface Mail extends Card {
  readonly key: string;
  /** Time of its expiry on the steady clock (`Clock.now`), in milliseconds. */
  readonly deadline: number;
  /** Settles when the message is on disk. Undefined from then on. */
  durable: Promise<void> | undefined;
  /** True if it was given to the receiver's current session. */
  given: boolean;
}

/**
 * Returns a name that identifies a message for its receiver. It contains the sender's number, if any. An id alone
 * isn't enough: a program may use it twice.
 */
export const nameOf = ({ from, id, numbered, epoch, seq, content = '' }: Pick<Card, 'from' | 'id' | 'numbered' | 'epoch' | 'seq' | 'content'>): string =>
  numbered === 'here' ? `${typeof id === 'number' ? '#' : '"'}${String(id)} ${digest(from)} ${content}` : `${epoch} ${String(seq)} ${digest(from)}`;

/** Returns the digest of a message's type and body. */
export const contentOf = ({ type, body }: Request): string => digest(JSON.stringify([type, body]));
