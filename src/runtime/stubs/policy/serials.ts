import type { Descriptor } from '../../../protocol/descriptor.js';
import { ProtoflyError, type Address, type Clock } from '../../../protocol/index.js';
import type { Collection } from '../../../store/index.js';

/** The highest serials seen of one publisher key, by catalogue address. */
export interface SeenSerials {
  readonly serials: Readonly<Record<string, number>>;
  /** Time of the last change, in milliseconds since 1970. */
  readonly at: number;
}

/** Tolerance for clocks that differ, in milliseconds. */
const SKEW_MS = 3600 * 1000;
/** Maximum number of entries remembered of one key. */
const MAX_ENTRIES = 500;
/** Maximum number of keys. */
const MAX_KEYS = 1000;

export interface SerialsComponents {
  readonly seen: Collection<SeenSerials>;
  readonly clock: Clock;
}

/** Refuses descriptors that are rightly signed, but out of date (docs/protocol.md, CAT-11). */
export class Serials {
  readonly #seen: Collection<SeenSerials>;
  readonly #clock: Clock;

  constructor({ seen, clock }: SerialsComponents) {
    this.#seen = seen;
    this.#clock = clock;
  }

  /** @throws ProtoflyError `E_EXPIRED`, or `E_ROLLBACK` if a newer descriptor was seen */
  check({ serial, expires }: Descriptor, keyId: string, address: Address): void {
    if (expires !== undefined && Date.parse(expires) + SKEW_MS < this.#clock.date()) {
      throw new ProtoflyError('E_EXPIRED', `the descriptor of ${address} was valid until ${expires}`, { hint: 'is this machine\'s clock right? (protofly doctor) If so, its domain has to be reached, or its owner has to renew it' });
    }
    const seen = this.#seen.get(keyId);
    if (seen === undefined) return;
    const last = seen.serials[address];
    if (serial === undefined || (last !== undefined && serial < last)) {
      throw new ProtoflyError('E_ROLLBACK', `the descriptor of ${address} ${serial === undefined ? 'has no serial' : `has the serial ${String(serial)}`}, and a newer one of the key ${keyId} was seen`, { hint: 'ask the owner of the domain' });
    }
  }

  /** Remembers the serial of a checked descriptor. Resolves when it would survive a crash. */
  async remember({ serial }: Descriptor, keyId: string, address: Address): Promise<void> {
    const seen = this.#seen.get(keyId);
    if (serial === undefined || serial <= (seen?.serials[address] ?? -1)) return;
    const { [address]: _, ...others } = seen?.serials ?? {};
    const kept = Object.entries(others).slice(-(MAX_ENTRIES - 1));
    await this.#seen.put(keyId, { serials: { ...Object.fromEntries(kept), [address]: serial }, at: this.#clock.date() });
    if (this.#seen.count() <= MAX_KEYS) return;
    const [oldest] = [...this.#seen.entries()].sort(([, a], [, b]) => a.at - b.at);
    if (oldest !== undefined) await this.#seen.delete(oldest[0]);
  }
}
