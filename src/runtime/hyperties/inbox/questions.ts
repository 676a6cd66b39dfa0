import { bodyWith, isProvisional, isSuccess, type Address, type Clock, type MessageId, type Request, type Response, type Timer, type ReceivedVia } from '../../../protocol/index.js';
import type { Program } from './consumer.js';
import { LruMap } from '../../../kit/lru-map.js';

export interface QuestionsComponents {
  readonly clock: Clock;
  /** Returns the attached programs. */
  readonly programs: () => readonly Program[];
  /** Sends an answer that was held back. */
  readonly pass: (response: Response) => void;
}

/** Maximum number of unanswered requests whose path is remembered. */
const MAX_ASKED = 20_000;
/** Time that a refusal waits for the other programs, in milliseconds. Senders of files ask again after 3 s. */
const HOLD_MS = 2000;

/** A refusal held back because another program may accept. */
interface Held {
  readonly refusal: Response;
  readonly by: Set<Program | undefined>;
  readonly timer: Timer;
}

/**
 * Requests that the programs of one hyperty are to answer. However many programs are attached, each request gets one
 * final answer: the first success, or else a refusal. A refusal waits until no attached program may still accept.
 */
export class Questions {
  readonly #components: QuestionsComponents;
  readonly #asked = new LruMap<string, ReceivedVia | 'answered'>(MAX_ASKED);
  readonly #held = new Map<string, Held>();

  constructor(components: QuestionsComponents) {
    this.#components = components;
  }

  ask({ from, id }: Request, via: ReceivedVia): void {
    this.#asked.set(keyOf(from, id), via);
  }

  /**
   * Handles a program's answer. Adds the path of the request, unless the program has set a `path` itself.
   * @returns the answer to send now; undefined if it is held back, or the request has been answered
   */
  answer(response: Response, by: Program | undefined): Response | undefined {
    const key = keyOf(response.to, response.id);
    const via = this.#asked.get(key);
    if (via === undefined) return response;
    if (via === 'answered') return undefined;
    const answer = response.body['path'] === undefined ? ({ ...response, body: bodyWith(response.body, { ...via }) } as Response) : response;
    if (isProvisional(answer)) return answer;
    if (!isSuccess(answer)) {
      const held = this.#hold(key, answer, by);
      if (this.#mayAccept(held)) return undefined;
      this.#settle(key);
      return held.refusal;
    }
    this.#settle(key);
    return answer;
  }

  /** Releases the refusals that waited for a program that has gone. */
  recheck(): void {
    for (const [key, held] of this.#held) if (!this.#mayAccept(held)) this.#release(key, held);
  }

  /** Drops the refusals held back. Idempotent. */
  close(): void {
    for (const { timer } of this.#held.values()) timer.cancel();
    this.#held.clear();
  }

  #hold(key: string, refusal: Response, by: Program | undefined): Held {
    const before = this.#held.get(key);
    const held: Held = before ?? { refusal, by: new Set(), timer: this.#components.clock.setTimeout(() => { this.#release(key, held); }, HOLD_MS) };
    held.by.add(by);
    this.#held.set(key, held);
    return held;
  }

  #mayAccept({ by }: Held): boolean {
    return this.#components.programs().some((program) => program.answers !== false && !by.has(program));
  }

  #release(key: string, { refusal }: Held): void {
    this.#settle(key);
    this.#components.pass(refusal);
  }

  #settle(key: string): void {
    this.#held.get(key)?.timer.cancel();
    this.#held.delete(key);
    // A single program gives no further answer.
    if (this.#components.programs().length > 1) this.#asked.set(key, 'answered');
    else this.#asked.delete(key);
  }
}

const keyOf = (from: Address, id: MessageId): string => `${from} ${String(id)}`;
