import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ESLint } from 'eslint';
import t from 'tap';
import ts from 'typescript';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const RULE = 'protofly/borders';

/** Only the import borders, for files that needn't exist. */
const eslint = new ESLint({
  cwd: ROOT,
  ruleFilter: ({ ruleId }) => ruleId === RULE,
  overrideConfig: [{ files: ['**/*.ts'], languageOptions: { parserOptions: { project: null } } }],
});

const complaints = async (file: string, text: string): Promise<readonly string[]> => {
  const results = await eslint.lintText(text, { filePath: join(ROOT, file) });
  return results.flatMap(({ messages }) => messages.map(({ ruleId, severity, message }) => (ruleId === RULE && severity === 2 ? RULE : `${String(ruleId)}: ${message}`)));
};

/** Forbidden imports, at various depths. */
const FORBIDDEN: readonly (readonly [file: string, imported: string])[] = [
  ['src/commands/send.ts', '../runtime/index.js'],
  ['src/commands/msg/send.ts', '../../runtime/runtime.js'],
  ['src/commands/msg/more/and/more/send.ts', '../../../../../runtime/p2p/connections.js'],
  ['src/commands/msg/send.ts', '../../link/link.js'],
  ['src/commands/msg/send.ts', '../../bus/index.js'],
  ['src/commands/msg/send.ts', '../../daemon/runtime.js'],
  ['src/commands/msg/send.ts', '../../index.js'],
  ['src/commands/index.ts', '../runtime/index.js'],
  ['src/commands/msg/send.ts', 'ws'],
  ['src/commands/msg/send.ts', 'node:net'],
  ['src/commands/msg/send.ts', 'http'],
  ['src/commands/msg/send.ts', 'lmdb'],
  ['src/commands/msg/send.ts', 'node-datachannel'],
  ['src/commands/msg/send.ts', 'node-datachannel/polyfill'],
  ['src/commands/msg/send.ts', 'protofly'],
  ['src/commands/msg/send.ts', '../../../test/support/vectors.js'],
  ['src/commands/msg/send.ts', '/etc/anything.js'],
  ['src/commands/msg/send.ts', 'file:///etc/anything.js'],
  ['src/protocol/message.ts', 'node:fs'],
  ['src/protocol/message.ts', 'fs'],
  ['src/protocol/message.ts', 'node:fs/promises'],
  ['src/protocol/message.ts', 'pino'],
  ['src/protocol/message.ts', '../link/link.js'],
  ['src/protocol/message.ts', '../index.js'],
  ['src/protocol/deeper/and/deeper.ts', '../../../bus/index.js'],
  ['src/link/link.ts', '../bus/index.js'],
  ['src/link/socket/index.ts', '../../runtime/index.js'],
  ['src/link/mux/a/b/c.ts', '../../../../store/index.js'],
  ['src/bus/bus.ts', '../link/index.js'],
  ['src/bus/bus.ts', '../store/store.js'],
  ['src/bus/bus.ts', 'node:events'],
  ['src/store/memory/index.ts', 'lmdb'],
  ['src/store/store.ts', 'lmdb'],
  ['src/store/index.ts', 'lmdb'],
  ['src/store/lmdb/index.ts', '../../runtime/index.js'],
  ['src/store/lmdb/index.ts', 'node-datachannel'],
  ['src/store/lmdbx/index.ts', 'lmdb'],
  ['src/runtime/runtime.ts', '../domain-server/server.js'],
  ['src/runtime/runtime.ts', '../commands/msg/send.js'],
  ['src/runtime/runtime.ts', '../cli/index.js'],
  ['src/runtime/delivery/flow.ts', '../p2p/connections.js'],
  ['src/runtime/p2p/connections.ts', '../routing/router.js'],
  ['src/sandbox/guard/process.ts', '../inside/host.js'],
  ['src/sandbox/inside/host.ts', '../guard/client.js'],
  ['src/domain-server/shard/registry/registry.ts', '../../edge/http.js'],
  ['src/domain-server/catalogue/catalogue.ts', '../operate/admin.js'],
  ['src/library/node.ts', '../cli/context.js'],
  ['src/client/client.ts', '../cli/context.js'],
  ['src/kit/backoff.ts', '../link/link.js'],
  ['src/runtime/runtime.ts', '../protostubs/p2p-handler/index.js'],
  ['src/runtime/runtime.ts', 'ws'],
  ['src/runtime/runtime.ts', 'node-datachannel'],
  ['src/sandbox/index.ts', 'node-datachannel'],
  ['src/runtime/webrtc/index.ts', 'node-datachannel'],
  ['src/runtime/p2p/deep/er.ts', '../../../cli/index.js'],
  ['src/runtime/hyperties/inbox/index.ts', 'lmdb'],
  ['src/sandbox/inside/webrtc/engine.ts', 'lmdb'],
  ['src/protostubs/p2p-handler/index.ts', '../../runtime/index.js'],
  ['src/protostubs/p2p-handler/index.ts', '../../link/link.js'],
  ['src/protostubs/p2p-handler/index.ts', 'node:crypto'],
  ['src/protostubs/msg-node-websocket/index.ts', 'ws'],
  ['src/protostubs/p2p-handler/index.ts', 'node-datachannel'],
  ['src/domain-server/server.ts', '../runtime/index.js'],
  ['src/domain-server/shard/message-node/index.ts', '../../../client/paths.js'],
  ['src/cli/index.ts', '../runtime/index.js'],
  ['src/cli/index.ts', '../daemon/runtime.js'],
  ['src/cli/index.ts', '../store/index.js'],
  ['src/cli/index.ts', 'lmdb'],
  ['src/daemon/runtime.ts', '../commands/msg/send.js'],
  ['src/daemon/runtime.ts', 'node-datachannel'],
  ['src/index.ts', './daemon/runtime.js'],
  ['src/index.ts', './commands/msg/send.js'],
  ['src/nowhere/declared.ts', '../protocol/index.js'],
  ['src/loose.ts', './protocol/index.js'],
];

