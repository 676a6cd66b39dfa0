import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ProtoflyError, systemClock } from '../../protocol/index.js';
import { errorFromJson } from '../failure.js';
import type { ReadyLine } from './options.js';

export interface SpawnInit {
  /** File below dist/daemon/, without its ending. */
  readonly entry: 'runtime' | 'domain-server';
  readonly options: unknown;
  /** Where a detached daemon's stderr goes. Absent: it stays in the foreground, with this process's stderr. */
  readonly log?: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

type Ready = Extract<ReadyLine, { ready: true }>;
type ReadyOrError = Ready & Extract<ReadyLine, { error: unknown }>;

export interface Daemon {
  readonly child: ChildProcess;
  readonly ready: Ready;
  /** Lets this process end while the daemon goes on. */
  release(): void;
  /** How it ended: its exit code, or 1 for a signal. */
  readonly ended: Promise<number>;
}

/** Longer than any ready line. */
const MAX_LINE = 64 * 1024;

const firstLine = (child: ChildProcess): Promise<string | undefined> =>
  new Promise((resolve, reject) => {
    let text = '';
    child.once('error', reject);
    child.stdout?.setEncoding('utf8').once('end', () => { resolve(undefined); }).on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end >= 0) resolve(text.slice(0, end));
      else if (text.length > MAX_LINE) resolve(undefined);
    });
  });

const parseReady = (line: string | undefined): Partial<ReadyOrError> => {
  try {
    const said: unknown = JSON.parse(line ?? '');
    return typeof said === 'object' && said !== null ? said : {};
  } catch {
    return {};
  }
};

/** @throws ProtoflyError what the daemon says */
const readyOf = (line: string | undefined, what: string, log: string | undefined): Ready => {
  const { ready, socket, pid, error } = parseReady(line);
  if (ready === true && typeof socket === 'string' && typeof pid === 'number') return { ready, socket, pid };
  if (error !== undefined) throw errorFromJson(error);
  throw new ProtoflyError('E_INTERNAL', `the ${what} ended before it was ready`, { hint: log === undefined ? 'see what it wrote above' : `see ${log}` });
};

/**
 * Starts a daemon process and waits for its first word.
 * @throws ProtoflyError what the daemon says; `E_TIMEOUT`, or the signal's reason, after it has been ended
 */
export const spawnDaemon = async ({ entry, options, log, timeoutMs, signal }: SpawnInit): Promise<Daemon> => {
  signal.throwIfAborted();
  const script = fileURLToPath(new URL(`../../daemon/${entry}.js`, import.meta.url));
  const what = entry === 'runtime' ? 'runtime' : 'domain server';
  if (log !== undefined) mkdirSync(dirname(log), { recursive: true, mode: 0o700 });
  const stderr = log === undefined ? 'inherit' : openSync(log, 'a', 0o600);
  const child = spawn(process.execPath, [script, JSON.stringify(options)], { detached: log !== undefined, stdio: ['ignore', 'pipe', stderr], windowsHide: true });
  if (typeof stderr === 'number') closeSync(stderr);
  const ended = new Promise<number>((resolve) => { child.once('exit', (code) => { resolve(code ?? 1); }); });
  try {
    const line = await inTime(firstLine(child), what, timeoutMs, signal);
    return { child, ready: readyOf(line, what, log), release: () => { release(child); }, ended };
  } catch (error) {
    child.kill('SIGTERM');
    release(child);
    throw error;
  }
};

const release = (child: ChildProcess): void => {
  child.stdout?.destroy();
  child.unref();
};

const inTime = async <T>(what: Promise<T>, name: string, timeoutMs: number, signal: AbortSignal): Promise<T> => {
  let stop = (): void => undefined;
  const late = new Promise<never>((_, reject) => {
    const onAbort = (): void => { reject(signal.reason as Error); };
    signal.addEventListener('abort', onAbort);
    const timer = systemClock.setTimeout(() => { reject(new ProtoflyError('E_TIMEOUT', `the ${name} wasn't ready within ${String(timeoutMs)} ms`, { hint: 'give it longer with --wait' })); }, timeoutMs);
    stop = () => { timer.cancel(); signal.removeEventListener('abort', onAbort); };
  });
  try {
    return await Promise.race([what, late]);
  } finally {
    stop();
  }
};

/** Keeps a daemon in the foreground until it ends; what ends this process ends it too. Returns its exit code. */
export const stayWith = async ({ child, ended }: Daemon, signal: AbortSignal): Promise<number> => {
  const stop = (): void => { child.kill('SIGTERM'); };
  if (signal.aborted) stop();
  signal.addEventListener('abort', stop);
  try {
    return await ended;
  } finally {
    signal.removeEventListener('abort', stop);
  }
};

/** Whether a process has ended, and is only there because its parent hasn't asked how. In containers nobody may ever ask. */
const isDefunct = (pid: number): boolean => {
  if (process.platform !== 'linux') return false;
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
    return /^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2));
  } catch {
    return false;
  }
};

/** Whether a process is there and has not ended. */
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
    // There is no event for the end of a process that isn't one's child.
    await pause(15);
  }
};
