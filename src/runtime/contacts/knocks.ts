import { asProtoflyError, type Address, type Clock } from '../../protocol/index.js';
import type { Collection } from '../../store/index.js';
import type { Sender } from './senders.js';

/** The first message of somebody whom this runtime's user hasn't accepted. It was refused, and is only shown. */
export interface Knock {
  readonly from: Address;
  /** The user who has proved that the address is his. */
  readonly user?: Address;
  /** The user that the address's record names without a proof. */
  readonly claimed?: Address;
  /** The beginning of the message's text. */
  readonly text?: string;
  /** ISO 8601 */
  readonly at: string;
}

export interface KnocksComponents {
  readonly clock: Clock;
  /** By sender. */
  readonly kept: Collection<Knock>;
  readonly log: (level: 'warn', text: string) => void;
}

const MAX_KNOCKS = 100;
/** Maximum length of the text that is shown, in UTF-16 code units. */
const MAX_TEXT = 500;
const MAX_ADDRESS = 400;

/** The knocks of strangers: one for each, a hundred of them. The oldest makes room. */
export class Knocks {
  readonly #components: KnocksComponents;

  constructor(components: KnocksComponents) {
    this.#components = components;
  }

  all(): Knock[] {
    return [...this.#components.kept.entries()].map(([, knock]) => knock);
  }

  /** Keeps a stranger's first message. @param value the body's value */
  note({ address, user, claimed, runtime }: Sender, value: unknown): void {
    const { kept, clock, log } = this.#components;
    const key = user ?? runtime ?? address;
    if (key.length > MAX_ADDRESS || kept.get(key) !== undefined) return;
    const knock: Knock = {
      from: address, at: new Date(clock.date()).toISOString(),
      ...(user === undefined ? {} : { user }), ...(claimed === undefined ? {} : { claimed }), ...(typeof value === 'string' ? { text: value.slice(0, MAX_TEXT) } : {}),
    };
    const oldest = kept.count() < MAX_KNOCKS ? undefined : [...kept.entries()].reduce((a, b) => (b[1].at < a[1].at ? b : a))[0];
    if (oldest !== undefined) void kept.delete(oldest);
    kept.put(key, knock).catch((thrown: unknown) => { log('warn', `a knock of ${key} can't be kept: ${asProtoflyError(thrown).message}`); });
  }

  /** Forgets the knocks of a user. */
  async forget(user: Address): Promise<void> {
    const { kept } = this.#components;
    for (const [key, knock] of [...kept.entries()]) if (knock.user === user || knock.claimed === user) await kept.delete(key);
  }
}
