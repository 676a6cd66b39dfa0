/**
 * The outbox: messages of this runtime's programs that are to be kept while nobody can be reached (`body.store`). It
 * sends them like any others while it can. Otherwise it stores them on disk and sends them later, in order and with their
 * first numbers. It is no mailbox: once the receiver's domain has a message, the domain keeps it.
 */
export * from './outbox.js';
export type { KeptMessage, KeptPair } from './spool.js';
