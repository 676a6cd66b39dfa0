import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8');
const filesOf = (folder: string): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts')).map((name) => `${folder}/${name}`);

const page = read('docs/protocol.md');
const rules = [...page.matchAll(/\*\*([A-Z][A-Z0-9]{2}-\d+)\*\*/g)].map(([, id = '']) => id);

t.test('every rule of docs/protocol.md has an id of its own', async (t) => {
  t.ok(rules.length > 60, `${String(rules.length)} rules`);
  t.strictSame(rules.filter((id, index) => rules.indexOf(id) !== index), []);
});

t.test('the rules that tests quote exist', async (t) => {
  const families = new Set(rules.map((id) => id.slice(0, 3)));
  const quoted = filesOf('test').flatMap((file) => [...read(file).matchAll(/\b([A-Z][A-Z0-9]{2})-\d+\b/g)].filter(([, family = '']) => families.has(family)).map(([id]) => ({ file, id })));
  t.ok(quoted.length > 20, `${String(quoted.length)} quotations`);
  t.strictSame(quoted.filter(({ id }) => !rules.includes(id)), []);
});

t.test('the headings that comments point to exist', async (t) => {
  const pointers = filesOf('src').flatMap((file) => [...read(file).matchAll(/docs\/([a-z]+)\.md, "([^"]+)"/g)].map(([, name = '', heading = '']) => ({ file, name, heading })));
  t.ok(pointers.length > 5, `${String(pointers.length)} pointers`);
  const missing = pointers.filter(({ name, heading }) => {
    const text = read(`docs/${name}.md`);
    // Finds a heading, or a paragraph that begins with its name in bold.
    return !new RegExp(`^(#+ ${heading}$|\\*\\*${heading}\\.\\*\\*)`, 'm').test(text);
  });
  t.strictSame(missing, []);
});