const ALLOWED: typeof FORBIDDEN = [
  ['src/commands/msg/send.ts', '../../cli/index.js'],
  ['src/commands/msg/send.ts', '../../protocol/index.js'],
  ['src/commands/msg/send.ts', '../base.js'],
  ['src/commands/msg/send.ts', '@oclif/core'],
  ['src/commands/msg/send.ts', 'node:fs'],
  ['src/client/client.ts', '../link/socket/index.js'],
  ['src/protocol/descriptor.ts', 'zod'],
  ['src/protocol/descriptor.ts', './errors.js'],
  ['src/link/websocket/index.ts', 'ws'],
  ['src/link/socket/index.ts', 'node:net'],
  ['src/link/mux/index.ts', '../link.js'],
  ['src/bus/bus.ts', '../protocol/index.js'],
  ['src/store/lmdb/index.ts', 'lmdb'],
  ['src/store/lmdb/more/index.ts', 'lmdb'],
  ['src/store/lmdb/index.ts', '../store.js'],
  ['src/runtime/services/index.ts', '../p2p/connections.js'],
  ['src/runtime/parts.ts', './routing/router.js'],
  ['src/sandbox/in-process/in-process.ts', '../guard/client.js'],
  ['src/runtime/runtime.ts', '../store/store.js'],
  ['src/sandbox/inside/webrtc/engine.ts', 'node-datachannel'],
  ['src/sandbox/inside/webrtc/engine.ts', '../../../protocol/index.js'],
  ['src/protostubs/p2p-handler/index.ts', '../p2p/index.js'],
  ['src/protostubs/p2p-handler/index.ts', '../../protocol/index.js'],
  ['src/domain-server/server.ts', '../store/lmdb/index.js'],
  ['src/domain-server/edge/http.ts', '../catalogue/catalogue.js'],
  ['src/daemon/runtime.ts', '../runtime/index.js'],
  ['src/daemon/runtime.ts', '../client/paths.js'],
  ['src/index.ts', './library/index.js'],
  ['src/index.ts', './protocol/index.js'],
  ['test/unit/anything.test.ts', '../../src/commands/msg/send.js'],
  ['test/unit/anything.test.ts', 'lmdb'],
];

t.test('imports that cross a border are lint errors', async (t) => {
  for (const [file, imported] of FORBIDDEN) t.strictSame(await complaints(file, `import '${imported}';\n`), [RULE], `${file} importing ${imported}`);
});

t.test('imports that don\'t are none', async (t) => {
  for (const [file, imported] of ALLOWED) t.strictSame(await complaints(file, `import '${imported}';\n`), [], `${file} importing ${imported}`);
});

