import { asProtoflyError, type Clock, type Timer } from '../protocol/index.js';
import { Backoff } from './backoff.js';

export interface RetryUntilDoneComponents {
  readonly clock: Clock;
  /** The action. It may be called again at any time, also while an earlier call is running. */
  readonly renew: () => Promise<void>;
  readonly log: (level: 'warn', text: string) => void;
}

/** Runs an action when a session begins, and retries it with growing pauses until it succeeds. */
export class RetryUntilDone {
  readonly #components: RetryUntilDoneComponents;
  readonly #name: string;
  readonly #backoff = new Backoff({ firstMs: 1000, maxMs: 60_000 });
  #again: Timer | undefined;
  /** Number of attempts; the result of any but the last is ignored. */
  #begun = 0;
  #isDue = false;
  #closed = false;

  constructor(components: RetryUntilDoneComponents, { name }: { readonly name: string }) {
    this.#components = components;
    this.#name = name;
  }

  /** Starts the action, also again after it was done. */
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

  /** Retries now if the action isn't done yet: an attempt in progress may have been lost. */
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
