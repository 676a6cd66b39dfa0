import { roughSize, type Body, type Message } from '../../protocol/index.js';
import type { Carrier } from './carrier.js';
import type { Numbered } from './window.js';

/** A message that awaits its receipt. */
export interface InFlight extends Numbered {
  readonly message: Message;
  /** When it was to be sent first. */
  readonly since: number;
  /** In steady time: it travels with what is left of its `ttl` until then. Undefined: with the `ttl` that it has, if any. */
  readonly until: number | undefined;
  /** What it was given to last; undefined when that couldn't send it, or there was nothing. */
  carrier: Carrier | undefined;
  /** What it was given to earlier, for long or in vain: a receipt that says that it came another way tells against that. */
  doubted: Carrier | undefined;
  /** What it takes along: the body of a receipt for messages of the other direction (docs/protocol.md, FLW-9). True whenever it arrives. */
  ack: Body | undefined;
  /** How often it was given to a carrier. */
  given: number;
  /** How often of these it is known to have gone nowhere. */
  returned: number;
}

export const give = (entry: InFlight, carrier: Carrier): void => {
  entry.carrier = carrier;
  entry.given += 1;
};

/** The carrier that it was given to, or a message node behind that, says that it went no further. */
export const giveBack = (entry: InFlight): void => {
  entry.returned = Math.min(entry.returned + 1, entry.given);
};

/** Whether its receiver may have it. */
export const isInDoubt = ({ given, returned }: InFlight): boolean => given > returned;

/** About what a message takes, in bytes: exact enough to bound what waits, cheap enough for every message. */
export const sizeOf = ({ body }: Message): number => 256 + (body?.value === undefined ? 0 : roughSize(body.value));
