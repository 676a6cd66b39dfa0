import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ended, withHome } from '../support/cli.js';

/** Runs the programs of docs/library.md as a reader would: with the built package, in a folder of their own. */
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const EXAMPLE = /^## (?<title>.+)\n(?:(?!^##|^```)[^\n]*\n)*^```js\n(?<code>[\s\S]*?)^```\n^```text\n(?<printed>[\s\S]*?)^```$/gm;

const page = readFileSync(join(ROOT, 'docs/library.md'), 'utf8');
const examples = [...page.matchAll(EXAMPLE)].map(({ groups }) => groups as { readonly title: string; readonly code: string; readonly printed: string });

const home = withHome(t);
const folder = mkdtempSync(join(tmpdir(), 'pf-docs-'));
let domain = '';

t.before(async () => {
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(ROOT, join(folder, 'node_modules', 'protofly'), 'dir');
  domain = await home.domain();
  await home.runtime('bob', domain);
});
t.teardown(() => { rmSync(folder, { recursive: true, force: true }); });

t.equal(examples.length, page.match(/^```js$/gm)?.length, 'every program of the page was found, with what it prints');

for (const [index, { title, code, printed }] of examples.entries()) {
  t.test(`"${title}" prints what the page says`, async (t) => {
    const file = join(folder, `${String(index)}.mjs`);
    writeFileSync(file, code);
    const ran = await ended(spawn(process.execPath, [file], { env: { PATH: process.env['PATH'], PROTOFLY_HOME: home.path, DOMAIN: domain }, timeout: 30_000 }));
    t.equal(ran.stderr, '');
    t.equal(ran.stdout, printed);
    t.equal(ran.code, 0, 'and ends by itself');
  });
}
