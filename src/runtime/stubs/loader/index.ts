/**
 * Stub deployment: from the catalogue address of a protostub to its code running in a sandbox. Packages come from their
 * domain's catalogue, from a cache of it, or from the installation. All of them are checked first. `Protostubs` runs the
 * stubs and handles their messages. The policy decides whose stubs are accepted.
 */
export * from './built-in.js';
export * from './domain-catalogue.js';
export * from './loader.js';
export * from './make-catalogue.js';
export type { DomainsPort } from './ports.js';
