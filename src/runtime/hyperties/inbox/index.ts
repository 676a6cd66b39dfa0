/**
 * Inboxes: messages to a hyperty, at the receiver's runtime. An inbox orders, keeps, hands out and acknowledges them. It
 * knows no links, sockets or stubs.
 */
export type { Program } from './consumer.js';
export * from './inbox.js';
export * from './checkpoints.js';
export type { Stored } from './queue.js';
