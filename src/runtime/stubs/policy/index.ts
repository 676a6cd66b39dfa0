/**
 * Whose protostubs a runtime deploys, and what it grants them: the publishers' keys that it believes, and what its
 * owner allows. Where packages come from, and how their signatures are checked, is decided elsewhere.
 */
export * from './policy.js';
export * from './publishers.js';
