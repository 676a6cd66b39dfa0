import { LruMap } from '../../kit/lru-map.js';
import type { Clock, Timer } from '../../protocol/index.js';

/** The health of a connection, judged by the other side's answers. `asked` counts as good until the silence lasts too long. */
export type Health =
  | { readonly name: 'good' }
  /** `since`: time of the first ping after the last sign of life. */
  | { readonly name: 'asked'; readonly since: number; readonly patienceMs: number }
  | { readonly name: 'suspect'; readonly since: number }
  | { readonly name: 'dead'; readonly since: number };

export type HealthEvent =
  /** Bytes of any kind came in. */
  | { readonly kind: 'heard' }
  | { readonly kind: 'asked'; readonly at: number }
  /** Asked, with a shorter patience than usual. */
  | { readonly kind: 'probed'; readonly at: number; readonly patienceMs: number }
  | { readonly kind: 'time'; readonly at: number }
  /** This side was suspended for that time, which says nothing about the other. */
  | { readonly kind: 'stood-still'; readonly forMs: number };

export interface HealthLimits {
  /** Maximum silence after a ping before the other side is suspect, in milliseconds. */
  readonly suspectMs: number;
  /** Silence after which the other side counts as dead, in milliseconds. */
  readonly deadMs: number;
}

/** Returns the state after an event; the same object if nothing changes. */
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

/** The reported health of a live connection. */
export interface HealthReport {
  readonly health: 'good' | 'suspect';
  readonly reason?: string;
  /** Duration of the last round trip. */
  readonly rttMs?: number;
}

export interface HealthMonitorComponents {
  readonly clock: Clock;
  /** Sends a ping; the answer comes as `answered`. */
  readonly ask: (nonce: number) => void;
  /** Called at intervals, at least every `PING_MS` while messages flow. */
  readonly onTick: () => void;
  readonly onReport: (report: HealthReport) => void;
  /** Called once, when the other side was silent for too long. */
  readonly onDead: (reason: string) => void;
}

const LIMITS: HealthLimits = { suspectMs: 2000, deadMs: 10_000 };
/** Time without incoming frames before a ping, in milliseconds. */
const PING_MS = 500;
/** The same for an idle connection. */
const IDLE_PING_MS = 5000;
/** Time without messages after which a connection is idle, in milliseconds. */
const IDLE_AFTER_MS = 60_000;
/** Ping interval while the other side is suspect, in milliseconds. A peer tolerates at most 16 pings at once. */
const SUSPECT_PING_MS = 1000;
/** Maximum delay of a timer before this side counts as suspended, in milliseconds. */
const LATE_MS = 50;
/** Ping interval on a busy connection, to measure the round trip, in milliseconds. */
const MEASURE_MS = 10_000;
/** Minimum interval between reports of the round trip, in milliseconds. Only changes by more than half are reported. */
const TELL_MS = 5000;
const MAX_QUESTIONS = 16;

const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(1)} s`;

/** Pings the other side when nothing comes from it, and reports its health. */
export class HealthMonitor {
  readonly #components: HealthMonitorComponents;
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

  constructor(components: HealthMonitorComponents) {
    this.#components = components;
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

  /** Records that a message was sent or received. After an idle time, pings at once to check the connection. */
  used(): void {
    const now = this.#components.clock.now();
    const wasIdle = this.#isIdle(now);
    this.#usedAt = now;
    if (!wasIdle || this.#stopped) return;
    if (now - this.#heardAt >= PING_MS) this.#ask();
    this.#arm();
  }

  answered(nonce: number): void {
    const asked = this.#questions.get(nonce);
    if (asked === undefined) return;
    // Earlier pings need no answer any more.
    for (const earlier of [...this.#questions.keys()]) if (earlier <= nonce) this.#questions.delete(earlier);
    const now = this.#components.clock.now();
    this.#measuredAt = now;
    this.#rttMs = Math.max(0, now - asked);
    const { rttMs = -Infinity, at = -Infinity } = this.#told ?? {};
    const change = Math.abs(this.#rttMs - rttMs);
    if (change > 1 && change > rttMs / 2 && now - at >= TELL_MS) this.#report();
  }

  /** Pings at once, because there is reason to doubt. After `patienceMs` of silence the other side is suspect. */
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
      case 'asked': return Math.min(PING_MS, this.#health.since + this.#health.patienceMs - now);
      default: return this.#isIdle(now) ? IDLE_PING_MS : PING_MS;
    }
  }

  #isIdle(now: number): boolean {
    return now - this.#usedAt >= IDLE_AFTER_MS;
  }

  #tick(): void {
    const now = this.#components.clock.now();
    const late = now - this.#due;
    // A late timer, or a clock that was set, isn't the other side's silence.
    if (Math.abs(late) > LATE_MS) this.#step({ kind: 'stood-still', forMs: late });
    this.#step({ kind: 'time', at: now });
    if (this.#stopped) return;
    this.#components.onTick();
    const rest = this.#health.name === 'good' && this.#isIdle(now) ? IDLE_PING_MS : PING_MS;
    if (now - this.#heardAt >= rest * 0.9 || now - this.#measuredAt >= MEASURE_MS) this.#ask();
    this.#arm();
  }

  #step(event: HealthEvent): void {
    const was = this.#health;
    const now = nextHealth(was, event, LIMITS);
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
