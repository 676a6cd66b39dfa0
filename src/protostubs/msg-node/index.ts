/**
 * The common part of all message-node stubs: the session, the send queue, and the stub that keeps the session
 * alive over successive connections. It isn't a stub itself and does no networking: each stub brings its
 * transport.
 */
export * from './session.js';
export * from './silence.js';
export * from './stub.js';
export * from './transport.js';
export * from './send-queue.js';
