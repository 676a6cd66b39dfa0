import type { Clock } from '../../protocol/index.js';
import type { Collection } from '../../store/store.js';

/** The last change of an entry, or of all built-in entries together. */
export interface Changed {
  /** Digest of the content. */
  readonly content: string;
  /** Serial of the change: its time, in milliseconds since 1970. */
  readonly serial: number;
}

/** Time after which descriptors are signed anew, in milliseconds. */
const RENEW_MS = 7 * 24 * 3600 * 1000;
/** Validity of a descriptor from the beginning of its period, in milliseconds. */
const VALID_MS = 30 * 24 * 3600 * 1000;

export interface SerialsComponents {
  readonly changes: Collection<Changed>;
  readonly clock: Clock;
}

/**
 * Numbers the domain's descriptors. A serial rises with each change and with each period, and never depends on who asks. A
 * descriptor is valid for at least 23 days after it was asked for.
 */
export class Serials {
  readonly #changes: Collection<Changed>;
  readonly #clock: Clock;

  constructor({ changes, clock }: SerialsComponents) {
    this.#changes = changes;
    this.#clock = clock;
  }

  /** Notes the content of an entry; its serial rises if the content has changed. Resolves when that would survive a crash. */
  async note(key: string, content: string): Promise<void> {
    const before = this.#changes.get(key);
    if (before?.content === content) return;
    await this.#changes.put(key, { content, serial: Math.max(this.#clock.date(), (before?.serial ?? 0) + 1) });
  }

  /** Returns the present number of an entry and the end of its validity. @param keys the entry's, and others that count for it */
  of(...keys: readonly string[]): { readonly serial: number; readonly expires: string } {
    const period = Math.floor(this.#clock.date() / RENEW_MS) * RENEW_MS;
    return {
      serial: Math.max(period, ...keys.map((key) => this.#changes.get(key)?.serial ?? 0)),
      expires: new Date(period + VALID_MS).toISOString(),
    };
  }
}
