/**
 * Importing this brings dist/ up to date: it builds if src/ has changed since the last build. tap imports it
 * before each test file (.taprc), because commands, sandboxes and a domain's stubs come from dist/, and the
 * rest of a test from src/.
 */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { isUpToDate, root } from './stock.js';

if (!isUpToDate()) {
  const { status } = spawnSync(process.execPath, [join(root, 'scripts/build.js')], { stdio: ['ignore', 2, 2] });
  if (status !== 0) throw new Error('src/ has changed since dist/ was built, and the build fails: old commands and sandboxes would run');
}
