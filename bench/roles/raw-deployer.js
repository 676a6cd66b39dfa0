import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { now, serve } from './serve.js';

// The same code fetched, imported, and run in a new process, without anything in between.

/** What sandbox processes are started with. */
const FLAGS = [
  process.allowedNodeEnvironmentFlags.has('--permission') ? '--permission' : '--experimental-permission',
  '--allow-fs-read=*', '--allow-addons', '--no-warnings', '--experimental-vm-modules', '--disallow-code-generation-from-strings', '--max-old-space-size=256',
];

let codeUrl;
let file;
let last = 0;

const get = async (url) => (await fetch(url)).json();

const run = (...args) => new Promise((resolve, reject) => {
  spawn(process.execPath, [...FLAGS, ...args], { env: {}, stdio: 'ignore' }).once('error', reject).once('close', (code) => {
    if (code === 0) resolve();
    else reject(new Error(`node ${args.join(' ')} ended with ${code}`));
  });
});

const timed = async (what) => {
  const began = now();
  await what();
  return now() - began;
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
    await run('-e', '0');
  }),
  newProcess: () => timed(() => run(file)),
  sameProcess: () => timed(() => import(`${pathToFileURL(file)}?${++last}`)),
});
