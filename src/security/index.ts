/**
 * Signatures of publishers, users and runtimes: how they are made and checked. A domain server, a runtime and the command
 * line have to agree on this. This folder doesn't decide which keys to trust.
 */
export * from './certificate.js';
export * from './publisher-key.js';
export * from './identity-key.js';
export * from './signed.js';
export * from './signed-record.js';
