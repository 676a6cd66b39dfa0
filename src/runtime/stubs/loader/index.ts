/**
 * Stub deployment: from the catalogue address of a protostub to its code running in a sandbox. Packages come from
 * their domain's catalogue, from the cache of what came from there, or with the installation; whatever is handed on has
 * been checked. When a stub is needed, and what becomes of its messages, is the registry's business; whose stubs are
 * wanted is the policy's.
 */
export * from './built-in.js';
export * from './domain-catalogue.js';
export * from './loader.js';
export * from './make-catalogue.js';
export type { DomainsPort } from './ports.js';
