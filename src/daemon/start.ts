import { asReportable } from '../kit/os-errors.js';

// The entry point of a daemon process. Its arguments are the daemon's name and its options as JSON. A failure to load
// the daemon is reported like any other failure to start.

const DAEMONS: Readonly<Record<string, () => Promise<unknown>>> = {
  runtime: () => import('./runtime.js'),
  'domain-server': () => import('./domain-server.js'),
};

try {
  await DAEMONS[process.argv[2] ?? '']?.();
} catch (thrown) {
  const { code, message, hint } = asReportable(thrown);
  process.stdout.write(`${JSON.stringify({ error: { code, message, ...(hint === undefined ? {} : { hint }) } })}\n`);
  process.exitCode = 1;
}
