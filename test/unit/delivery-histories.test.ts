import fc from 'fast-check';
import t from 'tap';
import { historiesOf, THEMES } from '../support/histories/arbitrary.js';
import { describe } from '../support/histories/history.js';
import { Player } from '../support/histories/player.js';

const player = new Player();
t.teardown(() => player.close());

/** Number of histories, for all themes together: some 20 s on an idle core by default. */
const RUNS = Number(process.env['PROTOFLY_HISTORIES'] ?? 420);
/** The same histories each time, so that a commit is judged by its changes. Set another seed to search for more faults. */
const SEED = Number(process.env['FAST_CHECK_SEED'] ?? 20_261_128);
/** Upper bound for one history, in milliseconds. A history takes some 30 ms on an idle core. */
const SLOWEST_MS = 1000;
/** Maximum number of trace lines: a few screens. */
const MAX_LINES = 200;

for (const theme of THEMES) {
  t.test(`FLW-1 FLW-2 FLW-5 FLW-6 MAL-3 MAL-5 MAL-6 EXP-6 what is promised holds: histories about ${theme}`, { timeout: 300_000 + RUNS * SLOWEST_MS }, async (t) => {
    t.comment(`seed ${String(SEED)}`);
    const property = fc.asyncProperty(historiesOf(theme), async (history) => {
      const { faults } = await player.play(history);
      if (faults.length > 0) throw new Error(faults.join('\n'));
    });
    const { failed, numRuns, counterexample, counterexamplePath } = await fc.check(property, { numRuns: Math.ceil(RUNS / THEMES.length), seed: SEED });
    if (!failed || counterexample === null) { t.pass(`${String(numRuns)} histories`); return; }
    const [history] = counterexample;
    const { faults, trace } = await player.play(history, { traced: true });
    t.comment([describe(history), ...trace.slice(0, MAX_LINES)].join('\n'));
    t.fail(`seed ${String(SEED)}, path ${counterexamplePath ?? ''}: ${faults.join('; ')}`);
  });
}
