import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ProtoflyError, systemClock } from '../../protocol/index.js';
import { tightenFile } from '../../security/private-files.js';
import { errorFromJson } from '../failure.js';
import { Daemon } from './daemon.js';
import type { DomainDaemonOptions, ReadyLine, RuntimeDaemonOptions } from '../../client/daemon-options.js';

export interface SpawnInit {
  /** The daemon to start, by its name in src/daemon/start.ts. */
  readonly entry: 'runtime' | 'domain-server';
  /**
   * With a log, the daemon is detached and its stderr goes to the log. Without one, it inherits this process's
   * stderr.
   */
  readonly options: RuntimeDaemonOptions | DomainDaemonOptions;
  /** Path of a file with certificate authorities, in PEM, that the daemon trusts besides Node's own. @default those of this process */
  readonly ca?: string | undefined;
  /** Variables of the daemon's environment besides those of this process. @default none */
  readonly env?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** Upper bound of the ready line, in UTF-16 code units. */
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

const parseReady = (line: string | undefined): { readonly ready?: unknown; readonly error?: unknown } => {
  try {
    const said: unknown = JSON.parse(line ?? '');
    return typeof said === 'object' && said !== null ? (said as ReadyLine) : {};
  } catch {
    return {};
  }
};

/** @throws ProtoflyError the error reported by the daemon */
const checkReady = (line: string | undefined, what: string, log: string | undefined): void => {
  const { ready, error } = parseReady(line);
  if (ready === true) return;
  if (error !== undefined) throw errorFromJson(error);
  throw new ProtoflyError('E_INTERNAL', `the ${what} ended before it was ready`, { hint: log === undefined ? 'see what it wrote above' : `see ${log}` });
};

/**
 * Starts a daemon process and waits for its ready line. On failure, the process is stopped before this throws.
 * @throws ProtoflyError the error reported by the daemon, `E_TIMEOUT`, or the signal's reason
 */
export const spawnDaemon = async ({ entry, options, ca, env, timeoutMs, signal }: SpawnInit): Promise<Daemon> => {
  signal.throwIfAborted();
  const script = fileURLToPath(new URL('../../daemon/start.js', import.meta.url));
  const what = entry === 'runtime' ? 'runtime' : 'domain server';
  const { log } = options.paths;
  if (log !== undefined) {
    mkdirSync(dirname(log), { recursive: true, mode: 0o700 });
    tightenFile(log);
  }
  const stderr = log === undefined ? 'inherit' : openSync(log, 'a', 0o600);
  const child = spawn(process.execPath, [script, entry, JSON.stringify({ ...options, lifeline: true })], {
    detached: log !== undefined, stdio: ['pipe', 'pipe', stderr], windowsHide: true, env: { ...process.env, ...env, ...(ca === undefined ? {} : { NODE_EXTRA_CA_CERTS: ca }) },
  });
  if (typeof stderr === 'number') closeSync(stderr);
  const daemon = new Daemon(child, what);
  try {
    checkReady(await inTime(firstLine(child), what, timeoutMs, signal), what, log);
    return daemon;
  } catch (error) {
    await daemon.stop();
    throw error;
  }
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
