/**
 * Watches the network of this machine: addresses that come and go, and the sleep from which it wakes. It only tells;
 * what is to be checked or set up anew is the registry's business.
 */
export * from './monitor.js';
