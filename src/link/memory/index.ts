/**
 * Links within one process, without encoding, with the order, backpressure and ends of any other link. The two
 * sides aren't isolated: run untrusted code in a process of its own (`pipe/`).
 */
export { memoryPair } from './memory-link.js';
