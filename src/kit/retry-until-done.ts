import { asProtoflyError, type Clock, type Timer } from '../protocol/index.js';
import { Backoff } from './backoff.js';

export interface RetryUntilDoneComponents {
  readonly clock: Clock;
  /** May be done again at any time, also while it is being done. */
  readonly renew: () => Promise<void>;
  readonly log: (level: 'warn', text: string) => void;
}

/** Something that has to be done anew when a session begins, and is tried, with growing pauses, until it is done. */
export class RetryUntilDone {
  readonly #components: RetryUntilDoneComponents;
  readonly #name: string;
  readonly #backoff = new Backoff({ firstMs: 1000, maxMs: 60_000 });
  #again: Timer | undefined;
  /** How often it was begun: what an earlier attempt comes to counts no more. */
  #begun = 0;
  #isDue = false;
  #closed = false;

  constructor(components: RetryUntilDoneComponents, { name }: { readonly name: string }) {
    this.#components = components;
    this.#name = name;
  }

  /** It is to be done anew. */
  start(): void {
    this.#again?.cancel();
    if (this.#closed) return;
    this.#isDue = true;
    this.#begun += 1;
    const attempt = this.#begun;
    this.#components.renew().then(
      () => { if (attempt === this.#begun) this.#done(); },
      (thrown: unknown) => { if (attempt === this.#begun && !this.#closed) this.#later(asProtoflyError(thrown).message); },
    );
  }

  /** If it isn't done yet, what is under way may have been lost: it is tried again now. */
  resume(): void {
    if (this.#isDue) this.start();
  }

  close(): void {
    this.#closed = true;
    this.#again?.cancel();
  }

  #done(): void {
    this.#isDue = false;
    this.#backoff.reset();
  }

  #later(why: string): void {
    const { clock, log } = this.#components;
    const pause = this.#backoff.failed();
    log('warn', `${this.#name}: ${why}; next try in ${String(pause)} ms`);
    this.#again = clock.setTimeout(() => { this.start(); }, pause);
  }
}
