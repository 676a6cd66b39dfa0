import { pauseAfter } from '../../kit/backoff.js';
import { asProtoflyError, type Address, type Clock, type RegistryRecord, type Timer } from '../../protocol/index.js';
import type { ConnectionChange } from './connection-list.js';
import type { P2pConnection } from './p2p-connection.js';

export interface ReconnectorComponents {
  readonly clock: Clock;
  readonly random: () => number;
  /** Has the next generation made beside a connection. Resolves when it is live. @throws ProtoflyError */
  readonly renew: (connection: P2pConnection) => Promise<void>;
  /** @throws ProtoflyError when it can't even begin */
  readonly setUp: (record: RegistryRecord) => Promise<void>;
  /** Whether a connection to that runtime is there or being set up. */
  readonly isBusy: (remoteRuntime: Address) => boolean;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

export interface RepairsInit {
  /** The first pause before another attempt, in milliseconds, doubling up to `maxMs`; each is shortened by up to half, by chance. @default 250 */
  readonly firstMs?: number;
  /** @default 30_000 */
  readonly maxMs?: number;
  /** How long after its last message a connection is still wanted. @default 60_000 */
  readonly wantedMs?: number;
}

interface Repair {
  /** A person asked for the connection: it is wanted until he ends it. */
  byHand: boolean;
  /** A connection was lost and is to come back; until when. */
  until: number;
  failures: number;
  /** Until when nothing is tried for the sake of a message. */
  notBefore: number;
  timer: Timer | undefined;
}

/** A connection that lasted so long has not failed, in milliseconds. */
const STEADY_MS = 10_000;
/** How long after it was ended by hand a message doesn't bring a connection back. */
const REST_MS = 1000;
/** How many runtimes are remembered with which nothing is going on. */
const MAX_REMEMBERED = 10_000;

/**
 * Brings back what was lost: a connection that turns suspect is renewed beside itself, one that is gone is set up again,
 * with growing pauses, for as long as it is wanted. Only the side that asked for a connection does so; and neither does
 * when one of the two said goodbye.
 */
export class Reconnector {
  readonly #components: ReconnectorComponents;
  readonly #firstMs: number;
  readonly #maxMs: number;
  readonly #wantedMs: number;
  readonly #repairs = new Map<Address, Repair>();
  #closed = false;

  constructor(components: ReconnectorComponents, init: RepairsInit = {}) {
    this.#components = components;
    this.#firstMs = init.firstMs ?? 250;
    this.#maxMs = init.maxMs ?? 30_000;
    this.#wantedMs = init.wantedMs ?? 60_000;
  }

