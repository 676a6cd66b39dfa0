/**
 * The message bus: who gets a message that is here. It knows addresses and listeners, not links, files or protocols;
 * the way to an address elsewhere is somebody else's knowledge, asked through `Resolver`.
 */
export * from './bus.js';
export { isForeign, receivedVia, type Listener, type Origin } from './listeners.js';
