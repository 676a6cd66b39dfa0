import { ProtoflyError } from './errors.js';
import { MAX_JSON_DEPTH, MAX_JSON_VALUES } from './limits.js';

/** Shorter texts can't be expensive to parse, so they aren't scanned, in UTF-16 code units. */
const HARMLESS = 1024;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/** Returns the index of the quote that ends a string; the text's length if none does. */
const endOfString = (text: string, start: number): number => {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let before = end - 1;
    while (text.charCodeAt(before) === BACKSLASH) before -= 1;
    // An even number of backslashes are pairs: the quote isn't escaped.
    if ((end - before) % 2 === 1) return end;
  }
  return text.length;
};

/**
 * Checks what a text would cost to parse, in one pass and without parsing it. Call it before parsing text of others.
 * @throws ProtoflyError `E_MESSAGE` if it nests deeper than `MAX_JSON_DEPTH`, `E_TOO_LARGE` if it has more values than
 * `maxValues`
 */
const checkCost = (text: string, maxValues: number): void => {
  if (text.length <= HARMLESS) return;
  let depth = 0;
  let values = 0;
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case QUOTE: at = endOfString(text, at); break;
      case 0x5b: case 0x7b: // [ {
        depth += 1;
        values += 1;
        if (depth > MAX_JSON_DEPTH) throw new ProtoflyError('E_MESSAGE', `the JSON nests deeper than ${String(MAX_JSON_DEPTH)}`);
        break;
      case 0x5d: case 0x7d: depth -= 1; break; // ] }
      case 0x2c: values += 1; break; // ,
      default:
    }
    if (values > maxValues) throw new ProtoflyError('E_TOO_LARGE', `the JSON has more than ${String(maxValues)} values`, { hint: 'send it as text, or in parts' });
  }
};

/**
 * Parses JSON of others. Text that would be too expensive to parse is refused before.
 * @param maxValues largest number of values @default MAX_JSON_VALUES
 * @throws ProtoflyError `E_MESSAGE` if it isn't JSON or nests too deep, `E_TOO_LARGE` if it has too many values
 */
export const parseJson = (text: string, maxValues = MAX_JSON_VALUES): unknown => {
  checkCost(text, maxValues);
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new ProtoflyError('E_MESSAGE', 'not JSON', { cause });
  }
};
