/**
 * Inboxes: what arrives for a hyperty, from its runtime's point of view. An inbox orders, keeps, hands out and
 * acknowledges; it doesn't know links, sockets or stubs.
 */
export type { Program } from './consumer.js';
export * from './inbox.js';
export * from './positions.js';
export type { Stored } from './queue.js';
