import { ProtoflyError } from './errors.js';
import { MAX_DEPTH } from './limits.js';

/** Maximum depth: enough for a message whose body has the maximum nesting. */
const DEEPEST = MAX_DEPTH + 10;

const sizeAt = (value: unknown, depth: number): number => {
  if (typeof value === 'string') return value.length + 2;
  if (typeof value !== 'object' || value === null) return 8;
  if (depth > DEEPEST) throw new ProtoflyError('E_MESSAGE', 'what is sent nests too deep');
  if (ArrayBuffer.isView(value)) return value.byteLength;
  let size = 2;
  if (Array.isArray(value)) {
    for (const item of value) size += 1 + sizeAt(item, depth + 1);
    return size;
  }
  for (const key in value) size += key.length + 4 + sizeAt((value as Record<string, unknown>)[key], depth + 1);
  return size;
};

/**
 * Estimates an item's size as JSON without encoding it.
 * @throws ProtoflyError `E_MESSAGE` for a value that nests too deep or is circular
 */
export const roughSize = (item: unknown): number => (typeof item === 'string' ? item.length : sizeAt(item, 0));
