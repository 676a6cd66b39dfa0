// Besides the usual checks this file is where the import borders of docs/architecture.md are enforced.
import { isBuiltin } from 'node:module';
import { posix, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import tseslint from 'typescript-eslint';

/** Which folders of src/ a folder may import. `index.ts` is src/index.ts itself. Nobody imports that one. */
const MAY_IMPORT = {
  protocol: [],
  kit: ['protocol'],
  security: ['protocol'],
  link: ['protocol', 'kit'],
  bus: ['protocol'],
  store: ['protocol', 'security'],
  sandbox: ['protocol', 'kit', 'link', 'bus'],
  runtime: ['protocol', 'kit', 'link', 'bus', 'store', 'security', 'sandbox'],
  protostubs: ['protocol', 'kit'],
  'domain-server': ['protocol', 'kit', 'link', 'store', 'security'],
  client: ['protocol', 'kit', 'link'],
  daemon: ['protocol', 'kit', 'security', 'link', 'store', 'sandbox', 'runtime', 'domain-server', 'client'],
  library: ['protocol', 'kit', 'security', 'link', 'store', 'runtime', 'client'],
  cli: ['protocol', 'kit', 'security', 'link', 'client'],
  commands: ['protocol', 'client', 'cli'],
  'index.ts': ['protocol', 'store', 'domain-server', 'library'],
};

/** The rooms inside a folder, and which others of that folder each may import. Files beside the rooms may import all. */
const ROOMS = {
  runtime: {
    identity: [], contacts: [], network: [], ice: [], objects: [], directory: [],
    delivery: [],
    stubs: ['ice', 'delivery'],
    nodes: ['identity', 'delivery', 'stubs'],
    p2p: ['identity', 'delivery', 'ice', 'stubs', 'nodes'],
    hyperties: ['identity', 'delivery', 'nodes', 'p2p'],
    routing: ['delivery', 'stubs', 'nodes', 'p2p', 'hyperties', 'directory'],
    services: ['identity', 'contacts', 'nodes', 'stubs', 'p2p', 'hyperties', 'directory', 'routing'],
  },
  sandbox: { contract: [], guard: ['contract'], inside: ['contract'], 'in-process': ['contract', 'guard', 'inside'] },
  'domain-server': { shard: [], publisher: [], ice: ['shard'], catalogue: ['shard'], edge: ['shard', 'catalogue', 'publisher'], operate: ['shard', 'catalogue', 'publisher'] },
};

/** Folders that stand alone, and the only packages that they may import. */
const ONLY_PACKAGES = { protocol: ['zod'], protostubs: [], bus: [], kit: [] };

/** Packages and built-in modules that only these folders may import. */
const NETWORK = ['link', 'domain-server', 'sandbox/inside'];
const HOME_OF = {
  'node-datachannel': ['sandbox/inside/webrtc'],
  lmdb: ['store/lmdb'],
  'quickjs-emscripten-core': ['sandbox/inside/interpreter'],
  '@jitl/quickjs-wasmfile-release-sync': ['sandbox/inside/interpreter'],
  jose: ['security'],
  undici: ['link/web'],
  'ipaddr.js': ['link/web'],
  ...Object.fromEntries(['ws', 'node:net', 'node:tls', 'node:http', 'node:https', 'node:http2'].map((name) => [name, NETWORK])),
  'node:dgram': ['runtime/p2p/stun'],
  '@oclif/core': ['commands', 'cli'],
  inquirer: ['commands', 'cli'],
  conf: ['cli'],
  uqr: ['cli'],
};

const SRC = fileURLToPath(new URL('./src/', import.meta.url));
const isIn = (file, folder) => file.startsWith(`${folder}/`);

/** What is wrong with a file of a room importing `target` in the same folder; undefined when nothing is. */
const roomObjection = (file, target) => {
  const [folder, room, ...rest] = file.split('/');
  const [, other, ...others] = target.split('/');
  const rooms = ROOMS[folder];
  if (rooms === undefined || rest.length === 0 || others.length === 0 || room === other) return undefined;
  return rooms[room]?.includes(other) ? undefined : `src/${folder}/${room} never imports src/${folder}/${other}`;
};

/** What is wrong with `file` (a path in src/) importing `specifier`; undefined when nothing is. */
const objection = (file, specifier) => {
  const [from] = file.split('/');
  if (specifier.startsWith('.') || specifier.startsWith('/') || specifier.startsWith('file:')) {
    const target = posix.join(posix.dirname(file), specifier);
    if (!specifier.startsWith('.') || target.startsWith('..')) return `src/ imports nothing from outside of it: ${specifier}`;
    const [to] = target.replace(/^index\.js$/, 'index.ts').split('/');
    if (to === from && to !== 'index.ts') return roomObjection(file, target);
    return MAY_IMPORT[from]?.includes(to) ? undefined : `src/${from} never imports src/${to}`;
  }
  const [scope, rest] = specifier.split('/');
  const name = isBuiltin(specifier) ? `node:${scope.replace(/^node:/, '')}` : scope.startsWith('@') ? `${scope}/${rest}` : scope;
  if (name === 'protofly') return 'src/ imports itself by relative paths';
  if (ONLY_PACKAGES[from] !== undefined && !ONLY_PACKAGES[from].includes(name)) return `src/${from} stands alone: it never imports ${name}`;
  const home = HOME_OF[name];
  return home === undefined || home.some((folder) => isIn(file, folder)) ? undefined : `only src/${home.join(', src/')} may import ${name}`;
};

const literal = (node) => (node?.type === 'Literal' ? node.value : node?.type === 'TemplateLiteral' && node.expressions.length === 0 ? node.quasis[0].value.cooked : undefined);

const borders = {
  meta: { type: 'problem', schema: [], messages: { border: '{{why}} (docs/architecture.md)' } },
  create(context) {
    const file = relative(SRC, context.filename).replaceAll('\\', '/');
    if (file.startsWith('..')) return {};
    const check = (node, source) => {
      const specifier = literal(source);
      const why = typeof specifier === 'string' ? objection(file, specifier) : undefined;
      if (why !== undefined) context.report({ node, messageId: 'border', data: { why } });
    };
    return {
      'ImportDeclaration, ExportNamedDeclaration, ExportAllDeclaration, ImportExpression': (node) => { check(node, node.source); },
      TSImportType: (node) => { check(node, node.source ?? node.argument?.literal ?? node.argument); },
      TSExternalModuleReference: (node) => { check(node, node.expression); },
      'CallExpression[callee.name="require"]': (node) => { check(node, node.arguments[0]); },
    };
  },
};

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', '.tap/', 'examples/**/dist/'] },
  ...tseslint.configs.strict,
  { rules: { 'no-use-before-define': ['error', { functions: false, classes: false, variables: false }] } },
  {
    files: ['src/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts'],
    languageOptions: { parserOptions: { project: './tsconfig.check.json' } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: false }],
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/no-invalid-void-type': 'off',
      '@typescript-eslint/no-extraneous-class': 'off',
      '@typescript-eslint/no-dynamic-delete': 'off',
      'no-console': 'error',
    },
  },
  {
    files: ['test/**/*.ts', 'bench/**/*.ts'],
    rules: {
      'no-console': 'off',
      // tap waits for its subtests itself.
      '@typescript-eslint/no-floating-promises': ['error', { allowForKnownSafePromises: [{ from: 'package', package: '@tapjs/core', name: 'PromiseWithSubtest' }] }],
    },
  },
  { files: ['src/**/*.ts'], plugins: { protofly: { rules: { borders } } }, rules: { 'protofly/borders': 'error' } },
  { files: ['**/*.js'], languageOptions: { globals: { process: 'readonly', console: 'readonly', URL: 'readonly', Buffer: 'readonly', setTimeout: 'readonly', clearTimeout: 'readonly' } } },
  { files: ['bin/*.js', '**/*.cjs'], languageOptions: { sourceType: 'commonjs', globals: { require: 'readonly', __dirname: 'readonly' } }, rules: { '@typescript-eslint/no-require-imports': 'off' } },
);
