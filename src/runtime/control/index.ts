/**
 * What programs ask of their runtime, over its socket: sessions of programs (`Clients`), and the services behind
 * `<runtime>/ua` and `<runtime>/registry`. docs/control.md is its contract. It decides nothing by itself.
 */
export * from './clients.js';
export * from './registry-service.js';
export { UserAgent, type UaComponents } from './ua.js';
