import type { LinkEnd } from '../link/index.js';
import { idsOf, isProvisional, ProtoflyError, type Address, type Clock, type Response, type Timer } from '../protocol/index.js';

export interface AnswersComponents {
  readonly clock: Clock;
  /** The end of the link over which answers come. */
  readonly closed: Promise<LinkEnd>;
}

interface Waiting {
  /** Who is to answer. */
  readonly from: Address;
  readonly until: number;
  readonly timeoutMs: number;
  readonly resolve: (response: Response) => void;
  readonly reject: (error: ProtoflyError) => void;
}

/** The answers that a hyperty waits for: many at a time, with one timer for all of them. */
export class Answers {
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Waiting>();
  #timer: Timer | undefined;
  /** When the timer fires. */
  #due = Number.POSITIVE_INFINITY;

  constructor({ clock, closed }: AnswersComponents) {
    this.#clock = clock;
    void closed.then(({ reason }) => {
      this.#timer?.cancel();
      for (const { reject } of this.#waiting.values()) reject(new ProtoflyError('E_LINK_CLOSED', `the runtime has gone: ${reason}`));
      this.#waiting.clear();
    });
  }

  /** Resolves with the final answer, whatever its code. @throws ProtoflyError `E_TIMEOUT`, `E_LINK_CLOSED` */
  wait(id: string, from: Address, timeoutMs: number): Promise<Response> {
    return new Promise((resolve, reject) => {
      const until = this.#clock.now() + timeoutMs;
      this.#waiting.set(id, { from, until, timeoutMs, resolve, reject });
      if (until < this.#due) this.#watch(until);
    });
  }

  settle(response: Response): void {
    if (isProvisional(response)) return;
    for (const id of idsOf(response)) {
      const waiting = this.#waiting.get(String(id));
      // Nobody answers for others.
      if (waiting === undefined || waiting.from !== response.from) continue;
      this.#waiting.delete(String(id));
      waiting.resolve(response);
    }
  }

  /** Nobody waits for it any more. */
  forget(id: string): void {
    this.#waiting.delete(id);
  }

  #watch(due: number): void {
    this.#timer?.cancel();
    this.#due = due;
    this.#timer = this.#clock.setTimeout(() => { this.#sweep(); }, Math.max(0, due - this.#clock.now()));
  }

  #sweep(): void {
    const now = this.#clock.now();
    let next = Number.POSITIVE_INFINITY;
    for (const [id, { until, timeoutMs, reject }] of this.#waiting) {
      if (until > now) next = Math.min(next, until);
      else {
        this.#waiting.delete(id);
        reject(new ProtoflyError('E_TIMEOUT', `the time is up: ${String(timeoutMs)} ms`));
      }
    }
    this.#due = Number.POSITIVE_INFINITY;
    if (next < this.#due) this.#watch(next);
  }
}
