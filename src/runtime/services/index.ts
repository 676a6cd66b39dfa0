/**
 * What programs ask of their runtime, over its socket: sessions of programs (`Clients`), and the services behind
 * `<runtime>/ua`, `<runtime>/registry` and `<runtime>/catalogue`. docs/control.md is its contract. It decides nothing by itself.
 */
export { CatalogueService, type CatalogueServiceComponents, type CatalogueServiceInit } from './catalogue-service.js';
export * from './clients.js';
export * from './registry-service.js';
export { UserAgent, type UaComponents } from './ua.js';
