/**
 * Links within one process, without encoding; with the order, the backpressure and the ends of any other link. It doesn't
 * keep the two sides apart: who must not trust the other side runs it in a process of its own (`pipe/`).
 */
export { memoryPair } from './memory-link.js';
