import { SHARE_PER_ADDRESS } from '../share.js';

/** The limits of a message node. Requests beyond them are refused with 429. Sizes are in bytes. */
export interface NodeLimits {
  /** Maximum number of sessions, including those whose runtime is away. @default 20_000 */
  readonly sessions: number;
  /** The part of all sessions, addresses and mail that one remote address may have, from 0 to 1. @default SHARE_PER_ADDRESS */
  readonly sharePerAddress: number;
  /** Maximum number of connections, including those without a session. @default 25_000 */
  readonly connections: number;
  /** @default 10_000 */
  readonly allocationsPerSession: number;
  /** @default 500_000 */
  readonly allocations: number;
  /** @default 10_000 */
  readonly subscriptionsPerSession: number;
  /** @default 500_000 */
  readonly subscriptions: number;
  /** Maximum number of addresses in one `create`. @default 1000 */
  readonly allocationsPerRequest: number;
  /** Maximum number of messages queued for a runtime that is away. @default 1000 */
  readonly waitingPerSession: number;
  /** The same in bytes. Large enough for one message of the largest size. @default 16 MiB + 64 KiB */
  readonly waitingBytesPerSession: number;
  /** The same for all sessions of this process, in bytes. @default 128 MiB */
  readonly waitingBytes: number;
  /**
   * Number of requests in progress to functions of the domain, per connection, from which reading pauses.
   * @default 64
   */
  readonly workPerConnection: number;
  /** Maximum size of a frame of a connection without a session. @default 16 KiB */
  readonly strangerBytes: number;
  /** Bytes per second that are read from one connection. Beyond that, reading pauses. @default 128 MiB */
  readonly bytesPerSecond: number;
  /** Maximum size of one message times the number of its receivers. @default 64 MiB */
  readonly copiedBytes: number;
  /** Time for a new connection to open a session, in milliseconds. @default 10_000 */
  readonly openMs: number;
  /** Time for which a receiver may cause backpressure without taking anything, in milliseconds. @default 5000 */
  readonly stallMs: number;
  /** Time after which a session without its runtime ends, in milliseconds. @default 60_000 */
  readonly sessionTtlMs: number;
}

export const NODE_LIMITS: NodeLimits = {
  sessions: 20_000,
  sharePerAddress: SHARE_PER_ADDRESS,
  connections: 25_000,
  allocationsPerSession: 10_000,
  allocations: 500_000,
  subscriptionsPerSession: 10_000,
  subscriptions: 500_000,
  allocationsPerRequest: 1000,
  waitingPerSession: 1000,
  waitingBytesPerSession: 16 * 1024 * 1024 + 64 * 1024,
  waitingBytes: 128 * 1024 * 1024,
  workPerConnection: 64,
  strangerBytes: 16 * 1024,
  bytesPerSecond: 128 * 1024 * 1024,
  copiedBytes: 64 * 1024 * 1024,
  openMs: 10_000,
  stallMs: 5000,
  sessionTtlMs: 60_000,
};
