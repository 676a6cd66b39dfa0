/**
 * Provides JavaScript to tap's TypeScript loader (ts-node, see tsconfig.json). For src/, it takes the build's
 * output, which is up to date (ensure.js). For other files it transpiles. Transpiling src/ anew for each test
 * file took longer than most tests.
 */
const { readFileSync } = require('node:fs');
const { join, relative, resolve } = require('node:path');

const root = resolve(__dirname, '../..');

/** Returns the build's output for a file of src/; undefined if there is none. */
const built = (fileName) => {
  const path = relative(join(root, 'src'), fileName);
  if (path.startsWith('..') || !path.endsWith('.ts')) return undefined;
  const file = join(root, 'dist', path.replace(/\.ts$/, '.js'));
  try {
    return { outputText: readFileSync(file, 'utf8'), sourceMapText: readFileSync(`${file}.map`, 'utf8') };
  } catch {
    return undefined;
  }
};

exports.create = ({ service }) => {
  const { ModuleKind, transpileModule } = require('typescript');
  const compilerOptions = { ...service.config.options, module: ModuleKind.ESNext };
  return { transpile: (input, { fileName }) => built(fileName) ?? transpileModule(input, { fileName, compilerOptions }) };
};
