import type { Link } from '../../link/index.js';
import { countOf, isWithin, type Address, type Clock, type Message, type Backpressure } from '../../protocol/index.js';

export interface RateLimiterInit {
  /** The stub's own address. */
  readonly url: Address;
  /** Messages per second from the stub itself: status, requests, ports that it opens. @default 500 */
  readonly perSecond?: number;
  /** Maximum number of such messages at once. @default 2000 */
  readonly burst?: number;
  /** Time for which a stub may exceed the rate, in milliseconds. @default 10_000 */
  readonly patienceMs?: number;
  /** Maximum number of violations within `faultMs`. @default 100 */
  readonly maxFaults?: number;
  /** In milliseconds. @default 10_000 */
  readonly faultMs?: number;
  /** Maximum number of messages of one stub per turn of the event loop. @default 128 */
  readonly perTurn?: number;
}

/**
 * Limits what a runtime takes from one stub. The stub's own messages are slowed down to a rate. A stub that
 * keeps exceeding the rate is stopped. Messages that it carries for others are limited only by the link's flow
 * control, and per turn. `onBreach` is called once, when the stub must be stopped.
 */
export class RateLimiter {
  readonly #clock: Clock;
  readonly #onBreach: (reason: string) => void;
  readonly #init: Required<RateLimiterInit>;
  #tokens: number;
  #refilled: number;
  /** Time since which the burst allowance has been used up. */
  #dry: number | undefined;
  #held: Promise<void> | undefined;
  #faults: number[] = [];
  #breached = false;
  #taken = 0;
  #turn: Promise<void> | undefined;

  constructor({ clock, onBreach }: { readonly clock: Clock; readonly onBreach: (reason: string) => void }, init: RateLimiterInit) {
    this.#clock = clock;
    this.#onBreach = onBreach;
    this.#init = { perSecond: 500, burst: 2000, patienceMs: 10_000, maxFaults: 100, faultMs: 10_000, perTurn: 128, ...init };
    this.#tokens = this.#init.burst;
    this.#refilled = clock.now();
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

  misbehaved(reason: string): void {
    const now = this.#clock.now();
    this.#faults = [...this.#faults.filter((when) => now - when < this.#init.faultMs), now];
    if (this.#faults.length > this.#init.maxFaults) this.#breach(reason);
  }

  #backpressure(message: Message, receiver: (message: Message) => Backpressure): Backpressure {
    const own = isWithin(message.from, this.#init.url) && !this.#spend() ? this.#hold() : undefined;
    const turn = this.#takeTurn(countOf(message));
    const given = receiver(message);
    if (own === undefined && turn === undefined) return given;
    return Promise.all([given, own, turn]).then(() => undefined);
  }

  #spend(): boolean {
    const { perSecond, burst, patienceMs } = this.#init;
    const now = this.#clock.now();
    this.#tokens = Math.min(burst, this.#tokens + (Math.max(0, now - this.#refilled) / 1000) * perSecond);
    this.#refilled = now;
    if (this.#tokens > perSecond / 2) this.#dry = undefined;
    if (this.#tokens >= 1) {
      this.#tokens -= 1;
      return true;
    }
    this.#dry ??= now;
    if (now - this.#dry > patienceMs) this.#breach('floods the bus');
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
    return this.#taken >= this.#init.perTurn ? this.#turn : undefined;
  }

  #breach(reason: string): void {
    if (this.#breached) return;
    this.#breached = true;
    this.#onBreach(reason);
  }
}
