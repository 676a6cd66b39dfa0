// The inputs of a build, and the inputs of the last build of dist/.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const dist = join(root, 'dist');
/** Folder of the build's own files. */
export const state = join(dist, '.build');
export const stampFile = join(state, 'stamp.json');
export const stubsFolder = join(root, 'src/protostubs');

export const filesBelow = (folder) =>
  existsSync(folder)
    ? readdirSync(folder, { withFileTypes: true, recursive: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath ?? entry.path, entry.name)).sort()
    : [];

export const readJson = (file) => {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return undefined;
  }
};

/** Lists the inputs of the build: path → size and modification time. */
export const takeStock = () => {
  const stock = {};
  for (const file of [...filesBelow(join(root, 'src')), ...['package.json', 'tsconfig.json', 'scripts/build.js', 'scripts/build/stock.js'].map((name) => join(root, name))]) {
    const { size, mtimeMs } = statSync(file, { throwIfNoEntry: false }) ?? { size: 0, mtimeMs: 0 };
    stock[relative(root, file)] = `${size} ${mtimeMs}`;
  }
  return stock;
};

/** Returns the inputs of the last successful build, or an empty object. */
export const stockOfLastBuild = () => readJson(stampFile) ?? {};

export const changedIn = (before, now, ...prefixes) =>
  [...new Set([...Object.keys(before), ...Object.keys(now)])].some((file) => before[file] !== now[file] && prefixes.some((prefix) => file.startsWith(prefix)));

/** Returns the names of all stubs: folders of src/protostubs with a descriptor.json. A stub's module is its index.ts. */
export const stubNames = () =>
  readdirSync(stubsFolder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(stubsFolder, entry.name, 'descriptor.json')))
    .map((entry) => entry.name);

/** True if a build would change nothing. */
export const isUpToDate = (before = stockOfLastBuild(), now = takeStock()) =>
  !changedIn(before, now, '') && stubNames().every((name) => existsSync(join(dist, 'protostubs', `${name}.js`)));
