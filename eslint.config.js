// Besides the usual checks this file is where the import borders of docs/architecture.md are enforced.
import tseslint from 'typescript-eslint';

/** `from` (a folder of src/) may import nothing of `banned`: folders of src/, or packages. */
const border = (from, banned, why) => ({
  files: [`src/${from}/**/*.ts`],
  rules: {
    'no-restricted-imports': ['error', {
      patterns: [
        ...banned.filter((name) => !name.startsWith('pkg:')).map((name) => ({
          group: [`../${name}/**`, `../../${name}/**`, `../../../${name}/**`],
          message: `${from}/ never imports ${name}/: ${why}`,
        })),
        ...banned.filter((name) => name.startsWith('pkg:')).map((name) => ({
          group: [name.slice(4), `${name.slice(4)}/**`],
          message: `${from}/ never imports ${name.slice(4)}: ${why}`,
        })),
      ],
    }],
  },
});

const folders = ['link', 'bus', 'store', 'runtime', 'protostubs', 'domain-server', 'control', 'commands', 'daemon'];
const allBut = (...allowed) => folders.filter((name) => !allowed.includes(name));
const native = ['pkg:node-datachannel', 'pkg:lmdb'];

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', '.tap/', 'examples/**/dist/'] },
  ...tseslint.configs.strict,
  {
    files: ['src/**/*.ts', 'test/**/*.ts', 'bench/**/*.ts'],
    languageOptions: { parserOptions: { project: './tsconfig.check.json' } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: false }],
      '@typescript-eslint/switch-exhaustiveness-check': 'error',
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
  border('protocol', [...folders, 'pkg:node:*', ...native], 'the vocabulary stands alone and runs anywhere'),
  border('link', [...allBut('link'), ...native], 'links carry messages, they know nothing else'),
  border('bus', [...allBut('bus'), ...native], 'the bus imports protocol only'),
  border('store', [...allBut('store'), 'pkg:node-datachannel'], 'a store knows nothing of what it keeps'),
  border('runtime', [...allBut('runtime', 'link', 'bus', 'store'), ...native], 'the node knows neither servers nor terminals'),
  border('protostubs', [...allBut('protostubs'), 'pkg:node:*', 'pkg:ws', ...native], 'a stub is one self-contained file: protocol, and what the sandbox hands in'),
  border('domain-server', [...allBut('domain-server', 'link', 'bus', 'store'), ...native], 'the server knows no runtime'),
  border('control', [...allBut('control', 'link'), ...native], 'the CLI\'s side of the daemon loads fast and holds no state'),
  border('commands', [...allBut('commands', 'control'), ...native, 'pkg:ws'], 'a command parses, calls one function, prints'),
  border('daemon', ['commands', ...native], 'a daemon composes a process'),
  { files: ['src/store/lmdb/**/*.ts'], rules: { 'no-restricted-imports': ['error', { patterns: [{ group: ['../../!(store|protocol)/**'], message: 'a store knows nothing of what it keeps' }] }] } },
  { files: ['src/runtime/sandbox/webrtc/**/*.ts'], rules: { 'no-restricted-imports': 'off' } },
  { files: ['**/*.js'], languageOptions: { globals: { process: 'readonly', console: 'readonly', URL: 'readonly', Buffer: 'readonly', setTimeout: 'readonly', clearTimeout: 'readonly' } } },
);
