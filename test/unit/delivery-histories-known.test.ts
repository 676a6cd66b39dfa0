import t from 'tap';
import { describe } from '../support/histories/history.js';
import { KNOWN } from '../support/histories/known.js';
import { Player } from '../support/histories/player.js';

const player = new Player();
t.teardown(() => player.close());

/** Maximum number of trace lines: a few screens. */
const MAX_LINES = 100;

for (const { name, history } of KNOWN) {
  t.test(name, async (t) => {
    const { faults } = await player.play(history);
    if (faults.length > 0) {
      const { trace } = await player.play(history, { traced: true });
      t.comment([describe(history), ...trace.slice(0, MAX_LINES)].join('\n'));
    }
    t.same(faults, []);
  });
}
