/**
 * Compression: the text that messages of one sender to one receiver share travels once. Each line of MESSAGES is one of
 *
 *     {…}                       a message as it is
 *     =<lane> TAB <middle>      defines the middle of the lane with that number
 *     <lane> TAB <id> TAB <rest>    the message `{"id":` + id + middle + rest
 *
 * A text is cut after its id and before its body. The middle is the part in between (type, sender, receiver). So the
 * restored text equals the original exactly.
 */

/** Number of lanes. Defining a lane again replaces its middle. */
const MAX_LANES = 256;
/** Maximum length of a middle, in UTF-16 code units: two addresses of the maximum length, and the text around them. */
const MAX_MIDDLE = 8192;
/** Maximum growth of a text by the definition of a lane, in UTF-16 code units. */
export const LANE_OVERHEAD = 16;

const START = '{"id":';
const BODY = ',"body":';
const QUOTE = 0x22;
const EQUALS = 0x3d;
const ZERO = 0x30;
const NINE = 0x39;

interface Cut {
  readonly id: string;
  readonly middle: string;
  readonly rest: string;
}

/** Cuts a text into its parts. Returns undefined for an unusual text, which travels as it is. */
const cut = (text: string): Cut | undefined => {
  if (!text.startsWith(START)) return undefined;
  const end = text.charCodeAt(START.length) === QUOTE ? text.indexOf('"', START.length + 1) + 1 : text.indexOf(',', START.length);
  if (end <= START.length) return undefined;
  const id = text.slice(START.length, end);
  if (id.includes('\\') || id.includes('\t')) return undefined;
  const body = text.indexOf(BODY, end);
  const at = body < 0 ? text.length - 1 : body;
  return at < end || at - end > MAX_MIDDLE ? undefined : { id, middle: text.slice(end, at), rest: text.slice(at) };
};

/** Compresses texts, one after the other. */
export class LaneWriter {
  readonly #numbers = new Map<string, number>();
  readonly #middles: string[] = [];
  #next = 0;

  /** @returns one line, or two if it defines a lane; at most `LANE_OVERHEAD` longer than the text */
  shorten(text: string): string {
    const parts = cut(text);
    if (parts === undefined) return text;
    const { id, middle, rest } = parts;
    const known = this.#numbers.get(middle);
    if (known !== undefined) return `${String(known)}\t${id}\t${rest}`;
    const lane = String(this.#define(middle));
    return `=${lane}\t${middle}\n${lane}\t${id}\t${rest}`;
  }

  #define(middle: string): number {
    const lane = this.#next;
    this.#next = (lane + 1) % MAX_LANES;
    const before = this.#middles[lane];
    if (before !== undefined) this.#numbers.delete(before);
    this.#middles[lane] = middle;
    this.#numbers.set(middle, lane);
    return lane;
  }
}

/** Restores texts line by line. */
export class LaneReader {
  readonly #middles: string[] = [];

  /**
   * @returns the text of a message; undefined if the line defines a lane
   * @throws Error for an undefined or invalid lane
   */
  read(line: string): string | undefined {
    const first = line.charCodeAt(0);
    if (first === EQUALS) {
      const tab = line.indexOf('\t');
      const lane = numberOf(line, 1, tab);
      if (line.length - tab - 1 > MAX_MIDDLE) throw new Error('a lane with too much in common');
      this.#middles[lane] = line.slice(tab + 1);
      return undefined;
    }
    if (!(first >= ZERO && first <= NINE)) return line;
    const tab = line.indexOf('\t');
    const next = line.indexOf('\t', tab + 1);
    const middle = this.#middles[numberOf(line, 0, tab)];
    if (middle === undefined || next < 0) throw new Error('a line of no lane');
    return START + line.slice(tab + 1, next) + middle + line.slice(next + 1);
  }
}

const numberOf = (line: string, start: number, end: number): number => {
  const lane = end > start && end - start <= 3 ? Number(line.slice(start, end)) : NaN;
  if (Number.isInteger(lane) && lane >= 0 && lane < MAX_LANES) return lane;
  throw new Error('a line of no lane');
};
