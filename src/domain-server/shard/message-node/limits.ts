/** How much a message node keeps for others. What goes beyond is refused with 429. Sizes are in bytes. */
export interface NodeLimits {
  /** Sessions, those whose runtime is away included. @default 20_000 */
  readonly sessions: number;
  /** Connections, those without a session included. @default 25_000 */
  readonly connections: number;
  /** @default 10_000 */
  readonly allocationsPerSession: number;
  /** @default 500_000 */
  readonly allocations: number;
  /** @default 10_000 */
  readonly subscriptionsPerSession: number;
  /** @default 500_000 */
  readonly subscriptions: number;
  /** Addresses of one `create`. @default 1000 */
  readonly allocationsPerRequest: number;
  /** Messages that wait for a runtime that is away. @default 1000 */
  readonly waitingPerSession: number;
  /** @default 16 MiB + 64 KiB, so that one message of the largest size can wait */
  readonly waitingBytesPerSession: number;
  /** All that waits in this process. @default 128 MiB */
  readonly waitingBytes: number;
  /** Requests to functions of the domain that are being worked on for one connection, before it isn't read on. @default 64 */
  readonly workPerConnection: number;
  /** How long a connection may go without a session, in milliseconds. @default 10_000 */
  readonly openMs: number;
  /** How long a receiver may hold its senders up without taking anything, in milliseconds. @default 5000 */
  readonly stallMs: number;
  /** How long a session waits for its runtime, in milliseconds. @default 60_000 */
  readonly sessionTtlMs: number;
}

export const NODE_LIMITS: NodeLimits = {
  sessions: 20_000,
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
  openMs: 10_000,
  stallMs: 5000,
  sessionTtlMs: 60_000,
};
