import { LruMap } from '../../kit/lru-map.js';
import type { Clock, Timer } from '../../protocol/index.js';

/** What is known of the other side of a connection by asking it. Whoever is `asked` counts as good until it has been silent for too long. */
export type Health =
  | { readonly name: 'good' }
  /** `since`: of the first question without any sign since. */
  | { readonly name: 'asked'; readonly since: number; readonly patienceMs: number }
  | { readonly name: 'suspect'; readonly since: number }
  | { readonly name: 'dead'; readonly since: number };

export type HealthEvent =
  /** Anything came. */
  | { readonly kind: 'heard' }
  | { readonly kind: 'asked'; readonly at: number }
  /** Asked, and an answer is wanted sooner than usual. */
  | { readonly kind: 'probed'; readonly at: number; readonly patienceMs: number }
  | { readonly kind: 'time'; readonly at: number }
  /** This side stood still for so long: that says nothing of the other. */
  | { readonly kind: 'stood-still'; readonly forMs: number };

export interface HealthLimits {
  /** How long a side that is asked may be silent, in milliseconds. */
  readonly suspectMs: number;
  /** After how long it is given up. */
  readonly deadMs: number;
}

/** The state after an event; the same one where it changes nothing. */
export const nextHealth = (now: Health, event: HealthEvent, { suspectMs, deadMs }: HealthLimits): Health => {
  if (now.name === 'dead') return now;
  switch (event.kind) {
    case 'heard':
      return now.name === 'good' ? now : { name: 'good' };
    case 'asked':
      return now.name === 'good' ? { name: 'asked', since: event.at, patienceMs: suspectMs } : now;
    case 'probed': {
      if (now.name === 'suspect') return now;
      const since = now.name === 'asked' ? now.since : event.at;
      const before = now.name === 'asked' ? now.patienceMs : suspectMs;
      return { name: 'asked', since, patienceMs: Math.min(before, event.at - since + event.patienceMs) };
    }
    case 'time':
      if (now.name === 'asked' && event.at - now.since >= now.patienceMs) return { name: 'suspect', since: now.since };
      if (now.name === 'suspect' && event.at - now.since >= deadMs) return { name: 'dead', since: now.since };
      return now;
    case 'stood-still':
      return now.name === 'good' ? now : { ...now, since: now.since + event.forMs };
  }
};

/** What is told of a live connection. */
export interface HealthReport {
  readonly health: 'good' | 'suspect';
  readonly reason?: string;
  /** Of the last round trip. */
  readonly rttMs?: number;
}

export interface HealthMonitorInit extends Partial<HealthLimits> {
  /** How long nothing may come before the other side is asked, in milliseconds. @default 500 */
  readonly pingMs?: number;
  /** The same while no messages flow. @default 5000 */
  readonly idlePingMs?: number;
  /** After how long without messages that is. @default 60_000 */
  readonly idleAfterMs?: number;
}

export interface HealthMonitorComponents {
  readonly clock: Clock;
  /** Asks the other side; the answer comes as `answered`. */
  readonly ask: (nonce: number) => void;
  /** Called every now and then, at least every `pingMs` while messages flow. */
  readonly onTick: () => void;
  readonly onReport: (report: HealthReport) => void;
  /** Once: it was silent for too long. */
  readonly onDead: (reason: string) => void;
}

/** While it is suspect the other side is asked this often; 16 questions at once are more than a peer puts up with. */
const SUSPECT_PING_MS = 1000;
/** How much later than it was due a timer may run without this side counting as having stood still. */
const LATE_MS = 50;
/** A busy connection is asked this often, for the length of the round trip. */
const MEASURE_MS = 10_000;
/** Round trips are told of when they have changed by half, and not more often than this. */
const TELL_MS = 5000;
const MAX_QUESTIONS = 16;

