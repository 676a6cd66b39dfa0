/**
 * How tap's TypeScript loader (ts-node, see tsconfig.json) gets the JavaScript of a file: of src/ what the build has made
 * of it, which is up to date (ensure.js); of others what TypeScript makes of them. Making it anew for each test file took
 * longer than most tests.
 */
const { readFileSync } = require('node:fs');
const { join, relative, resolve } = require('node:path');

const root = resolve(__dirname, '../..');

/** What the build has made of a file of src/; undefined when there is none. */
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
