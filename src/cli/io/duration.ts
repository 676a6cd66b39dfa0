import { ProtoflyError } from '../../protocol/index.js';

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
/** The maximum of a Node timer, in milliseconds. */
const LONGEST = 2 ** 31 - 1;

/**
 * Parses `500ms`, `5s`, `2m` or `1h`; a bare number is seconds.
 * @returns milliseconds
 * @throws ProtoflyError `E_USAGE`
 */
export const parseDuration = (text: string): number => {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text.trim());
  const milliseconds = match === null ? NaN : Math.round(Number(match[1]) * UNITS[match[2] ?? 's']!);
  if (milliseconds >= 0 && milliseconds <= LONGEST) return milliseconds;
  throw new ProtoflyError('E_USAGE', `not a duration: ${JSON.stringify(text.slice(0, 40))}`, { hint: 'durations look like 500ms, 5s or 2m, at most 24 days' });
};

/** Formats milliseconds for a person: `7 ms`, `1.2 s`, `3 min`. */
export const formatDuration = (milliseconds: number): string => {
  if (milliseconds < 10) return `${String(Math.round(milliseconds * 100) / 100)} ms`;
  if (milliseconds < 1000) return `${String(Math.round(milliseconds))} ms`;
  if (milliseconds < 120_000) return `${String(Math.round(milliseconds / 100) / 10)} s`;
  if (milliseconds < 7_200_000) return `${String(Math.round(milliseconds / 60_000))} min`;
  return `${String(Math.round(milliseconds / 3_600_000))} h`;
};
