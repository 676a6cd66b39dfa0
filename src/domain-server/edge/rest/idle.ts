import type { Clock, Timer } from '../../../protocol/index.js';

/** Calls back once, when nothing has been under way for `idleMs`. */
export class IdleWatch {
  readonly #clock: Clock;
  readonly #idleMs: number;
  readonly #onIdle: () => void;
  #underWay = 0;
  #since: number;
  #timer: Timer | undefined;

  constructor({ clock, onIdle }: { clock: Clock; onIdle: () => void }, idleMs: number) {
    this.#clock = clock;
    this.#idleMs = idleMs;
    this.#onIdle = onIdle;
    this.#since = clock.now();
    this.#arm(idleMs);
  }

  /** Something begins. @returns to be called once, when it is over */
  enter(): () => void {
    this.#underWay += 1;
    let over = false;
    return () => {
      if (over) return;
      over = true;
      this.#underWay -= 1;
      this.#since = this.#clock.now();
    };
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(milliseconds: number): void {
    this.#timer = this.#clock.setTimeout(() => {
      // A process that was busy itself first looks at what has come meanwhile.
      setImmediate(() => { this.#look(); });
    }, milliseconds);
  }

  #look(): void {
    if (this.#timer === undefined) return;
    const rest = this.#underWay > 0 ? this.#idleMs : this.#since + this.#idleMs - this.#clock.now();
    if (rest > 0) { this.#arm(rest); return; }
    this.stop();
    this.#onIdle();
  }
}
