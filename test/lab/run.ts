import { mkdirSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { LabMissing, leftovers, requireLab, runScenario, SCENARIOS, type Result, type Scenario } from './index.js';
import { report } from './report.js';

/** Exit code if the lab can't run here: neither success nor failure. */
const CANT_RUN = 77;
const LOGS = 'dist/.build/lab-logs';
const USAGE = 'npm run lab -- [--only NAME]… [--quick] [--json] [--list]   NAME may be the beginning of several names';

const main = async (): Promise<number> => {
  const { values: flags } = parseArgs({
    options: { only: { type: 'string', multiple: true }, quick: { type: 'boolean' }, json: { type: 'boolean' }, list: { type: 'boolean' }, help: { type: 'boolean' } },
  });
  const wanted = SCENARIOS.filter(({ name, quick }) => (flags.only === undefined ? flags.quick !== true || quick === true : flags.only.some((start) => name.startsWith(start))));
  if (flags.help === true || wanted.length === 0) { process.stderr.write(`${USAGE}\n`); return wanted.length === 0 ? 2 : 0; }
  if (flags.list === true) { process.stdout.write(wanted.map(({ name, what }) => `${name}\t${what}\n`).join('')); return 0; }
  await requireLab();
  for (const name of await leftovers()) process.stderr.write(`removed ${name}, which an earlier run has left\n`);
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => { interrupted.abort(); });
  const started = Date.now();
  const results = await playAll(wanted, interrupted.signal);
  const seconds = Math.round((Date.now() - started) / 1000);
  const failed = results.filter(({ objections }) => objections.length > 0).length;
  process.stdout.write(flags.json === true
    ? `${JSON.stringify({ seconds, results: results.map(({ logs: _, ...rest }) => rest) }, null, 2)}\n`
    : `${report(results)}\n\n${String(results.length - failed)} held, ${String(failed)} failed; ${String(seconds)} s\n`);
  return interrupted.signal.aborted ? 130 : failed > 0 ? 1 : 0;
};

/** Maximum number of worlds that only wait for copies while another is played. */
const MOST_WAITING = 2;

/**
 * Plays scenarios one after the other. A scenario that only waits for copies doesn't hold up the next.
 * @returns the results, in order
 */
const playAll = async (wanted: readonly Scenario[], interrupted: AbortSignal): Promise<Result[]> => {
  const results: Promise<Result>[] = [];
  const waiting = new Set<Promise<Result>>();
  for (const scenario of wanted) {
    while (waiting.size > MOST_WAITING) await Promise.race(waiting);
    if (interrupted.aborted) break;
    process.stderr.write(`${scenario.name}: ${scenario.what} …\n`);
    await new Promise<void>((next) => {
      const result = runScenario(scenario, interrupted, next).then((ended) => {
        process.stderr.write(`${ended.name}: ${ended.objections.length === 0 ? 'held' : `FAILED (${ended.objections.join('; ')})`}, ${ended.seconds.toFixed(1)} s\n`);
        saveLogs(ended);
        return ended;
      }).finally(() => {
        waiting.delete(result);
        next();
      });
      waiting.add(result);
      results.push(result);
    });
  }
  return Promise.all(results);
};

/** Saves the logs of a failed scenario in the build's own folder. */
const saveLogs = ({ name, logs }: Result): void => {
  if (logs === undefined) return;
  mkdirSync(LOGS, { recursive: true });
  for (const [who, text] of Object.entries(logs)) writeFileSync(`${LOGS}/${name}.${who}.log`, text);
  process.stderr.write(`logs of ${name}: ${LOGS}\n`);
};

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`${(error as Error).message}\n`);
  return error instanceof LabMissing ? CANT_RUN : 1;
});
