import { pauseAfter } from '../../kit/backoff.js';
import { asProtoflyError, type Address, type Clock, type RegistryRecord, type Timer } from '../../protocol/index.js';
import type { ConnectionChange } from './connection-list.js';
import type { P2pConnection } from './p2p-connection.js';

export interface ReconnectorComponents {
  readonly clock: Clock;
  readonly random: () => number;
  /** Sets up the next generation beside a connection. Resolves when it is live. @throws ProtoflyError */
  readonly renew: (connection: P2pConnection) => Promise<void>;
  /** Begins a set-up. @throws ProtoflyError when it can't begin */
  readonly setUp: (record: RegistryRecord) => Promise<void>;
  /** True if a connection to that runtime exists or is being set up. */
  readonly isBusy: (remoteRuntime: Address) => boolean;
  readonly log: (level: 'debug' | 'info' | 'warn', text: string) => void;
}

interface Repair {
  /** True if a person asked for the connection. It stays wanted until a person ends it. */
  byHand: boolean;
  /** End of the attempts to replace a lost connection, in steady time. */
  until: number;
  failures: number;
  /** Earliest time of the next set-up for a message, in steady time. */
  notBefore: number;
  timer: Timer | undefined;
}

/**
 * Pauses between attempts, in milliseconds. They double from the first to the longest. Each is randomly shortened by up
 * to half.
 */
const BACKOFF = { firstMs: 250, maxMs: 30_000 } as const;
/** Time after its last message during which a connection is still wanted, in milliseconds. */
const WANTED_MS = 60_000;
/** Minimum duration of a connection that resets the pauses, in milliseconds. */
const STEADY_MS = 10_000;
/** Time after a person ended a connection before a message may set it up again, in milliseconds. */
const REST_MS = 1000;
/** Maximum number of remembered runtimes without activity. */
const MAX_REMEMBERED = 10_000;

/**
 * Restores connections. A suspect connection is renewed beside the old one. A lost one is set up again, with growing
 * pauses, while it is wanted. Only the side that requested a connection does so, and only if neither side ended it in
 * order.
 */
export class Reconnector {
  readonly #components: ReconnectorComponents;
  readonly #repairs = new Map<Address, Repair>();
  #closed = false;

  constructor(components: ReconnectorComponents) {
    this.#components = components;
  }

  /** True if a set-up for a message may be tried now. */
  mayTry(remoteRuntime: Address): boolean {
    return (this.#repairs.get(remoteRuntime)?.notBefore ?? 0) <= this.#components.clock.now();
  }

  /** Notes that a person wants a connection, and renews a suspect one. */
  asked(remoteRuntime: Address, suspect: P2pConnection | undefined): void {
    this.#repair(remoteRuntime).byHand = true;
    if (suspect !== undefined) this.#renewSoon(suspect);
  }

  /** Notes that a person has ended the connection. */
  ended(remoteRuntime: Address): void {
    this.#repairs.get(remoteRuntime)?.timer?.cancel();
    this.#repairs.delete(remoteRuntime);
    this.#repair(remoteRuntime).notBefore = this.#components.clock.now() + REST_MS;
  }

  /** Notes that a message needs a connection that is gone, and prolongs the attempts. */
  wanted(remoteRuntime: Address): void {
    const repair = this.#repairs.get(remoteRuntime);
    if (repair?.timer !== undefined) repair.until = Math.max(repair.until, this.#components.clock.now() + WANTED_MS);
  }

  /** Renews a connection at once, because its network path is certainly gone. */
  hurry(connection: P2pConnection): void {
    if (connection.role !== 'requester' || !this.#isWanted(connection)) return;
    this.#repair(connection.remoteRuntime).timer?.cancel();
    void this.#renew(connection);
  }

  /** Handles every change of every connection. */
  changed({ connection, was, now }: ConnectionChange): void {
    const { remoteRuntime } = connection;
    if (now === 'live') {
      if (connection.isSuspect) this.#renewSoon(connection);
      else this.#settled(remoteRuntime);
    } else if (now === 'disconnected' && was === 'live') this.#lost(connection);
    else if (now === 'failed' && connection.role === 'requester') this.#failed(connection);
  }

  /** Cancels all attempts. Idempotent. */
  close(): void {
    this.#closed = true;
    for (const { timer } of this.#repairs.values()) timer?.cancel();
  }

  /** Ends the attempts, because a connection works. */
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
    repair.until = repair.byHand ? Infinity : connection.usedAt + WANTED_MS;
    this.#setUpLater(repair, connection);
  }

  #failed(connection: P2pConnection): void {
    const repair = this.#repair(connection.remoteRuntime);
    if (repair.until > this.#components.clock.now()) this.#setUpLater(repair, connection);
    // Giving way to the other side's set-up is no failure.
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
      // The result arrives as a change.
      setUp(record).catch((thrown: unknown) => { log('info', `no P2P connection to ${remoteRuntime}: ${asProtoflyError(thrown).message}`); });
    }, pause);
  }

  /** Renews a suspect connection after a pause, because it often recovers by itself. */
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
    return this.#repairs.get(remoteRuntime)?.byHand === true || this.#components.clock.now() - usedAt < WANTED_MS;
  }

  #pause(repair: Repair): number {
    repair.failures += 1;
    return pauseAfter(repair.failures, { ...BACKOFF, random: this.#components.random });
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
