/** A source of time; handed in wherever time is needed. */
export interface Clock {
  /**
   * Monotonic time in milliseconds, for durations and deadlines. It never goes back, and setting the machine's
   * clock doesn't change it. It starts at the date of the process's start. So a deadline on disk stays roughly
   * valid for a later process.
   */
  now(): number;
  /** The machine's clock, in milliseconds since 1970, for dates that people or other machines read. It may jump either way. */
  date(): number;
  /** Calls `run` once after `milliseconds` (at most 24 days). A pending timer doesn't keep the process alive. */
  setTimeout(run: () => void, milliseconds: number): Timer;
}

export interface Timer {
  /** Idempotent. */
  cancel(): void;
}

declare const setTimeout: (run: () => void, milliseconds: number) => { unref?: () => void };
declare const clearTimeout: (timer: unknown) => void;
declare const performance: { readonly timeOrigin: number; now(): number };

/** Longest delay that `setTimeout` supports, in milliseconds; a longer one would fire at once. */
const LONGEST = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Math.floor(performance.timeOrigin + performance.now()),
  date: () => Date.now(),
  setTimeout: (run, milliseconds) => {
    const timer = setTimeout(run, Math.min(milliseconds, LONGEST));
    timer.unref?.();
    return { cancel: () => { clearTimeout(timer); } };
  },
};
