/**
 * A domain server: message node, domain registry and catalogue on one HTTP port. The message node has the sessions of
 * runtimes, allocates addresses, and relays messages to them and to subscribers. The registry holds the registrations of
 * hyperties. The catalogue offers descriptors and code for download. The server runs no hyperties and deploys no stubs;
 * it knows runtimes only by their sessions. All durable state is in the given store, which its owner opens and closes.
 */
export { DomainServer, type DomainServerComponents, type DomainServerInit } from './server.js';
;
export {   type CatalogueEntry } from './catalogue/builtin.js';
export type { Published } from './catalogue/catalogue.js';
export {  type Protocol } from './edge/protocols.js';
export type { Rotated } from './publisher/index.js';
export {  type NodeLimits } from './shard/message-node/limits.js';
