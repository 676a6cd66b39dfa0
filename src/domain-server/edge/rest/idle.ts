import type { Clock, Timer } from '../../../protocol/index.js';

/** Calls `onIdle` once, when no request has been in progress for `idleMs`. */
export class IdleWatch {
  readonly #clock: Clock;
  readonly #idleMs: number;
  readonly #onIdle: () => void;
  #inFlight = 0;
  #since: number;
  #timer: Timer | undefined;

  constructor({ clock, onIdle }: { clock: Clock; onIdle: () => void }, idleMs: number) {
    this.#clock = clock;
    this.#idleMs = idleMs;
    this.#onIdle = onIdle;
    this.#since = clock.now();
    this.#arm(idleMs);
  }

  /** Marks the start of a request. @returns a function to call when it has ended; idempotent */
  enter(): () => void {
    this.#inFlight += 1;
    let over = false;
    return () => {
      if (over) return;
      over = true;
      this.#inFlight -= 1;
      this.#since = this.#clock.now();
    };
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(milliseconds: number): void {
    this.#timer = this.#clock.setTimeout(() => {
      // If this process was busy itself, handle the events that have arrived first.
      setImmediate(() => { this.#look(); });
    }, milliseconds);
  }

  #look(): void {
    if (this.#timer === undefined) return;
    const rest = this.#inFlight > 0 ? this.#idleMs : this.#since + this.#idleMs - this.#clock.now();
    if (rest > 0) { this.#arm(rest); return; }
    this.stop();
    this.#onIdle();
  }
}
