import type { Clock } from '../../../../protocol/index.js';
import { attempt, counter, host } from './host.js';

type Run = (...args: unknown[]) => void;

interface Timer {
  readonly run: () => void;
  readonly every: number | undefined;
}

const running = new Map<number, Timer>();
const nextId = counter();

const set = (repeats: boolean) => (run: Run, milliseconds?: number, ...args: unknown[]): number => {
  if (typeof run !== 'function') throw new TypeError('a timer needs a function');
  const id = nextId();
  const delay = Number(milliseconds ?? 0) || 0;
  host.setTimer(id, delay);
  running.set(id, { run: () => { run(...args); }, every: repeats ? Math.max(delay, 1) : undefined });
  return id;
};

const clear = (id: unknown): void => {
  if (running.delete(id as number)) host.clearTimer(id as number);
};

export const timerGlobals = { setTimeout: set(false), setInterval: set(true), clearTimeout: clear, clearInterval: clear };

/** Called when a timer's time has come. */
export const onTimer = (id: number): void => {
  const timer = running.get(id);
  if (timer === undefined) return;
  if (timer.every === undefined) running.delete(id);
  else host.setTimer(id, timer.every);
  attempt(timer.run);
};

export const clock: Clock = {
  now: () => host.now(),
  date: () => Date.now(),
  setTimeout: (run, milliseconds) => {
    const id = timerGlobals.setTimeout(run, milliseconds);
    return { cancel: () => { clear(id); } };
  },
};
