// Runs real runtimes for a long time, and reports faults and the growth of their processes.
//
//   node scripts/soak.js [CYCLES]     opens and closes a P2P connection, default 1000 times
//   node scripts/soak.js --faults     pairs of hyperties exchange numbered messages with one fault per second:
//                                     runtimes are killed, sandboxes killed or stopped, connections ended, the domain
//                                     server replaced
//
// Builds if something has changed; needs /proc. The first form prints a JSON document with the figures of every process
// after the warm-up and at the end. The second prints a table, or a document with --json. Exits with 1 if a process has
// grown, if an acknowledged message was lost, repeated or reordered, if a refused message arrived, if a message got no
// answer, or if a runtime doesn't come back. The seed determines the kind and time of faults; their effect depends on
// the machine.
import { parseArgs } from 'node:util';
import './build/ensure.js';
import { soakConnections } from './soak/connections.js';
import { Home } from './soak/home.js';
import { soakUnderFaults, tableOf } from './soak/under-faults.js';

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  allowNegative: true,
  options: {
    'faults': { type: 'boolean', default: false },
    'minutes': { type: 'string', default: '30' },
    'pairs': { type: 'string', default: '50' },
    'runtimes': { type: 'string', default: '5' },
    'seed': { type: 'string', default: String(Math.floor(Math.random() * 1e9)) },
    /** Kills runtimes too, except the first, which shows whether a runtime grows. */
    'kill-runtimes': { type: 'boolean', default: true },
    /** Seconds without arrivals before the count: as long as a copy can take (docs/reliability.md). */
    'quiet': { type: 'string', default: '26' },
    'json': { type: 'boolean', default: false },
  },
});

const number = (what, text, least, whole = true) => {
  const value = Number(text);
  if (!(value >= least) || (whole && !Number.isSafeInteger(value))) throw new Error(`${what}? a ${whole ? 'whole ' : ''}number from ${String(least)}`);
  return value;
};

const soak = (home, signal) => {
  if (!flags.faults) return soakConnections(home, { cycles: number('how many cycles', positionals[0] ?? 1000, 2) }, signal);
  const seed = number('which seed', flags.seed, 0);
  process.stderr.write(`seed ${String(seed)}\n`);
  return soakUnderFaults(home, {
    minutes: number('how many minutes', flags.minutes, 0.1, false), pairs: number('how many pairs', flags.pairs, 1),
    runtimes: number('how many runtimes', flags.runtimes, 2), seed, killRuntimes: flags['kill-runtimes'],
    quietMs: 1000 * number('how many seconds', flags.quiet, 0, false),
  }, signal);
};

// The reader of the output may leave before the clean-up.
for (const output of [process.stdout, process.stderr]) output.on('error', () => undefined);
const interrupted = new AbortController();
for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => { interrupted.abort(new Error(`interrupted by ${name}`)); });
const home = new Home();
try {
  const figures = await soak(home, interrupted.signal);
  process.stdout.write(`${flags.faults && !flags.json ? tableOf(figures) : JSON.stringify(figures, undefined, 2)}\n`);
  process.exitCode = figures.passed ? 0 : 1;
} catch (error) {
  // What a daemon says of a process that has ended may come a moment later.
  await new Promise((resolve) => { setTimeout(resolve, 500); });
  process.stderr.write(`${error.stack}\n${home.lastWords()}`);
  process.exitCode = 1;
} finally {
  await home.close();
}
