/**
 * The runtime registry: what this runtime has (hyperties, protostubs, P2P connections), what it knows of others
 * (records, domains), and from both the way to an address (`Router`). It decides which stub carries a message; how a
 * stub runs is the sandbox's business, whether a message arrives delivery's.
 */
export * from './connection-list.js';
export * from './connections.js';
export * from './domains.js';
export * from './explain.js';
export * from './hyperties.js';
export * from './message-nodes.js';
export * from './p2p-connection.js';
export * from './p2p-handler.js';
export * from './protostubs.js';
export * from './records.js';
export * from './router.js';
