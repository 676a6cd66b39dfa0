/**
 * The services that a runtime offers to programs over its control socket: their sessions (`ConnectedPrograms`), and
 * `<runtime>/ua`, `<runtime>/registry` and `<runtime>/catalogue`. The contract is docs/control.md. They only pass
 * requests on.
 */
export { CatalogueService, type CatalogueServiceComponents, type CatalogueServiceInit } from './catalogue-service.js';
export * from './connected-programs.js';
export { PingService } from './ping.js';
export * from './registry-service.js';
export { UserAgent, type UaComponents } from './ua.js';
export { UserService } from './user-service.js';
