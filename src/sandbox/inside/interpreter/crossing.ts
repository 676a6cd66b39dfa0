/**
 * How texts cross the border of the realm. The interpreter takes and gives C strings: they end at the first NUL, and a
 * byte order mark at their beginning may get lost. Texts that this would change cross behind a mark, with NUL written
 * as the mark and `0`, and the mark as the mark and `1`.
 */
const MARK = '\u0001';
const BYTE_ORDER_MARK = '\uFEFF';

/** Returns a text in the form in which it crosses the border. */
export const crossing = (text: string): string =>
  (text.startsWith(MARK) || text.startsWith(BYTE_ORDER_MARK) || text.includes('\0') ? MARK + text.split(MARK).map((part) => part.split('\0').join(`${MARK}0`)).join(`${MARK}1`) : text);

/** Returns the text that crossed the border. */
export const crossed = (text: string): string => {
  if (!text.startsWith(MARK)) return text;
  const [first = '', ...rest] = text.slice(MARK.length).split(MARK);
  return first + rest.map((part) => (part.startsWith('0') ? '\0' : MARK) + part.slice(1)).join('');
};
