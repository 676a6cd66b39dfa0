/** How much the REST side keeps for its clients, and how long it waits for them. Sizes are in bytes, times in milliseconds. */
export interface RestLimits {
  /** How long a session may go without a request before it counts as away. @default 30_000 */
  readonly idleMs: number;
  /** A comment goes into every event stream this often. @default 15_000 */
  readonly heartbeatMs: number;
  /**
   * How long a client of an event stream that has acknowledged before may acknowledge nothing of what it was given, beside
   * the time that this takes to reach it. @default 5000
   */
  readonly acknowledgeMs: number;
  /** The longest that a poll waits. @default 60_000 */
  readonly maxWaitMs: number;
  /** How long a reader that isn't wanted any more may take to take its leave. @default 1000 */
  readonly lingerMs: number;
  /** How long a client may pause in the middle of a body. @default 15_000 */
  readonly bodyIdleMs: number;
  /** Messages given to a session and not acknowledged, before its senders are held up. @default 1000 */
  readonly unacknowledged: number;
  /** @default 16 MiB + 64 KiB, so that one message of the largest size fits */
  readonly unacknowledgedBytes: number;
  /** The same for all sessions together; beyond it each is held to 256 KiB. @default 128 MiB */
  readonly unacknowledgedInAll: number;
  /** Bodies that are being taken, of all sessions together. @default 128 MiB */
  readonly bodiesInAll: number;
  /** Messages in one POST. @default 1000 */
  readonly batch: number;
  /** POSTs of one session that wait for their turn. @default 8 */
  readonly posts: number;
}

export const REST_LIMITS: RestLimits = {
  idleMs: 30_000,
  heartbeatMs: 15_000,
  acknowledgeMs: 5000,
  maxWaitMs: 60_000,
  lingerMs: 1000,
  bodyIdleMs: 15_000,
  unacknowledged: 1000,
  unacknowledgedBytes: 16 * 1024 * 1024 + 64 * 1024,
  unacknowledgedInAll: 128 * 1024 * 1024,
  bodiesInAll: 128 * 1024 * 1024,
  batch: 1000,
  posts: 8,
};
