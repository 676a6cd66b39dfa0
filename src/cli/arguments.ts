/** Reads the arguments that can be understood before the command is known. */

const GLOBAL_SWITCHES: ReadonlySet<string> = new Set(['--json', '--no-input', '--verbose']);
const GLOBAL_VALUES: ReadonlySet<string> = new Set(['--profile', '--timeout']);

/** Returns the index at which the flags end: that of `--`, or the length of the list. */
const flagsEnd = (argv: readonly string[]): number => {
  const end = argv.indexOf('--');
  return end < 0 ? argv.length : end;
};

/**
 * Moves leading global flags behind the command, where the parser expects them:
 * `--profile bob msg tail in` → `msg tail in --profile bob`.
 */
export const moveLeadingFlags = (argv: readonly string[]): string[] => {
  const leading: string[] = [];
  let at = 0;
  for (let arg = argv[at]; arg !== undefined; arg = argv[at]) {
    const [name = ''] = arg.split('=');
    if (GLOBAL_SWITCHES.has(arg) || (GLOBAL_VALUES.has(name) && arg !== name)) leading.push(arg);
    else if (GLOBAL_VALUES.has(arg) && argv[at + 1] !== undefined) leading.push(arg, argv[++at]!);
    else break;
    at += 1;
  }
  const rest = argv.slice(at);
  const end = flagsEnd(rest);
  return [...rest.slice(0, end), ...leading, ...rest.slice(end)];
};

/** True if a switch is given before any `--`. */
export const hasSwitch = (argv: readonly string[], ...names: readonly string[]): boolean =>
  argv.slice(0, flagsEnd(argv)).some((arg) => names.includes(arg));

/** Returns the words before the first flag: topic, command, arguments. */
export const leadingWords = (argv: readonly string[]): string[] => {
  const end = argv.findIndex((arg) => arg.startsWith('-'));
  return argv.slice(0, end < 0 ? argv.length : end);
};

/** Returns the edit distance of two words: the least number of single-letter changes. */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)));
    row = next;
  }
  return row[b.length]!;
};

/** Returns the known word that was probably meant: the only word that starts with `typed`, or else a similar one. */
export const nearest = (typed: string, known: readonly string[]): string | undefined => {
  const longer = known.filter((word) => word.startsWith(typed));
  if (longer.length === 1) return longer[0];
  const scored = known.map((word) => ({ word, score: distance(typed.slice(0, 100), word) })).sort((a, b) => a.score - b.score);
  const [best] = scored;
  return best !== undefined && best.score <= Math.max(2, Math.floor(best.word.length / 3)) ? best.word : undefined;
};
