/**
 * The vocabulary: addresses, messages, registry records, Connection objects, state machines, limits, errors,
 * and the interface between stubs and sandboxes. Only pure functions and types: no I/O, no state, no
 * transports. Import descriptors (`descriptor.ts`) by their own path, because they load a validator.
 */
export * from './address.js';
export * from './batch.js';
export * from './cause.js';
export * from './clock.js';
export * from './connection.js';
export * from './errors.js';
export * from './flow.js';
export * from './ice.js';
export * from './identity.js';
export * from './json.js';
export * from './limits.js';
export * from './message.js';
export * from './outcome.js';
export * from './backpressure.js';
export * from './protostub.js';
export * from './record.js';
export * from './size.js';
export * from './status.js';
export type * from './trust.js';
export * from './user.js';
export * from './web.js';
