// What a build depends on, and what dist/ was last built from.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const dist = join(root, 'dist');
/** Where the build keeps its own things. */
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

/** What the build depends on: path → size and time of change. */
export const takeStock = () => {
  const stock = {};
  for (const file of [...filesBelow(join(root, 'src')), ...['package.json', 'tsconfig.json', 'scripts/build.js', 'scripts/build/stock.js'].map((name) => join(root, name))]) {
    const { size, mtimeMs } = statSync(file, { throwIfNoEntry: false }) ?? { size: 0, mtimeMs: 0 };
    stock[relative(root, file)] = `${size} ${mtimeMs}`;
  }
  return stock;
};

/** The stock of the last build that succeeded; nothing where there was none. */
export const stockOfLastBuild = () => readJson(stampFile) ?? {};

export const changedIn = (before, now, ...prefixes) =>
  [...new Set([...Object.keys(before), ...Object.keys(now)])].some((file) => before[file] !== now[file] && prefixes.some((prefix) => file.startsWith(prefix)));

/** A folder of src/protostubs with a descriptor.json is a stub; its index.ts is the module. */
export const stubNames = () =>
  readdirSync(stubsFolder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(stubsFolder, entry.name, 'descriptor.json')))
    .map((entry) => entry.name);

/** Whether dist/ is what a build would make now. */
export const isUpToDate = (before = stockOfLastBuild(), now = takeStock()) =>
  !changedIn(before, now, '') && stubNames().every((name) => existsSync(join(dist, 'protostubs', `${name}.js`)));
