import type { Address, MessageId } from '../../protocol/index.js';
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
  /** In milliseconds since 1970. */
  readonly until: number;
  /** Whether its sender wants to hear of it. */
  readonly asked: boolean;
  /** Who gave it its epoch and number. */
  readonly numbered: 'here' | 'by its sender';
}

export interface Mail extends Card {
  readonly key: string;
  /** On its way to the disk: settles when it is there. */
  durable: Promise<void> | undefined;
  /** Given to the receiver's present session. */
  given: boolean;
}

/** What tells a message from all others for its receiver. */
export const nameOf = (from: Address, id: MessageId): string => `${typeof id === 'number' ? '#' : '"'}${String(id)} ${digest(from)}`;
