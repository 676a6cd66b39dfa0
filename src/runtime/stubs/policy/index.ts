/**
 * Decides whose protostubs a runtime deploys, and which capabilities they get: trusted publisher keys, and the owner's
 * policy. Packages are found, and their signatures checked, elsewhere.
 */
export * from './policy.js';
export * from './publishers.js';
export * from './serials.js';
