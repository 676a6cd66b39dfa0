import type { Message } from '../../protocol/index.js';
import type { Carrier } from './carrier.js';
import type { Numbered } from './window.js';

/** A message that awaits its receipt. */
export interface Outstanding extends Numbered {
  readonly message: Message;
  /** What it was given to last; undefined when that couldn't send it, or there was nothing. */
  carrier: Carrier | undefined;
  /** It was given to one before. */
  sent: boolean;
}
