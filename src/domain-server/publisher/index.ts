/**
 * The domain as a publisher: the key that it signs its catalogue with, where that is kept, and how a new one takes
 * over. What a signature says is `src/signature`'s business, what is signed the catalogue's, and whom to believe the
 * runtimes'.
 */
export type { KeyKeeper } from './key-keeper.js';
export { fileKeeper } from './file-keeper.js';
export { storeKeeper } from './store-keeper.js';
export { checkOverlap, MAX_KEYS, OVERLAP_MS, Publisher, type ListedKey, type Rotated } from './publisher.js';
