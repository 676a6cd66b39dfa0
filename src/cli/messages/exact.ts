/**
 * Finds changes that parsing JSON makes silently: numbers with more digits or a larger exponent than a double has,
 * and repeated names.
 */

/** Only a number with at least 16 digits or an exponent may change. */
const SUSPECT = /[\d.]{16}|\d[eE]/;
const STRING = /"(?:[^"\\]|\\.)*"/g;
const NUMBER = /-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?/g;
/** Number of digits compared beyond those that are written. */
const MORE = 25;
/** The maximum of `toExponential`, less `MORE`. */
const MOST_DIGITS = 100 - MORE;

interface Decimal {
  /** Digits without leading or trailing zeros. Empty for zero. */
  readonly digits: string;
  /** Exponent of the first digit. */
  readonly exponent: number;
}

const decimalOf = (whole: string, fraction: string, exponent: number): Decimal => {
  const all = whole + fraction;
  const digits = all.replace(/^0+/, '');
  return { digits: digits.replace(/0+$/, ''), exponent: digits === '' ? 0 : exponent + whole.length - (all.length - digits.length) - 1 };
};

/** True if the double parsed from a number equals it: an integer exactly, others rounded to as many digits as are written. */
const isExact = (text: string, whole: string, fraction = '', power = '0'): boolean => {
  const value = Number(text);
  // True for every number that was written by a program with doubles.
  if (String(value) === text) return true;
  // Every digit of an integer counts, also a zero at its end.
  if (/^-?\d+$/.test(text)) return Number.isFinite(value) && BigInt(value) === BigInt(text);
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

/** Returns the number of names in all objects of a value. */
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
 * Describes the change that parsing has made; undefined if there is none.
 * @param text JSON that was parsed
 * @param value the result of the parsing
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
