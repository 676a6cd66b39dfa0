/**
 * Builds dist/: compiles everything with tsc, bundles each protostub into one module with a descriptor, bundles
 * the command line's entry and what sandbox processes run, and writes the manifest of the commands. Does nothing if nothing has
 * changed. Continues after errors: builds what it can, prints all errors on stderr and exits with 1.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { changedIn, dist, filesBelow, isUpToDate, readJson, root, stampFile, state, stockOfLastBuild, stubNames, stubsFolder, takeStock } from './build/stock.js';

const lockFile = join(state, 'lock');

const replaceFile = (file, text) => {
  mkdirSync(dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.tmp`;
  writeFileSync(temporary, text);
  renameSync(temporary, file);
};

const isAlive = (pid) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
};

/** Allows one build at a time: waits for another one that is running. */
const lock = async () => {
  mkdirSync(state, { recursive: true });
  const deadline = Date.now() + 120_000;
  for (;;) {
    try {
      writeFileSync(lockFile, String(process.pid), { flag: 'wx' });
      process.on('exit', () => rmSync(lockFile, { force: true }));
      return;
    } catch (error) {
      if (error.code === 'ENOENT') { mkdirSync(state, { recursive: true }); continue; }
      if (error.code !== 'EEXIST') throw error;
    }
    let owner = NaN;
    try { owner = Number(readFileSync(lockFile, 'utf8')); } catch { continue; }
    if (owner > 0 && !isAlive(owner)) rmSync(lockFile, { force: true });
    if (Date.now() > deadline) throw new Error(`another build (process ${owner}) holds ${lockFile}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};

/** Runs a node program. Resolves with its output if it failed. */
const run = (...args) =>
  new Promise((resolve) => {
    const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk) => { text += chunk; });
    child.on('error', (error) => resolve(String(error)));
    child.on('close', (code) => resolve(code === 0 ? '' : text.trim() || `${args[0]} ended with ${code}`));
  });

/** Removes the output of sources that were deleted. */
const removeOrphans = (before, now) => {
  for (const file of Object.keys(before).filter((name) => name.startsWith('src/') && name.endsWith('.ts') && !(name in now))) {
    const made = join(dist, file.slice('src/'.length, -'.ts'.length));
    for (const ending of ['.js', '.js.map', '.d.ts']) rmSync(made + ending, { force: true });
  }
};

const compile = () =>
  run(join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'tsconfig.json'), '--incremental', '--tsBuildInfoFile', join(state, 'tsbuildinfo'), '--pretty', 'false');

const bundle = async (name) => {
  const { build } = await import('esbuild');
  const { outputFiles, metafile } = await build({
    entryPoints: [join(stubsFolder, name, 'index.ts')],
    bundle: true, write: false, metafile: true, format: 'esm', platform: 'neutral', target: 'es2022', charset: 'utf8', legalComments: 'none', logLevel: 'silent',
  });
  const [output] = Object.values(metafile.outputs);
  if (!output.exports.includes('default')) throw new Error(`src/protostubs/${name}/index.ts has no default export`);
  if (output.imports.length > 0) throw new Error(`src/protostubs/${name} is not self-contained: it imports ${output.imports.map(({ path }) => path).join(', ')}`);
  const code = outputFiles[0].text;
  const descriptor = {
    cguid: `sha256-${createHash('sha256').update(code).digest('hex')}`,
    type: 'protocolstub',
    version: readJson(join(root, 'package.json')).version,
    objectName: name,
    language: 'javascript',
    ...JSON.parse(readFileSync(join(stubsFolder, name, 'descriptor.json'), 'utf8')),
  };
  replaceFile(join(dist, 'protostubs', `${name}.js`), code);
  replaceFile(join(dist, 'protostubs', `${name}.descriptor.json`), `${JSON.stringify(descriptor, null, 2)}\n`);
};

const bundleAll = async () => {
  const results = await Promise.allSettled(stubNames().map(bundle));
  return results.filter(({ status }) => status === 'rejected').map(({ reason }) => reason.message ?? String(reason));
};

/**
 * Bundles the command line's entry and its short cut into one file: reading forty small modules takes longer
 * than `msg send` itself. The commands behind it stay unbundled.
 */
const bundleEntry = async () => {
  const { build } = await import('esbuild');
  const apart = { name: 'apart', setup: (own) => own.onResolve({ filter: /\/command-line\.js$/ }, () => ({ path: './cli/command-line.js', external: true })) };
  try {
    await build({
      entryPoints: [join(root, 'src/cli/cli.ts')], outfile: join(dist, 'cli.cjs'), plugins: [apart],
      // Node takes 5 ms longer to reach the first line of an ES module.
      bundle: true, packages: 'external', format: 'cjs', platform: 'node', target: 'node20', charset: 'utf8', minify: true, keepNames: true, logLevel: 'silent',
    });
    return [];
  } catch (error) {
    return [error.message];
  }
};

/**
 * Bundles what a sandbox process runs. Each needs only files of dist/sandbox then, so it may read nothing else.
 * The WebRTC library with its addon stays outside.
 */
const bundleSandboxes = async () => {
  const { build } = await import('esbuild');
  const inside = join(root, 'src/sandbox/inside');
  const common = { bundle: true, write: false, format: 'esm', charset: 'utf8', legalComments: 'none', logLevel: 'silent' };
  // The HTTP client of connections that are checked stays apart: few sandboxes load it.
  const apart = { name: 'apart', setup: (own) => own.onResolve({ filter: /\/web\/client\.js$/ }, () => ({ path: './http-client.mjs', external: true })) };
  const bundle = (file) => ({
    ...common, entryPoints: [file], platform: 'node', target: 'node20', external: ['node-datachannel', 'node-datachannel/polyfill'], keepNames: true,
    // ws would load addons of its own where it finds them.
    define: { 'process.env.WS_NO_BUFFER_UTIL': '"1"', 'process.env.WS_NO_UTF_8_VALIDATE': '"1"' },
    banner: { js: "import { createRequire as ownRequire } from 'node:module';\nconst require = ownRequire(import.meta.url);" },
  });
  const parts = {
    'native.mjs': { ...bundle(join(inside, 'native/entry.ts')), plugins: [apart] },
    'interpreter.mjs': { ...bundle(join(inside, 'interpreter/entry.ts')), plugins: [apart] },
    'http-client.mjs': bundle(join(root, 'src/link/web/client.ts')),
    'prelude.js': { ...common, entryPoints: [join(inside, 'interpreter/prelude/index.ts')], platform: 'neutral', target: 'es2022' },
  };
  const results = await Promise.allSettled(Object.entries(parts).map(async ([name, options]) => {
    const { outputFiles: [{ text }] } = await build(options);
    replaceFile(join(dist, 'sandbox', name), text);
  }));
  replaceFile(join(dist, 'sandbox/quickjs.wasm'), readFileSync(createRequire(import.meta.url).resolve('@jitl/quickjs-wasmfile-release-sync/wasm')));
  return results.filter(({ status }) => status === 'rejected').map(({ reason }) => reason.message ?? String(reason));
};

const makeManifest = async () => {
  const commands = filesBelow(join(dist, 'commands')).filter((file) => file.endsWith('.js'));
  return commands.length === 0 ? '' : run(join(root, 'node_modules/oclif/bin/run.js'), 'manifest');
};

await lock();
const now = takeStock();
const before = stockOfLastBuild();
if (!isUpToDate(before, now)) {
  removeOrphans(before, now);
  const [typeErrors, bundleErrors, entryErrors, sandboxErrors] = await Promise.all([compile(), bundleAll(), bundleEntry(), bundleSandboxes()]);
  const manifestMissing = !existsSync(join(root, 'oclif.manifest.json'));
  const manifestError = manifestMissing || changedIn(before, now, 'src/commands', 'src/cli', 'src/client', 'src/protocol', 'package.json') ? await makeManifest() : '';
  const errors = [typeErrors, ...bundleErrors, ...entryErrors, ...sandboxErrors, manifestError].filter((text) => text !== '');
  for (const text of errors) process.stderr.write(`${text}\n`);
  // A failed build is repeated: the stamp stands only for a complete one.
  if (errors.length === 0) replaceFile(stampFile, JSON.stringify(now));
  else process.exitCode = 1;
}