t.test('a border holds however the import is written', async (t) => {
  const forms = [
    "import x from 'lmdb';", "import * as x from 'lmdb';", "import type { X } from 'lmdb';", "export * from 'lmdb';", "export { x } from 'lmdb';", "export type { X } from 'lmdb';",
    "const x = await import('lmdb');", 'const x = await import(`lmdb`);', "type X = import('lmdb').X;", "import x = require('lmdb');", "const x = require('lmdb');",
  ];
  for (const form of forms) t.strictSame(await complaints('src/commands/msg/send.ts', `${form}\n`), [RULE], form);
  t.strictSame(await complaints('src/commands/msg/send.ts', "export const x = 'lmdb';\n// import 'lmdb';\n"), [], 'a word is no import');
});

/** Returns the imports of each file within a folder, types included. */
const importGraph = (folder: string, read: (file: string) => string, files: readonly string[]): Map<string, string[]> => {
  const known = new Set(files);
  return new Map(files.map((file) => {
    const imported = ts.preProcessFile(read(file), true, true).importedFiles.map(({ fileName }) => fileName).filter((name) => name.startsWith('.'));
    return [file, imported.map((name) => relative(folder, resolve(folder, dirname(file), name)).replaceAll('\\', '/').replace(/\.js$/, '.ts')).filter((name) => known.has(name))];
  }));
};

/** Finds a cycle in a graph, from a file to itself; undefined if there is none. */
const findCycle = (graph: ReadonlyMap<string, readonly string[]>): readonly string[] | undefined => {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): readonly string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    for (const next of graph.get(file) ?? []) {
      const cycle = visit(next, [...path, file]);
      if (cycle !== undefined) return cycle;
    }
    done.add(file);
    return undefined;
  };
  for (const file of graph.keys()) {
    const cycle = visit(file, []);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
};

t.test('there are no import cycles in src/, not even of types', async (t) => {
  const src = join(ROOT, 'src');
  const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts')).map((name) => name.replaceAll('\\', '/'));
  const graph = importGraph(src, (file) => readFileSync(join(src, file), 'utf8'), files);
  t.ok([...graph.values()].flat().length > files.length / 2, `${String(files.length)} files were understood`);
  t.ok(graph.get('bus/bus.ts')?.includes('protocol/index.ts'), 'the bus imports the vocabulary');
  t.equal(findCycle(graph)?.join(' → '), undefined);
});

t.test('the search for cycles finds them', async (t) => {
  const cycleOf = (sources: Record<string, string>): readonly string[] | undefined => findCycle(importGraph('/', (file) => sources[file] ?? '', Object.keys(sources)));
  t.strictSame(cycleOf({ 'a.ts': "import './b/index.js';", 'b/index.ts': "export * from './c.js';", 'b/c.ts': "import type { A } from '../a.js';" }), ['a.ts', 'b/index.ts', 'b/c.ts', 'a.ts']);
  t.strictSame(cycleOf({ 'a.ts': "import './a.js';" }), ['a.ts', 'a.ts']);
  t.strictSame(cycleOf({ 'x.ts': "import './a.js';", 'a.ts': "const b = await import('./b.js');", 'b.ts': "type A = import('./a.js').A;" }), ['a.ts', 'b.ts', 'a.ts']);
  t.equal(cycleOf({ 'a.ts': "import './b.js'; import './c.js';", 'b.ts': "import './d.js';", 'c.ts': "import './d.js'; // import './a.js'", 'd.ts': "import 'a.js';" }), undefined, 'a diamond is none');
});

t.test('every folder of src/ has its borders written down', async (t) => {
  const page = readFileSync(join(ROOT, 'docs/architecture.md'), 'utf8');
  for (const entry of readdirSync(join(ROOT, 'src'), { withFileTypes: true })) {
    const name = entry.isDirectory() ? entry.name : 'index.ts';
    t.ok(entry.isDirectory() || entry.name === 'index.ts', `src/${entry.name} has a place`);
    t.ok(page.includes(`\`src/${name}\``), `docs/architecture.md tells of src/${name}`);
    const file = entry.isDirectory() ? `src/${name}/x.ts` : `src/${name}`;
    t.strictSame(await complaints(file, `import '${entry.isDirectory() ? '..' : '.'}/protocol/index.js';\n`), [], `the borders know src/${name}`);
  }
});
