/**
 * What a publisher's signature says, and how it is made and checked: the one thing that a domain server, a runtime and
 * the command line have to agree on about packages. Whose key is to be believed isn't decided here.
 */
export * from './publisher-key.js';
export * from './signed.js';
