import { readFileSync } from 'node:fs';
import { ProtoflyError, systemClock } from '../../protocol/index.js';

/** True if a process is a zombie: it has ended, but its parent hasn't reaped it. Containers may never reap zombies. */
const isDefunct = (pid: number): boolean => {
  if (process.platform !== 'linux') return false;
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
    return /^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
};

/** True if a process exists and has not ended. */
export const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
  return !isDefunct(pid);
};

/** Waits until a process has ended. @throws ProtoflyError `E_TIMEOUT`, or the signal's reason */
export const untilGone = async (pid: number, timeoutMs: number, signal: AbortSignal): Promise<void> => {
  const { setTimeout: pause } = await import('node:timers/promises');
  for (const end = systemClock.now() + timeoutMs; isAlive(pid); ) {
    signal.throwIfAborted();
    if (systemClock.now() > end) throw new ProtoflyError('E_TIMEOUT', `process ${String(pid)} hasn't ended within ${String(timeoutMs)} ms`);
    // Node has no event for the end of a process that isn't a child of this one.
    await pause(15);
  }
};
