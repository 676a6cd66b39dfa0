/** The limits of the REST side. Sizes are in bytes, times in milliseconds. */
export interface RestLimits {
  /** Time without a request after which a session counts as away. @default 30_000 */
  readonly idleMs: number;
  /** Interval of the comments in every event stream. @default 15_000 */
  readonly heartbeatMs: number;
  /**
   * Longest time without an acknowledgement, for a client of an event stream that has acknowledged before. The time
   * that the data takes to reach the client is added.
   * @default 5000
   */
  readonly acknowledgeMs: number;
  /** The longest wait of a poll. @default 60_000 */
  readonly maxWaitMs: number;
  /** Time for a replaced reader to close its request. @default 1000 */
  readonly lingerMs: number;
  /** Longest pause of a client within a body. @default 15_000 */
  readonly bodyIdleMs: number;
  /** Slowest average rate of a body that takes longer than `bodyIdleMs`. @default 4096 */
  readonly bodyBytesPerSecond: number;
  /** Number of unacknowledged messages of a session from which its senders get backpressure. @default 1000 */
  readonly unacknowledged: number;
  /** The same in bytes. Large enough for one message of the largest size. @default 16 MiB + 64 KiB */
  readonly unacknowledgedBytes: number;
  /** The same for all sessions together, in bytes. Above it, each session is limited to 256 KiB. @default 128 MiB */
  readonly unacknowledgedInAll: number;
  /** Total size of the bodies being read, for all sessions together. @default 128 MiB */
  readonly bodiesInAll: number;
  /** Maximum number of messages in one POST. @default 1000 */
  readonly batch: number;
  /** Maximum number of queued POSTs of one session. @default 8 */
  readonly posts: number;
}

export const REST_LIMITS: RestLimits = {
  idleMs: 30_000,
  heartbeatMs: 15_000,
  acknowledgeMs: 5000,
  maxWaitMs: 60_000,
  lingerMs: 1000,
  bodyIdleMs: 15_000,
  bodyBytesPerSecond: 4096,
  unacknowledged: 1000,
  unacknowledgedBytes: 16 * 1024 * 1024 + 64 * 1024,
  unacknowledgedInAll: 128 * 1024 * 1024,
  bodiesInAll: 128 * 1024 * 1024,
  batch: 1000,
  posts: 8,
};
