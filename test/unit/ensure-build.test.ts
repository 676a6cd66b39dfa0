import '../support/bare-children.js';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';

/** Tests the module that tap loads before each test file, in a project of its own. */
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const GUARD = 'scripts/build/ensure.js';
const STOCK = 'scripts/build/stock.js';
const BUILD = `
import { mkdirSync, writeFileSync } from 'node:fs';
import { stampFile, state, takeStock } from './build/stock.js';
mkdirSync(state, { recursive: true });
writeFileSync(stampFile, JSON.stringify(takeStock()));
console.log('built');
`;

const project = (t: Test) => {
  const folder = mkdtempSync(join(tmpdir(), 'pf-built-'));
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }); });
  const write = (name: string, text: string): void => {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  };
  for (const name of [GUARD, STOCK]) cpSync(join(ROOT, name), join(folder, name));
  write('package.json', '{"type": "module"}');
  write('scripts/build.js', BUILD);
  write('src/protostubs/README', '');
  /** Runs a test file in the project. @returns its exit code, and the output of it and the build */
  const run = (): readonly [number | null, string] => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [`--import=./${GUARD}`, '-e', 'console.log("tested")'], { cwd: folder, encoding: 'utf8' });
    return [status, stderr + stdout];
  };
  return { write, run };
};

t.test('this file was loaded after it', (t) => {
  t.ok(process.execArgv.some((argument) => argument.endsWith(GUARD)), '.taprc names it');
  t.end();
});

t.test('dist/ is built before a test file runs, when a source has changed since', (t) => {
  const { write, run } = project(t);
  write('src/one.ts', 'export const one = 1;');
  t.same(run(), [0, 'built\ntested\n'], 'there was none');
  t.same(run(), [0, 'tested\n'], 'nothing has changed');
  write('src/one.ts', 'export const one = "one";');
  t.same(run(), [0, 'built\ntested\n'], 'a source has changed');
  write('src/two.ts', 'export const two = 2;');
  t.same(run(), [0, 'built\ntested\n'], 'there is another');
  t.end();
});

t.test('no test file runs with an old dist/ when the build fails', (t) => {
  const { write, run } = project(t);
  write('scripts/build.js', 'console.log("src/one.ts: a mistake"); process.exitCode = 1;');
  const [code, text] = run();
  t.equal(code, 1);
  t.match(text, /src\/one\.ts: a mistake[^]*the build fails: old commands and sandboxes would run/);
  t.notMatch(text, /tested/);
  t.end();
});
