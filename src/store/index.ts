/**
 * Stores for durable state: one port (`store.ts`), one store in memory and one on disk. A store doesn't interpret its
 * content. Import `openLmdbStore` from `lmdb/` only where needed: it loads a native library, which this file doesn't.
 */
export type { Collection, Range, Store } from './store.js';
export { memoryStore } from './memory/index.js';
