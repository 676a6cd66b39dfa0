/**
 * Delivery between a sender and a receiver in different runtimes. `Outgoing` numbers messages that want a receipt, and
 * sends them again when their carrier is lost. `Incoming` puts them in order and drops repetitions. `Receipts`
 * acknowledges the messages that were taken. Routes are chosen by `Router`; the inbox decides what is taken.
 */
export * from './carrier.js';
export * from './dispatch.js';
export * from './flow.js';
export * from './flows.js';
export * from './incoming.js';
export * from './outgoing.js';
export * from './receipts.js';
export { sizeOf } from './in-flight.js';
export * from './window.js';