  /** Whether a set-up may be tried for the sake of a message. */
  mayTry(remoteRuntime: Address): boolean {
    return (this.#repairs.get(remoteRuntime)?.notBefore ?? 0) <= this.#components.clock.now();
  }

  /** A person wants it: from now on until he doesn't. */
  asked(remoteRuntime: Address, suspect: P2pConnection | undefined): void {
    this.#repair(remoteRuntime).byHand = true;
    if (suspect !== undefined) this.#renewSoon(suspect);
  }

  /** A person ends it. */
  ended(remoteRuntime: Address): void {
    this.#repairs.get(remoteRuntime)?.timer?.cancel();
    this.#repairs.delete(remoteRuntime);
    this.#repair(remoteRuntime).notBefore = this.#components.clock.now() + REST_MS;
  }

  /** A message wants to go there while there is no connection. */
  wanted(remoteRuntime: Address): void {
    const repair = this.#repairs.get(remoteRuntime);
    if (repair?.timer !== undefined) repair.until = Math.max(repair.until, this.#components.clock.now() + this.#wantedMs);
  }

  /** The path of a connection is gone for certain: it is renewed without waiting for its silence. */
  hurry(connection: P2pConnection): void {
    if (connection.role !== 'requester' || !this.#isWanted(connection)) return;
    this.#repair(connection.remoteRuntime).timer?.cancel();
    void this.#renew(connection);
  }

  /** Takes note of every change of every connection. */
  changed({ connection, was, now }: ConnectionChange): void {
    const { remoteRuntime } = connection;
    if (now === 'live') {
      if (connection.isSuspect) this.#renewSoon(connection);
      else this.#settled(remoteRuntime);
    } else if (now === 'disconnected' && was === 'live') this.#lost(connection);
    else if (now === 'failed' && connection.role === 'requester') this.#failed(connection);
  }

  /** Idempotent. */
  close(): void {
    this.#closed = true;
    for (const { timer } of this.#repairs.values()) timer?.cancel();
  }

  /** There is a connection that works. */
  #settled(remoteRuntime: Address): void {
    const repair = this.#repairs.get(remoteRuntime);
    if (repair === undefined) return;
    repair.timer?.cancel();
    repair.timer = undefined;
    repair.until = repair.notBefore = 0;
  }

  #lost(connection: P2pConnection): void {
    const { clock } = this.#components;
    const repair = this.#repair(connection.remoteRuntime);
    if (clock.now() - connection.liveSince >= STEADY_MS) repair.failures = 0;
    if (connection.role !== 'requester' || connection.details['orderly'] === true || !this.#isWanted(connection)) return;
    repair.until = repair.byHand ? Infinity : connection.usedAt + this.#wantedMs;
    this.#setUpLater(repair, connection);
  }

  #failed(connection: P2pConnection): void {
    const repair = this.#repair(connection.remoteRuntime);
    if (repair.until > this.#components.clock.now()) this.#setUpLater(repair, connection);
    // One that gave way to the other side's has not failed.
    else if (!connection.hasYielded) repair.notBefore = this.#components.clock.now() + this.#pause(repair);
  }

  #setUpLater(repair: Repair, { record, remoteRuntime }: P2pConnection): void {
    const { clock, setUp, isBusy, log } = this.#components;
    if (record === undefined || this.#closed) return;
    const pause = this.#pause(repair);
    log('info', `P2P to ${remoteRuntime} is set up again in ${String(Math.round(pause))} ms`);
    repair.timer?.cancel();
    repair.notBefore = clock.now() + pause;
    repair.timer = clock.setTimeout(() => {
      repair.timer = undefined;
      if (isBusy(remoteRuntime) || clock.now() > repair.until) return;
      // What becomes of it is told as a change.
      setUp(record).catch((thrown: unknown) => { log('info', `no P2P connection to ${remoteRuntime}: ${asProtoflyError(thrown).message}`); });
    }, pause);
  }

  /** A suspect connection often comes back by itself within a moment. */
  #renewSoon(connection: P2pConnection): void {
    if (this.#closed || connection.role !== 'requester' || !this.#isWanted(connection)) return;
    const repair = this.#repair(connection.remoteRuntime);
    repair.timer?.cancel();
    repair.timer = this.#components.clock.setTimeout(() => {
      repair.timer = undefined;
      if (connection.isSuspect) void this.#renew(connection);
    }, this.#pause(repair));
  }

  async #renew(connection: P2pConnection): Promise<void> {
    try {
      await this.#components.renew(connection);
    } catch (thrown) {
      this.#components.log('info', `no other connection to ${connection.remoteRuntime} yet: ${asProtoflyError(thrown).message}`);
      if (connection.isSuspect) this.#renewSoon(connection);
    }
  }

  #isWanted({ remoteRuntime, usedAt }: P2pConnection): boolean {
    return this.#repairs.get(remoteRuntime)?.byHand === true || this.#components.clock.now() - usedAt < this.#wantedMs;
  }

  #pause(repair: Repair): number {
    repair.failures += 1;
    return pauseAfter(repair.failures, { firstMs: this.#firstMs, maxMs: this.#maxMs, random: this.#components.random });
  }

  #repair(remoteRuntime: Address): Repair {
    let repair = this.#repairs.get(remoteRuntime);
    if (repair === undefined) {
      this.#forgetSome();
      repair = { byHand: false, until: 0, failures: 0, notBefore: 0, timer: undefined };
      this.#repairs.set(remoteRuntime, repair);
    }
    return repair;
  }

  #forgetSome(): void {
    if (this.#repairs.size < MAX_REMEMBERED) return;
    const now = this.#components.clock.now();
    for (const [remoteRuntime, repair] of this.#repairs) if (repair.timer === undefined && !repair.byHand && repair.notBefore <= now) this.#repairs.delete(remoteRuntime);
  }
}
