import { ProtoflyError } from './errors.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** Counts `character` in `text`, up to `limit`. */
const countUpTo = (text: string, character: string, limit: number): number => {
  let count = 0;
  for (let at = text.indexOf(character); at >= 0 && count < limit; at = text.indexOf(character, at + 1)) count += 1;
  return count;
};

/** Returns the position of the quote that ends a string, or the end of the text. */
const endOfString = (text: string, start: number): number => {
  for (let end = text.indexOf('"', start); end >= 0; end = text.indexOf('"', end + 1)) {
    let escapes = 0;
    while (text.charCodeAt(end - 1 - escapes) === BACKSLASH) escapes += 1;
    if (escapes % 2 === 0) return end;
  }
  return text.length;
};

const isShallow = (text: string, maxDepth: number): boolean => {
  if (countUpTo(text, '{', maxDepth + 1) + countUpTo(text, '[', maxDepth + 1) <= maxDepth) return true;
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at + 1);
    else if (code === OPEN_LIST || code === OPEN_OBJECT) {
      depth += 1;
      if (depth > maxDepth) return false;
    } else if (code === CLOSE_LIST || code === CLOSE_OBJECT) depth -= 1;
  }
  return true;
};

/**
 * Refuses JSON that nests too deep, before it is parsed: parsing millions of brackets takes seconds. Text that isn't
 * JSON may pass: the parser finds that.
 * @param json text, or its bytes in UTF-8
 * @param maxDepth most lists and objects within each other
 * @throws ProtoflyError `E_MESSAGE`
 */
export const assertShallow = (json: string | Uint8Array, maxDepth: number): void => {
  if (json.length <= maxDepth) return;
  if (!isShallow(typeof json === 'string' ? json : new TextDecoder().decode(json), maxDepth)) {
    throw new ProtoflyError('E_MESSAGE', `malformed message: nested deeper than ${String(maxDepth)}`);
  }
};
