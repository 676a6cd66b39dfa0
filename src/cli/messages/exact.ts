/**
 * JSON may say more than a program can hold: numbers with more digits or a larger exponent than a double has, names that
 * are there twice. This finds what parsing would change without a word.
 */

/** A number that could be changed has at least 16 digits, or an exponent. */
const SUSPECT = /[\d.]{16}|\d[eE]/;
const STRING = /"(?:[^"\\]|\\.)*"/g;
const NUMBER = /-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?/g;
/** With how many more digits a double is compared than are written. */
const MORE = 25;
/** What `toExponential` can give, less those. */
const MOST_DIGITS = 100 - MORE;

interface Decimal {
  /** Without zeros at either end; empty for zero. */
  readonly digits: string;
  /** Of the first digit. */
  readonly exponent: number;
}

const decimalOf = (whole: string, fraction: string, exponent: number): Decimal => {
  const all = whole + fraction;
  const digits = all.replace(/^0+/, '');
  return { digits: digits.replace(/0+$/, ''), exponent: digits === '' ? 0 : exponent + whole.length - (all.length - digits.length) - 1 };
};

/** Whether the double that a number becomes is the number, rounded to as many digits as are written. */
const isExact = (text: string, whole: string, fraction = '', power = '0'): boolean => {
  const value = Number(text);
  // So it is for all that were written by a program with doubles.
  if (String(value) === text) return true;
  const { digits, exponent } = decimalOf(whole, fraction, Number(power));
  if (digits === '') return true;
  if (value === 0 || !Number.isFinite(value) || digits.length > MOST_DIGITS) return false;
  const [mantissa = '', actual = ''] = Math.abs(value).toExponential(digits.length - 1 + MORE).split('e');
  const shift = exponent - Number(actual);
  if (Math.abs(shift) > 1) return false;
  const unit = 10n ** BigInt(MORE + shift);
  const difference = BigInt(mantissa.replace('.', '')) - BigInt(digits) * unit;
  return (difference < 0n ? -difference : difference) * 2n <= unit;
};

/** How many names the objects in a value have. */
const namesIn = (value: object): number => {
  let count = 0;
  const left = [value];
  for (let each = left.pop(); each !== undefined; each = left.pop()) {
    const below = Object.values(each) as readonly unknown[];
    if (!Array.isArray(each)) count += below.length;
    for (const inner of below) if (typeof inner === 'object' && inner !== null) left.push(inner);
  }
  return count;
};

/**
 * What parsing has changed, in words; undefined when nothing has.
 * @param text JSON that was parsed
 * @param value what came of it
 */
export const changeIn = (text: string, value: unknown): string | undefined => {
  const isObject = typeof value === 'object' && value !== null;
  if (!isObject && !SUSPECT.test(text)) return undefined;
  const bare = text.replace(STRING, '""');
  for (const [number, whole = '', fraction, power] of SUSPECT.test(bare) ? bare.matchAll(NUMBER) : []) {
    if (!isExact(number, whole, fraction, power)) return `the number ${number.length > 40 ? `${number.slice(0, 40)}…` : number} has more digits, or a larger exponent, than a double holds`;
  }
  return isObject && bare.split(':').length - 1 !== namesIn(value) ? 'an object has the same name twice' : undefined;
};