const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`;

/** Asks the other side when nothing comes from it, and says how it is. */
export class HealthMonitor {
  readonly #components: HealthMonitorComponents;
  readonly #limits: HealthLimits;
  readonly #pingMs: number;
  readonly #idlePingMs: number;
  readonly #idleAfterMs: number;
  readonly #questions = new LruMap<number, number>(MAX_QUESTIONS);
  #health: Health = { name: 'good' };
  #nonce = 0;
  #heardAt: number;
  #usedAt: number;
  #measuredAt = -Infinity;
  #rttMs: number | undefined;
  #told: { readonly rttMs: number; readonly at: number } | undefined;
  #timer: Timer | undefined;
  #due = 0;
  #stopped = false;

  constructor(components: HealthMonitorComponents, init: HealthMonitorInit = {}) {
    this.#components = components;
    this.#limits = { suspectMs: init.suspectMs ?? 2000, deadMs: init.deadMs ?? 10_000 };
    this.#pingMs = init.pingMs ?? 500;
    this.#idlePingMs = init.idlePingMs ?? 5000;
    this.#idleAfterMs = init.idleAfterMs ?? 60_000;
    this.#heardAt = this.#usedAt = components.clock.now();
    this.#arm();
  }

  get health(): Health['name'] {
    return this.#health.name;
  }

  heard(): void {
    this.#heardAt = this.#components.clock.now();
    if (this.#health.name !== 'good') this.#step({ kind: 'heard' });
  }

  /** A message is carried, either way: a path that was left alone for long is asked at once whether it still leads anywhere. */
  used(): void {
    const now = this.#components.clock.now();
    const wasIdle = this.#isIdle(now);
    this.#usedAt = now;
    if (!wasIdle || this.#stopped) return;
    if (now - this.#heardAt >= this.#pingMs) this.#ask();
    this.#arm();
  }

  answered(nonce: number): void {
    const asked = this.#questions.get(nonce);
    if (asked === undefined) return;
    // What was asked before it needs no answer any more.
    for (const earlier of [...this.#questions.keys()]) if (earlier <= nonce) this.#questions.delete(earlier);
    const now = this.#components.clock.now();
    this.#measuredAt = now;
    this.#rttMs = Math.max(0, now - asked);
    const { rttMs = -Infinity, at = -Infinity } = this.#told ?? {};
    const change = Math.abs(this.#rttMs - rttMs);
    if (change > 1 && change > rttMs / 2 && now - at >= TELL_MS) this.#report();
  }

  /** Asks at once: there is reason to doubt. Silent for `patienceMs` is suspect. */
  probe(patienceMs: number): void {
    if (this.#stopped) return;
    this.#step({ kind: 'probed', at: this.#components.clock.now(), patienceMs });
    this.#ask();
    this.#arm();
  }

  /** Idempotent. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #ask(): void {
    const now = this.#components.clock.now();
    this.#nonce = (this.#nonce + 1) >>> 0;
    this.#questions.set(this.#nonce, now);
    this.#step({ kind: 'asked', at: now });
    this.#components.ask(this.#nonce);
  }

  #arm(): void {
    this.#timer?.cancel();
    if (this.#stopped) return;
    const now = this.#components.clock.now();
    const wait = Math.max(1, this.#pause(now));
    this.#due = now + wait;
    this.#timer = this.#components.clock.setTimeout(() => { this.#tick(); }, wait);
  }

  #pause(now: number): number {
    switch (this.#health.name) {
      case 'suspect': return SUSPECT_PING_MS;
      case 'asked': return Math.min(this.#pingMs, this.#health.since + this.#health.patienceMs - now);
      default: return this.#isIdle(now) ? this.#idlePingMs : this.#pingMs;
    }
  }

  #isIdle(now: number): boolean {
    return now - this.#usedAt >= this.#idleAfterMs;
  }

  #tick(): void {
    const now = this.#components.clock.now();
    const late = now - this.#due;
    // Late, or the clock was set: none of that is the other side's silence.
    if (Math.abs(late) > LATE_MS) this.#step({ kind: 'stood-still', forMs: late });
    this.#step({ kind: 'time', at: now });
    if (this.#stopped) return;
    this.#components.onTick();
    const rest = this.#health.name === 'good' && this.#isIdle(now) ? this.#idlePingMs : this.#pingMs;
    if (now - this.#heardAt >= rest * 0.9 || now - this.#measuredAt >= MEASURE_MS) this.#ask();
    this.#arm();
  }

  #step(event: HealthEvent): void {
    const was = this.#health;
    const now = nextHealth(was, event, this.#limits);
    this.#health = now;
    if (was.name === now.name) return;
    if (now.name === 'suspect') this.#report(`silent for ${seconds(this.#components.clock.now() - now.since)}`);
    else if (now.name === 'good' && was.name === 'suspect') this.#report(`heard again after ${seconds(this.#components.clock.now() - was.since)}`);
    else if (now.name === 'dead') {
      this.stop();
      this.#components.onDead(`the other side was silent for ${seconds(this.#components.clock.now() - now.since)}`);
    }
  }

  #report(reason?: string): void {
    const rttMs = this.#rttMs;
    if (rttMs !== undefined) this.#told = { rttMs, at: this.#components.clock.now() };
    this.#components.onReport({
      health: this.#health.name === 'suspect' ? 'suspect' : 'good',
      ...(reason === undefined ? {} : { reason }),
      ...(rttMs === undefined ? {} : { rttMs }),
    });
  }
}
