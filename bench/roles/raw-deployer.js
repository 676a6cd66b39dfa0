import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { now, serve } from './serve.js';

// The reference: the same code fetched, imported, and run in a new process, with nothing in between.

/** The flags of sandbox processes. */
const FLAGS = [
  process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission',
  '--allow-fs-read=*', '--allow-addons', '--no-warnings', '--experimental-vm-modules', '--disallow-code-generation-from-strings', '--max-old-space-size=256',
];

let codeUrl;
let file;
let last = 0;

const get = async (url) => (await fetch(url)).json();

/** Starts a process. Resolves when it runs, with a function that waits for its end. */
const start = (...args) => new Promise((resolve, reject) => {
  const child = spawn(process.execPath, [...FLAGS, ...args, '-e', 'process.stdout.write("here")'], { env: {}, stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = new Promise((end) => { child.once('close', end); });
  child.once('error', reject).once('close', (code) => { reject(new Error(`node ${args.join(' ')} ended with ${code}`)); });
  child.stdout.once('data', () => { resolve(() => ended); });
});

/** @returns the duration of `what`, without the wait that it returns */
const timed = async (what) => {
  const began = now();
  const over = await what();
  const took = now() - began;
  if (typeof over === 'function') await over();
  return took;
};

serve({
  start: async ({ url, folder }) => {
    const { sourcePackageURL } = await get(`${url}/.well-known/protocolstub/default`);
    codeUrl = `${url}/${sourcePackageURL.replace(/^[a-z-]+:\/\/[^/]+\//, '')}`;
    file = join(folder, 'stub.mjs');
    writeFileSync(file, (await get(codeUrl)).sourceCode);
  },
  downloaded: () => timed(async () => {
    await get(codeUrl);
    return start();
  }),
  newProcess: () => timed(() => start('--import', file)),
  sameProcess: () => timed(() => import(`${pathToFileURL(file)}?${++last}`)),
});
