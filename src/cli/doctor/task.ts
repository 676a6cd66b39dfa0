import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { ProtoflyError, systemClock } from '../../protocol/index.js';
import type { DoctorTask } from '../../client/daemon-options.js';
import { errorFromJson } from '../failure.js';

const LIMIT_MS = 15_000;
const MAX_TEXT = 64 * 1024;

/**
 * Runs the task in a process of its own.
 * @throws ProtoflyError the task's error; `E_PLATFORM` if the process crashed, `E_TIMEOUT`
 */
export const tryApart = async (task: DoctorTask, signal: AbortSignal): Promise<unknown> => {
  const script = fileURLToPath(new URL('../../daemon/doctor.js', import.meta.url));
  const child = spawn(process.execPath, [script, JSON.stringify(task)], { stdio: ['ignore', 'pipe', 'ignore'], windowsHide: true });
  let text = '';
  let isLate = false;
  const stop = (): void => { child.kill('SIGKILL'); };
  const timer = systemClock.setTimeout(() => { isLate = true; stop(); }, LIMIT_MS);
  signal.addEventListener('abort', stop);
  try {
    const how = await new Promise<string>((resolve, reject) => {
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => { if (text.length < MAX_TEXT) text += chunk; });
      child.once('error', reject).once('close', (code, by) => { resolve(by ?? `exit code ${String(code)}`); });
    });
    signal.throwIfAborted();
    if (isLate) throw new ProtoflyError('E_TIMEOUT', `the check takes longer than ${String(LIMIT_MS / 1000)} s`);
    return valueIn(text, how);
  } finally {
    timer.cancel();
    signal.removeEventListener('abort', stop);
  }
};

/** @throws ProtoflyError */
const valueIn = (text: string, how: string): unknown => {
  let said: { readonly value?: unknown; readonly error?: unknown } | undefined;
  try {
    said = JSON.parse(text) as typeof said;
  } catch (cause) {
    throw new ProtoflyError('E_PLATFORM', `the process of the check ended without a result: ${how}`, { cause });
  }
  if (said?.error !== undefined) throw errorFromJson(said.error);
  return said?.value;
};
