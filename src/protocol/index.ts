/**
 * The vocabulary: addresses, messages, registry records, Connection objects, state machines, limits, errors, and the
 * convention between stubs and sandboxes. Pure functions and types; nothing here does I/O, keeps state or knows a
 * transport. Descriptors (`descriptor.ts`) are imported by their own path, because they bring a validator along.
 */
export * from './address.js';
export * from './batch.js';
export * from './clock.js';
export * from './connection.js';
export * from './errors.js';
export * from './flow.js';
export * from './ice.js';
export * from './limits.js';
export * from './message.js';
export * from './outcome.js';
export * from './backpressure.js';
export * from './protostub.js';
export * from './record.js';
export * from './size.js';
export * from './status.js';
export * from './web.js';
