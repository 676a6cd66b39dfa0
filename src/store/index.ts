/**
 * Stores: where state is kept. One port (`store.ts`), a store in memory and one on disk. A store knows nothing of what
 * is in it. Take `openLmdbStore` from `lmdb/` only where the native library is wanted; this file doesn't load it.
 */
export type { Collection, Range, Store } from './store.js';
export { memoryStore } from './memory/index.js';
