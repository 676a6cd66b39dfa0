import type { Result } from './runner.js';
import type { Tally } from './traffic.js';

/** Maximum number of stretches that are listed; if a path changes more often, they are counted. */
const MAX_STRETCHES = 5;

const pathsOf = ({ stretches }: Tally): string =>
  stretches.length <= MAX_STRETCHES
    ? stretches.map(({ via, count }) => `${via} ${String(count)}`).join(', ')
    : `${String(stretches.length)} stretches of ${[...new Set(stretches.map(({ via }) => via))].join(' and ')}`;

const sum = (tallies: readonly Tally[], of: (tally: Tally) => number): string =>
  tallies.length === 0 ? '-' : String(tallies.reduce((total, tally) => total + of(tally), 0));

const secondsOf = (ms: number | undefined): string => (ms === undefined ? '-' : (ms / 1000).toFixed(1));

const HEADER = ['scenario', 'messages', 'lost', 'repeated', 'reordered', 'refused', 'refused, yet came', 'stood still, s', 'P2P again, s', 'paths', 'doctor', 'result'] as const;

const rowOf = ({ name, tallies, healedMs, doctor, objections }: Result): string[] => [
  name, sum(tallies, ({ sent }) => sent), sum(tallies, ({ lost }) => lost), sum(tallies, ({ repeated }) => repeated), sum(tallies, ({ reordered }) => reordered), sum(tallies, ({ refused }) => refused), sum(tallies, ({ refusedAndReceived }) => refusedAndReceived),
  secondsOf(tallies.length === 0 ? undefined : Math.max(...tallies.map(({ stoodStillMs }) => stoodStillMs))), secondsOf(healedMs),
  tallies.map(pathsOf).join(' / ') || '-', doctor ?? '-', objections.length === 0 ? 'held' : 'FAILED',
];

/** Formats the results as a Markdown table, followed by the objections. */
export const report = (results: readonly Result[]): string => {
  const lines = [HEADER, HEADER.map(() => '---'), ...results.map(rowOf)].map((cells) => `| ${cells.join(' | ')} |`);
  const objections = results.flatMap(({ name, objections: all }) => all.map((text) => `${name}: ${text}`));
  return [...lines, ...(objections.length === 0 ? [] : ['', ...objections])].join('\n');
};
