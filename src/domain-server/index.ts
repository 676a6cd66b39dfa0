/**
 * A domain's server: the message node (sessions of runtimes, address allocation, subscriptions, relaying), the domain
 * registry (who is registered where) and the catalogue (descriptors and code to download), behind one HTTP port.
 * It runs no hyperties and deploys no stubs; it knows runtimes only by what they say on their sessions. Everything that
 * must outlive it is in the store that it is given, and the store is its owner's to open and close.
 */
export { DomainServer, type DomainServerComponents, type DomainServerInit } from './server.js';
export { adminAddress } from './operate/admin.js';
export { commonEntries, readStubs, type CatalogueEntry } from './catalogue/builtin.js';
export type { Published } from './catalogue/catalogue.js';
export { PROTOCOLS, type Protocol } from './edge/protocols.js';
export { fileKeeper, type KeyKeeper, type Rotated } from './publisher/index.js';
export { NODE_LIMITS, type NodeLimits } from './shard/message-node/limits.js';
