/**
 * How texts cross the border of the realm. The interpreter takes and gives C strings: they end at the first NUL, and a
 * byte order mark at their beginning may get lost. Texts that this would change cross as JSON behind a mark.
 */
const MARK = '\u0001';
const BYTE_ORDER_MARK = '\uFEFF';

/** Returns a text in the form in which it crosses the border. */
export const crossing = (text: string): string =>
  (text.startsWith(MARK) || text.startsWith(BYTE_ORDER_MARK) || text.includes('\0') ? `${MARK}${JSON.stringify(text)}` : text);

/** Returns the text that crossed the border. @throws Error if it isn't in the form of `crossing` */
export const crossed = (text: string): string => {
  if (!text.startsWith(MARK)) return text;
  const value: unknown = JSON.parse(text.slice(MARK.length));
  if (typeof value !== 'string') throw new TypeError('not a text');
  return value;
};
