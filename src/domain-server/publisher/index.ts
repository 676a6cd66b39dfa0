/**
 * The domain as a publisher: the key that signs its catalogue, its storage, and its rotation. `src/security` defines
 * signatures, the catalogue chooses what is signed, and runtimes decide which keys to trust.
 */
export { checkOverlap,  OVERLAP_MS, Publisher, type ListedKey, type Rotated } from './publisher.js';
