/**
 * Stub deployment: from the catalogue address of a protostub to its code running in a sandbox. When a stub is needed,
 * and what becomes of its messages, is the registry's business.
 */
export * from './built-in.js';
export * from './loader.js';
