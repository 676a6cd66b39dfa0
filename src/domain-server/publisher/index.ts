/**
 * The domain as a publisher: the key that signs its catalogue, its storage, and its rotation. `src/signature` defines
 * signatures, the catalogue chooses what is signed, and runtimes decide which keys to trust.
 */
export type { KeyKeeper } from './key-keeper.js';
export { fileKeeper } from './file-keeper.js';
export { storeKeeper } from './store-keeper.js';
export { checkOverlap,  OVERLAP_MS, Publisher, type ListedKey, type Rotated } from './publisher.js';
