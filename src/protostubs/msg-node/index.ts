/**
 * What the stubs of a message node have in common, whatever they speak: the session, what waits for it, and the stub that
 * keeps both alive over one connection after the other. It isn't a stub itself and touches no network: each stub brings
 * its transport.
 */
export * from './session.js';
export * from './silence.js';
export * from './stub.js';
export * from './transport.js';
export * from './waiting.js';
