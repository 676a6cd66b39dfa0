import type { Clock, Timer } from '../../protocol/index.js';

export interface SilenceComponents {
  readonly clock: Clock;
  /** Asks the message node whether it is there. */
  readonly ask: () => void;
  /** It is not: the connection is of no use any more. */
  readonly onSilent: (why: string) => void;
}

export interface SilenceInit {
  /** How long nothing may come after something was sent that wants an answer, before the node is asked, in milliseconds. @default 3000 */
  readonly waitMs?: number;
  /** How long its answer may take then. @default 2000 */
  readonly answerMs?: number;
}

type State =
  /** Nothing is wanted of the node. */
  | { readonly name: 'calm' }
  | { readonly name: 'waiting'; readonly since: number }
  /** `final`: no answer is an answer, even of a node that has never given one. */
  | { readonly name: 'asked'; readonly since: number; readonly patienceMs: number; readonly final: boolean };

/** How often time is looked at while something is awaited. */
const TICK_MS = 500;
/** A timer that is so much later than it was due says that this process itself stood still. */
const LATE_MS = 50;
/** How long after something was sent an answer may still be outstanding. */
const RECENT_MS = 10_000;
/** Who was dropped for silence lately is given more time, up to so many times as much: a node that holds a sender up doesn't read its questions either. */
const LATELY_MS = 60_000;
const MOST_PATIENT = 8;
/** Not every message node answers pings: it is tried so often whether this one does. Until then its silence proves nothing. */
const TRIALS = 3;

/**
 * Whether a message node still answers: watched only while there is something to answer, and while neither side is held up.
 * It goes from one connection of a session to the next.
 */
export class Silence {
  readonly #components: SilenceComponents;
  readonly #waitMs: number;
  readonly #answerMs: number;
  #state: State = { name: 'calm' };
  #timer: Timer | undefined;
  #due = 0;
  #sentAt = -Infinity;
  #heldUp = 0;
  #patience = 1;
  #droppedAt = -Infinity;
  #answers = false;
  #trials = 0;
  #triedAt = -Infinity;

  constructor(components: SilenceComponents, init: SilenceInit = {}) {
    this.#components = components;
    this.#waitMs = init.waitMs ?? 3000;
    this.#answerMs = init.answerMs ?? 2000;
  }

  /** Something was sent that wants an answer. */
  sent(): void {
    const now = this.#components.clock.now();
    this.#sentAt = now;
    if (this.#state.name !== 'calm') return;
    this.#state = { name: 'waiting', since: now };
    this.#arm(now);
  }

  heard(): void {
    if (this.#state.name === 'calm') return;
    const now = this.#components.clock.now();
    this.#state = now - this.#sentAt < RECENT_MS ? { name: 'waiting', since: now } : { name: 'calm' };
  }

  /** It has answered what it was asked. */
  answered(): void {
    this.#answers = true;
    this.heard();
  }

  /** Until the promise settles one of the sides is congested: silence says nothing. */
  heldUp(backpressure: Promise<void>): void {
    this.#heldUp += 1;
    void backpressure.then(() => {
      this.#heldUp -= 1;
      this.heard();
    });
  }

  /** There is reason to doubt: asks at once. */
  probe(patienceMs: number): void {
    const now = this.#components.clock.now();
    this.#state = { name: 'asked', since: now, patienceMs, final: true };
    this.#components.ask();
    this.#arm(now, Math.min(TICK_MS, patienceMs));
  }

  /** The connection has ended. */
  stop(): void {
    this.#timer?.cancel();
    this.#state = { name: 'calm' };
  }

  #arm(now: number, milliseconds = TICK_MS): void {
    this.#timer?.cancel();
    this.#due = now + milliseconds;
    this.#timer = this.#components.clock.setTimeout(() => { this.#tick(); }, milliseconds);
  }

  #tick(): void {
    const state = this.#state;
    if (state.name === 'calm') return;
    const now = this.#components.clock.now();
    const late = now - this.#due;
    const since = this.#heldUp > 0 ? now : state.since + (Math.abs(late) > LATE_MS ? late : 0);
    this.#state = { ...state, since };
    if (state.name === 'waiting') {
      const isTrial = !this.#answers;
      if (isTrial && this.#trials >= TRIALS) {
        // Its silence will never say anything.
        this.#state = { name: 'calm' };
        return;
      }
      if (isTrial ? now - this.#triedAt >= this.#answerMs : now - since >= this.#waitMs * this.#patience) {
        if (isTrial) this.#triedAt = now;
        this.#trials += 1;
        this.#ask(now);
      }
    } else if (now - since >= state.patienceMs) {
      if (state.final || this.#answers) {
        this.#drop(now);
        return;
      }
      this.#state = { name: 'waiting', since: now };
    }
    this.#arm(now);
  }

  #ask(now: number): void {
    this.#state = { name: 'asked', since: now, patienceMs: this.#answerMs * this.#patience, final: false };
    this.#components.ask();
  }

  #drop(now: number): void {
    this.#patience = now - this.#droppedAt < LATELY_MS * this.#patience ? Math.min(this.#patience * 2, MOST_PATIENT) : 1;
    this.#droppedAt = now;
    this.stop();
    this.#components.onSilent('the message node gave no sign of life');
  }
}
