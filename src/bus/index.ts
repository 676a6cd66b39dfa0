/**
 * The message bus: delivers a message to its local listeners. It knows addresses and listeners, but no links, files
 * or protocols. Routes to addresses elsewhere come from a `Resolver`.
 */
export * from './bus.js';
export { isForeign, receivedVia, type Listener, type Origin } from './listeners.js';
