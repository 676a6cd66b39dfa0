/** Time, as it is handed in to whatever needs it. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Runs once after `milliseconds` (at most 24 days). A pending timer doesn't keep the process alive. */
  setTimeout(run: () => void, milliseconds: number): Timer;
}

export interface Timer {
  /** Idempotent. */
  cancel(): void;
}

declare const setTimeout: (run: () => void, milliseconds: number) => { unref?: () => void };
declare const clearTimeout: (timer: unknown) => void;

/** What lies beyond would run at once. */
const LONGEST = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (run, milliseconds) => {
    const timer = setTimeout(run, Math.min(milliseconds, LONGEST));
    timer.unref?.();
    return { cancel: () => { clearTimeout(timer); } };
  },
};
