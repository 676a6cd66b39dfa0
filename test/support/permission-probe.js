/** Runs in place of a sandbox's entry point. Reports what a process with a sandbox's permissions may do. */
const attempt = async (name, run) => {
  try {
    await run();
    process.stderr.write(`info ${name}: done\n`);
  } catch (error) {
    process.stderr.write(`info ${name}: ${error.code ?? error.message}\n`);
  }
};

await attempt('read', async () => (await import('node:fs')).readFileSync('/etc/hostname'));
await attempt('package', async () => (await import('node:fs')).readFileSync(new URL('../../package.json', import.meta.url)));
await attempt('write', async () => (await import('node:fs')).writeFileSync(new URL('./probe.tmp', import.meta.url), ''));
await attempt('spawn', async () => (await import('node:child_process')).execSync('id'));
await attempt('worker', async () => new (await import('node:worker_threads')).Worker('1', { eval: true }));
// Its native code reads files that Node wouldn't.
await attempt('lmdb', async () => (await import('node:module')).createRequire(import.meta.url)('lmdb'));
await attempt('code', () => new Function('return 1')());
process.stderr.write(`info environment: ${Object.keys(process.env).length} variables\n`);
process.exit(0);
