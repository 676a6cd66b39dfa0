/**
 * Delivery between a sender and a receiver that live in different runtimes: a message that wants a receipt is numbered
 * on its way out (`Outgoing`), sent again when its carrier is lost, and put in order and freed of repetitions where it
 * arrives (`Incoming`); that it has been taken is told by `Receipts`. Which way a message takes is the registry's
 * business, what a receipt means the inbox's.
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
