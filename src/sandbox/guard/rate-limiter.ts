import { TokenBucket } from '../../kit/token-bucket.js';
import type { Link } from '../../link/index.js';
import { countOf, isWithin, type Address, type Clock, type Message, type Backpressure } from '../../protocol/index.js';

export interface RateLimiterInit {
  /** The stub's own address. */
  readonly url: Address;
  /** Time for which a stub may exceed the rate, in milliseconds. @default 10_000 */
  readonly patienceMs?: number;
}

/** Messages per second from the stub itself: status, requests, ports that it opens. */
const PER_SECOND = 500;
/** Maximum number of such messages at once. */
const BURST = 2000;
/** Maximum number of violations within `FAULT_MS`. */
const MAX_FAULTS = 100;
/** Time for which a violation counts, in milliseconds. */
const FAULT_MS = 10_000;
/** Maximum number of messages of one stub per turn of the event loop. */
const PER_TURN = 128;
/** `dry`: the burst allowance has been used up since then. `breached`: the stub must be stopped. */
type Conduct = { readonly at: 'within' } | { readonly at: 'dry'; readonly since: number } | { readonly at: 'breached' };

/**
 * Limits what a runtime takes from one stub. The stub's own messages are slowed down to a rate. A stub that
 * keeps exceeding the rate is stopped. Messages that it carries for others are limited only by the link's flow
 * control, and per turn. `onBreach` is called once, when the stub must be stopped.
 */
export class RateLimiter {
  readonly #clock: Clock;
  readonly #onBreach: (reason: string) => void;
  readonly #init: Required<RateLimiterInit>;
  readonly #bucket: TokenBucket;
  #conduct: Conduct = { at: 'within' };
  #held: Promise<void> | undefined;
  #faults: number[] = [];
  #taken = 0;
  #turn: Promise<void> | undefined;

  constructor({ clock, onBreach }: { readonly clock: Clock; readonly onBreach: (reason: string) => void }, init: RateLimiterInit) {
    this.#clock = clock;
    this.#onBreach = onBreach;
    this.#init = { patienceMs: 10_000, ...init };
    this.#bucket = new TokenBucket({ clock }, { perSecond: PER_SECOND, burst: BURST });
  }

  /** Wraps the link with the rate limiter. */
  watch(link: Link<Message>): Link<Message> {
    return {
      name: link.name,
      closed: link.closed,
      stats: link.stats,
      send: (message) => link.send(message),
      close: (reason) => link.close(reason),
      receive: (receiver) => { link.receive((message) => this.#backpressure(message, receiver)); },
    };
  }

  /** Returns true if the stub may open another port now. */
  port(): boolean {
    if (this.#spend()) return true;
    this.misbehaved('opens too many ports');
    return false;
  }

  /** Counts violations. @param count their number */
  misbehaved(reason: string, count = 1): void {
    const now = this.#clock.now();
    this.#faults = [...this.#faults.filter((when) => now - when < FAULT_MS), ...Array.from({ length: Math.min(count, MAX_FAULTS + 1) }, () => now)];
    if (this.#faults.length > MAX_FAULTS) this.#breach(reason);
  }

  #backpressure(message: Message, receiver: (message: Message) => Backpressure): Backpressure {
    const own = isWithin(message.from, this.#init.url) && !this.#spend() ? this.#hold() : undefined;
    const turn = this.#takeTurn(countOf(message));
    const given = receiver(message);
    if (own === undefined && turn === undefined) return given;
    return Promise.all([given, own, turn]).then(() => undefined);
  }

  #spend(): boolean {
    const { patienceMs } = this.#init;
    const { level } = this.#bucket;
    if (level > PER_SECOND / 2 && this.#conduct.at === 'dry') this.#conduct = { at: 'within' };
    if (level >= 1) {
      this.#bucket.take(1);
      return true;
    }
    const now = this.#clock.now();
    if (this.#conduct.at === 'within') this.#conduct = { at: 'dry', since: now };
    if (this.#conduct.at === 'dry' && now - this.#conduct.since > patienceMs) this.#breach('floods the bus');
    return false;
  }

  /** Pending until tokens may be available again. Messages in flight are still taken. */
  #hold(): Promise<void> {
    this.#held ??= new Promise((resolve) => {
      this.#clock.setTimeout(() => {
        this.#held = undefined;
        resolve();
      }, 100);
    });
    return this.#held;
  }

  #takeTurn(messages: number): Backpressure {
    this.#taken += messages;
    this.#turn ??= new Promise((resolve) => {
      setImmediate(() => {
        this.#turn = undefined;
        this.#taken = 0;
        resolve();
      });
    });
    return this.#taken >= PER_TURN ? this.#turn : undefined;
  }

  #breach(reason: string): void {
    if (this.#conduct.at === 'breached') return;
    this.#conduct = { at: 'breached' };
    this.#onBreach(reason);
  }
}
