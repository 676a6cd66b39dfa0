import { ProtoflyError } from './errors.js';
import { MAX_DEPTH } from './limits.js';

/** Deep enough for a message whose body nests as deep as it may. */
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

/** About what an item takes, without encoding it. @throws ProtoflyError `E_MESSAGE` for what nests too deep or is a circle */
export const roughSize = (item: unknown): number => (typeof item === 'string' ? item.length : sizeAt(item, 0));
