/** protofly as a library: write a hyperty, or run a domain. See docs/library.md. */
export { connectRuntime, domainHome, startRuntime, type DomainHome, Hyperty, Node, type ConnectionChange, type ConnectionInfo, type Criteria, type Received, type Receipt, type ReceiveOptions, type RegisterOptions, type RuntimeStatus, type SavedFile, type SendFileOptions, type SendOptions, type SentFile, type StartOptions } from './library/index.js';
export { DomainServer, type DomainServerComponents, type DomainServerInit } from './domain-server/index.js';
export { memoryStore, type Store } from './store/index.js';
export { parseAddress, ProtoflyError, systemClock, type Address, type ErrorCode, type Message, type RegistryRecord, type Request, type Response } from './protocol/index.js';
