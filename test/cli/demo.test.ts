import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ended } from '../support/cli.js';

/** Tests `npm run demo`, the first command that a newcomer runs. */
const DEMO = fileURLToPath(new URL('../../scripts/demo.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pf-'));
t.teardown(() => { rmSync(folder, { recursive: true, force: true }); });

const start = () => spawn(process.execPath, [DEMO], { env: { PATH: process.env['PATH'], TMPDIR: folder }, stdio: ['ignore', 'pipe', 'pipe'] });

t.test('every step happens, it says so without colour, and nothing is left behind', async (t) => {
  const { code, stdout, stderr } = await ended(start());
  t.equal(code, 0, stderr);
  for (const step of Array.from({ length: 10 }, (_, index) => String(index + 1))) t.match(stdout, new RegExp(` ${step}\\. `));
  t.match(stdout, /message node ──▶.*\n[\s\S]*P2P ══[\s\S]*kill -9 \d+\n.*message node ──▶.*\n.*P2P ══/);
  t.match(stdout, /none lost, none twice, all in order/);
  t.notMatch(stdout, '\u001b');
  t.same(readdirSync(folder), []);
});

t.test('Ctrl-C in the middle: it ends with 130, and nothing is left behind', async (t) => {
  const child = start();
  const over = ended(child);
  await once(child.stdout, 'data');
  child.kill('SIGINT');
  const { code, stderr } = await over;
  t.equal(code, 130);
  t.match(stderr, /SIGINT/);
  t.same(readdirSync(folder), []);
});
