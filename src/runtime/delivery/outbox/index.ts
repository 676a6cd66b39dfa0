/**
 * The outbox: messages of this runtime's programs that are to be kept when nobody can be reached (`body.store`). It
 * sends them like any others while it can, puts them on disk when it can't, and sends them from there later, in order
 * and under the numbers that they were given first. It is no mailbox: what waits for a receiver that is away waits at
 * the receiver's domain, once that has it.
 */
export * from './outbox.js';
export type { KeptMessage, KeptPair } from './spool.js';
