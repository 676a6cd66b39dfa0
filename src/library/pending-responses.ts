import type { LinkEnd } from '../link/index.js';
import { idsOf, isProvisional, isSuccess, ProtoflyError, responseError, type Address, type Clock, type Response, type Timer } from '../protocol/index.js';

export interface PendingResponsesComponents {
  readonly clock: Clock;
  /** Resolves when the link that carries the responses has ended. */
  readonly closed: Promise<LinkEnd>;
}

interface Waiting {
  /** The expected sender of the response. */
  readonly from: Address;
  readonly until: number;
  readonly timeoutMs: number;
  readonly succeed: (response: Response) => void;
  readonly fail: (error: ProtoflyError) => void;
}

/** The responses that a hyperty waits for. One timer serves all of them. */
export class PendingResponses {
  readonly #clock: Clock;
  readonly #waiting = new Map<string, Waiting>();
  #timer: Timer | undefined;
  /** Time at which the timer fires. */
  #due = Number.POSITIVE_INFINITY;

  constructor({ clock, closed }: PendingResponsesComponents) {
    this.#clock = clock;
    void closed.then(({ reason }) => {
      this.#timer?.cancel();
      for (const { fail } of this.#waiting.values()) fail(new ProtoflyError('E_LINK_CLOSED', `the runtime has gone: ${reason}`, { uncertain: true }));
      this.#waiting.clear();
    });
  }

  /**
   * Waits for the final response of `from`. If the promise is ignored, its rejection doesn't end the program.
   * @param read returns the wanted part of the response
   * @throws ProtoflyError the receiver's refusal, `E_TIMEOUT`, `E_LINK_CLOSED`
   */
  wait<T>(id: string, { from, timeoutMs }: { readonly from: Address; readonly timeoutMs: number }, read: (response: Response) => T): Promise<T> {
    const answer = new Promise<T>((resolve, reject) => {
      const until = this.#clock.now() + timeoutMs;
      const fail = (error: ProtoflyError): void => {
        // The handler is added only on failure: there are many responses, and few failures.
        answer.catch(() => undefined);
        reject(error);
      };
      this.#waiting.set(id, { from, until, timeoutMs, succeed: (response) => { resolve(read(response)); }, fail });
      if (until < this.#due) this.#watch(until);
    });
    return answer;
  }

  /** True while a response is awaited. */
  has(id: string): boolean {
    return this.#waiting.has(id);
  }

  settle(response: Response): void {
    if (isProvisional(response)) return;
    for (const id of idsOf(response)) {
      const waiting = this.#waiting.get(String(id));
      // Ignore responses from anybody but the expected sender.
      if (waiting === undefined || waiting.from !== response.from) continue;
      this.#waiting.delete(String(id));
      if (isSuccess(response)) waiting.succeed(response);
      else waiting.fail(responseError(response));
    }
  }

  /** Rejects the wait for a response that will not come. */
  fail(id: string, error: ProtoflyError): void {
    this.#waiting.get(id)?.fail(error);
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
    for (const [id, { until, timeoutMs, fail }] of this.#waiting) {
      if (until > now) next = Math.min(next, until);
      else {
        this.#waiting.delete(id);
        fail(new ProtoflyError('E_TIMEOUT', `the time is up: ${String(timeoutMs)} ms`, { uncertain: true }));
      }
    }
    this.#due = Number.POSITIVE_INFINITY;
    if (next < this.#due) this.#watch(next);
  }
}
