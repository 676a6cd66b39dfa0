/** Time, as it is handed in to whatever needs it. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Runs once after `milliseconds`. A pending timer doesn't keep the process alive. */
  setTimeout(run: () => void, milliseconds: number): Timer;
}

export interface Timer {
  /** Idempotent. */
  cancel(): void;
}

declare const setTimeout: (run: () => void, milliseconds: number) => { unref?: () => void };
declare const clearTimeout: (timer: unknown) => void;

export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (run, milliseconds) => {
    const timer = setTimeout(run, milliseconds);
    timer.unref?.();
    return { cancel: () => { clearTimeout(timer); } };
  },
};
