import { roughSize, type Body, type Message } from '../../protocol/index.js';
import type { Carrier } from './carrier.js';
import type { Numbered } from './window.js';

/** A message that awaits its receipt. */
export interface InFlight extends Numbered {
  readonly message: Message;
  /** Time when it was first to be sent, in steady time. */
  readonly since: number;
  /**
   * Deadline in steady time: it travels with the rest of its `ttl`. If undefined, its own `ttl`, if any, travels
   * unchanged.
   */
  readonly until: number | undefined;
  /** The carrier that it was last given to. Undefined after a failed send, or while there is no route. */
  carrier: Carrier | undefined;
  /** An earlier carrier that brought no receipt. If the receipt names another path, that carrier is of no use. */
  doubted: Carrier | undefined;
  /**
   * The body of a receipt for messages of the other direction, sent along with this one (docs/protocol.md, FLW-9). It
   * stays true, however late it arrives.
   */
  ack: Body | undefined;
  /** Number of times that it was given to a carrier. */
  given: number;
  /** Number of those attempts that are known to have reached nobody. */
  returned: number;
}

export const give = (entry: InFlight, carrier: Carrier): void => {
  entry.carrier = carrier;
  entry.given += 1;
};

/** Notes that the carrier, or a message node behind it, reported that the message went no further. */
export const giveBack = (entry: InFlight): void => {
  entry.returned = Math.min(entry.returned + 1, entry.given);
};

/** True if the receiver may have the message. */
export const isInDoubt = ({ given, returned }: InFlight): boolean => given > returned;

/** Approximate size of a message in bytes: exact enough to bound queues, cheap enough for every message. */
export const sizeOf = ({ body }: Message): number => 256 + (body?.value === undefined ? 0 : roughSize(body.value));
