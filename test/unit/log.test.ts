import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { openLog } from '../../src/daemon/log.js';
import { smallDisk, withoutSmallDisk } from '../support/small-disk.js';

interface Entry {
  readonly level: number;
  readonly msg: string;
}

t.test('a log without room ends nothing: what fits waits, the rest is counted', { skip: withoutSmallDisk() }, async (t) => {
  const disk = await smallDisk(t, 2);
  const file = join(disk.path, 'logs', 'runtime.log');
  const { log } = openLog(file);
  log('info', 'before');
  disk.fill();
  for (let i = 0; i < 3000; i += 1) log('info', `full ${String(i)} ${'x'.repeat(200)}`);
  await turn();
  disk.free();
  log('warn', 'after');
  await turn();
  const entries = readFileSync(file, 'utf8').trim().split('\n').map((line) => JSON.parse(line) as Entry);
  const texts = entries.map(({ msg }) => msg);
  t.equal(texts[0], 'before');
  t.equal(texts.at(-1), 'after');
  t.match(texts.at(-2), /^\d+ lines are missing here: there was no room for them$/);
  const missing = Number.parseInt(texts.at(-2) ?? '', 10);
  t.ok(missing > 100);
  // One line less: that one reports the number.
  t.equal(entries.length - 1 + missing, 3002, 'every line is there or counted');
  t.same(texts.slice(1, 3), ['full 0 ', 'full 1 '].map((text) => text + 'x'.repeat(200)), 'in order');
});

t.test('a device that is always full', { skip: existsSync('/dev/full') ? false : 'there is no /dev/full' }, async (t) => {
  const { log, logger } = openLog('/dev/full');
  for (let i = 0; i < 5000; i += 1) log('info', 'x'.repeat(200));
  await turn();
  logger.warn('still here');
  t.pass();
});
