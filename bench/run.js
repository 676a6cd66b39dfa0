/**
 * The benchmarks. Each figure is a ratio against a reference that is measured in the same run, in turns with
 * ours, with every party in a process of its own. docs/performance.md explains the figures. Prints the results,
 * and whether each goal is reached. Exits with 1 only if something could not be measured.
 *
 *     npm run bench -- [--quick] [--only P1] [--json]
 */
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { Parties } from './support/parties.js';
import { table, verdictOf } from './support/table.js';

/** All cases, in the order in which they run. */
const CASES = {
  P1: () => import('./cases/one-way.js'),
  P2: () => import('./cases/round-trip.js'),
  P3: () => import('./cases/set-up.js'),
  P4: () => import('./cases/message-node.js'),
  P5: () => import('./cases/command-start.js'),
  P6: () => import('./cases/pipeline.js'),
  P9: () => import('./cases/memory.js'),
  P10: () => import('./cases/deployment.js'),
  P11: () => import('./cases/sandbox-hop.js'),
  P12: () => import('./cases/rest.js'),
  P13: () => import('./cases/delivery.js'),
  P15: () => import('./cases/file.js'),
};

const { values: flags } = parseArgs({
  options: { json: { type: 'boolean' }, quick: { type: 'boolean' }, only: { type: 'string', multiple: true }, help: { type: 'boolean' } },
});
const wanted = flags.only?.flatMap((names) => names.toUpperCase().split(',')) ?? Object.keys(CASES);
const unknown = wanted.filter((name) => !(name in CASES));
if (flags.help || unknown.length > 0) {
  process.stderr.write(`${unknown.map((name) => `no benchmark ${name}\n`).join('')}npm run bench -- [--quick] [--json] [--only NAME]…   NAME: ${Object.keys(CASES).join(', ')}\n`);
  process.exit(unknown.length > 0 ? 2 : 0);
}

/** Amount of measurement: rounds per comparison, milliseconds per burst, attempts, and the maximum duration of a case. */
const scale = flags.quick
  ? { rounds: 2, burstMs: 400, roundTrips: 500, setUps: 8, commands: 5, lines: 30_000, fileMb: 40, sessions: 200, limitMs: 30_000 }
  : { rounds: 5, burstMs: 1000, roundTrips: 2000, setUps: 30, commands: 15, lines: 150_000, fileMb: 200, sessions: 1000, limitMs: 120_000 };

/** Runs one case within its time limit. All its processes are gone when this settles. */
const measure = async (name) => {
  const { measure: run } = await CASES[name]();
  const parties = new Parties();
  const stop = () => { parties.kill(); };
  process.once('exit', stop);
  let timer;
  try {
    const late = new Promise((_, reject) => { timer = setTimeout(reject, scale.limitMs, new Error(`not done within ${scale.limitMs / 1000} s`)); });
    return (await Promise.race([run(parties, scale), late])).map((row) => ({ name, ...row, verdict: verdictOf(row) }));
  } catch (thrown) {
    process.exitCode = 1;
    return [{ name, what: `not measured: ${thrown.message.split('\n')[0]}`, verdict: 'failed' }];
  } finally {
    clearTimeout(timer);
    await parties.close();
    process.off('exit', stop);
  }
};

process.on('SIGINT', () => { process.exit(130); });
process.on('SIGTERM', () => { process.exit(143); });

const machine = { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), platform: `${process.platform} ${process.arch}`, node: process.version };
const started = Date.now();
const rows = [];
for (const name of wanted) {
  if (!flags.json) process.stderr.write(`${name} …\n`);
  rows.push(...(await measure(name)));
}
const seconds = Math.round((Date.now() - started) / 1000);
process.stdout.write(flags.json ? `${JSON.stringify({ machine, seconds, rows }, null, 2)}\n` : `${table(rows)}\n\n${machine.cpu}, ${machine.cores} cores, ${machine.platform}, Node ${machine.node}; ${seconds} s\n`);
