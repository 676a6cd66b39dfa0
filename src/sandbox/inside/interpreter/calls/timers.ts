import { hostCall, Open } from '../host-call.js';
import type { CallGroup, Tell } from './group.js';

const MAX_TIMERS = 5000;
const LONGEST_MS = 2 ** 31 - 1;

/** Timers of one stub. */
export class TimerCalls implements CallGroup {
  readonly #running = new Open<NodeJS.Timeout>('timers', MAX_TIMERS);
  readonly calls;

  constructor(tell: Tell) {
    this.calls = {
      setTimer: hostCall(['number', 'number'], (id, milliseconds) => {
        this.#running.checkRoom(id);
        const delay = Math.min(Math.max(milliseconds || 0, 0), LONGEST_MS);
        this.#running.add(id, setTimeout(() => {
          this.#running.delete(id);
          tell('timer', id);
        }, delay));
      }),
      clearTimer: hostCall(['number'], (id) => { clearTimeout(this.#running.delete(id)); }),
      now: hostCall([], () => performance.now()),
    };
  }

  close(): void {
    for (const timer of this.#running.takeAll()) clearTimeout(timer);
  }
}
