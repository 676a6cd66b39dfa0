import type { Clock, Timer } from '../../protocol/index.js';

export interface SilenceComponents {
  readonly clock: Clock;
  /** Sends the message node a ping. */
  readonly ask: () => void;
  /** Called when the node doesn't answer: the connection can't be used any more. */
  readonly onSilent: (why: string) => void;
}

type State =
  /** No answer is expected. */
  | { readonly name: 'calm' }
  | { readonly name: 'waiting'; readonly since: number }
  /** `final`: silence ends the connection, even if the node has never answered a ping. */
  | { readonly name: 'asked'; readonly since: number; readonly patienceMs: number; readonly final: boolean };

/** Time without an answer, after a message that wants one, before a ping is sent, in milliseconds. */
const WAIT_MS = 3000;
/** Time for the node to answer the ping, in milliseconds. */
const ANSWER_MS = 2000;
/** Interval between checks while an answer is expected, in milliseconds. */
const TICK_MS = 500;
/** A timer delayed by more than this means that this process itself was suspended, in milliseconds. */
const LATE_MS = 50;
/** Time after a send in which an answer may still be pending, in milliseconds. */
const RECENT_MS = 10_000;
/**
 * After a recent drop for silence, the node gets more time, up to `MOST_PATIENT` times as much. A node under
 * backpressure doesn't read pings either.
 */
const LATELY_MS = 60_000;
const MOST_PATIENT = 8;
/** Number of trial pings. Not every message node answers pings; until one is answered, silence proves nothing. */
const TRIALS = 3;

/**
 * Detects that a message node has stopped answering. Watches only while an answer is expected and neither side
 * is under backpressure. One instance serves all connections of a session.
 */
export class Silence {
  readonly #components: SilenceComponents;
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

  constructor(components: SilenceComponents) {
    this.#components = components;
  }

  /** Records that a message that wants an answer was sent. */
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

  /** Records that the node has answered a ping. */
  answered(): void {
    this.#answers = true;
    this.heard();
  }

  /** Suspends the watch until the promise settles: under backpressure, silence proves nothing. */
  heldUp(backpressure: Promise<void>): void {
    this.#heldUp += 1;
    void backpressure.then(() => {
      this.#heldUp -= 1;
      this.heard();
    });
  }

  /** Sends a ping at once, because there is reason to doubt the connection. */
  probe(patienceMs: number): void {
    const now = this.#components.clock.now();
    this.#state = { name: 'asked', since: now, patienceMs, final: true };
    this.#components.ask();
    this.#arm(now, Math.min(TICK_MS, patienceMs));
  }

  /** Stops watching, because the connection has ended. */
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
        // The node never answers pings, so its silence proves nothing.
        this.#state = { name: 'calm' };
        return;
      }
      if (isTrial ? now - this.#triedAt >= ANSWER_MS : now - since >= WAIT_MS * this.#patience) {
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
    this.#state = { name: 'asked', since: now, patienceMs: ANSWER_MS * this.#patience, final: false };
    this.#components.ask();
  }

  #drop(now: number): void {
    this.#patience = now - this.#droppedAt < LATELY_MS * this.#patience ? Math.min(this.#patience * 2, MOST_PATIENT) : 1;
    this.#droppedAt = now;
    this.stop();
    this.#components.onSilent('the message node gave no sign of life');
  }
}
