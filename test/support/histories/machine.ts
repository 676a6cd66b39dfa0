import type { Clock, Timer } from '../../../src/protocol/index.js';
import type { ManualClock } from '../manual-clock.js';

/** The time of one machine: its date can be set, it can stop for a while, and it can sleep. */
export class Machine {
  readonly #clock: ManualClock;
  /** Offset of its date from the world's time, in milliseconds. */
  #ahead = 0;
  /** Total time slept, in milliseconds; its steady time stood still. */
  #slept = 0;
  #stopped = false;
  #disturbedAt = Number.NEGATIVE_INFINITY;
  readonly #late: (() => void)[] = [];

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  get isStopped(): boolean {
    return this.#stopped;
  }

  /** Time of the last stop, sleep or resumption. */
  get disturbedAt(): number {
    return this.#disturbedAt;
  }

  /** Steady time, which stands still while the machine sleeps. */
  get steady(): number {
    return this.#clock.now() - this.#slept;
  }

  get date(): number {
    return this.#clock.now() + this.#ahead;
  }

  /** Moves the machine's date forward or back. */
  setBy(milliseconds: number): void {
    this.#ahead += milliseconds;
  }

  /** Stops the machine: its timers will be late. */
  stop(): void {
    this.#stopped = true;
    this.#disturbedAt = this.#clock.now();
  }

  /** Resumes the machine and runs late timers. */
  goOn(): void {
    this.#stopped = false;
    this.#disturbedAt = this.#clock.now();
    for (const run of this.#late.splice(0)) run();
  }

  /** Wakes the machine; only its date shows how long it slept. */
  wake(slept: number): void {
    this.#slept += slept;
    this.goOn();
  }

  /** Sets a timer that fires when its time has come and the machine runs. */
  setTimeout(run: () => void, milliseconds: number): Timer {
    const at = this.steady + milliseconds;
    let timer: Timer | undefined;
    const fire = (): void => {
      if (this.#stopped) { this.#late.push(() => { if (timer !== undefined) fire(); }); return; }
      const left = at - this.steady;
      if (left <= 0) run();
      else timer = this.#clock.setTimeout(fire, left);
    };
    timer = this.#clock.setTimeout(fire, milliseconds);
    return { cancel: () => { timer?.cancel(); timer = undefined; } };
  }
}

/** The clock of one process. Its timers end with the process. */
export class LifeClock implements Clock {
  readonly #machine: Machine;
  /** The date at which steady time began, as for the clock of a real process. */
  readonly #origin: number;
  readonly #timers = new Set<Timer>();
  #ended = false;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#origin = machine.date - machine.steady;
  }

  now(): number {
    return this.#machine.steady + this.#origin;
  }

  date(): number {
    return this.#machine.date;
  }

  /** Number of pending timers. */
  get pending(): number {
    return this.#timers.size;
  }

  setTimeout(run: () => void, milliseconds: number): Timer {
    if (this.#ended) return { cancel: () => undefined };
    const timer = this.#machine.setTimeout(() => {
      this.#timers.delete(timer);
      run();
    }, milliseconds);
    this.#timers.add(timer);
    return { cancel: () => {
      this.#timers.delete(timer);
      timer.cancel();
    } };
  }

  end(): void {
    this.#ended = true;
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
  }
}
