import './bare-children.js';
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';

/** Path of the real program, as its users run it. */
export const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url));
const DEV = fileURLToPath(new URL('../../bin/dev.js', import.meta.url));

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunInit {
  readonly profile?: string;
  /** Content of stdin. @default nothing */
  readonly input?: string | Buffer;
  readonly env?: Readonly<Record<string, string>>;
  /** Runs bin/dev.js, which takes no short cuts. */
  readonly development?: boolean;
}

export interface Home {
  readonly path: string;
  /** Runs a command to its end. */
  pfly(args: readonly string[], init?: RunInit): Promise<Ran>;
  /** Starts a command and leaves it running. */
  start(args: readonly string[], init?: RunInit): ChildProcess;
  /** Starts a domain server on a free port. Returns its URL. */
  domain(...flags: string[]): Promise<string>;
  /** Starts the runtime of a profile, for the user of the same name. */
  runtime(profile: string, url: string, ...flags: readonly string[]): Promise<void>;
}

/** Resolves with a child's output and exit code when it has ended. */
export const ended = (child: ChildProcess): Promise<Ran> =>
  new Promise((resolve, reject) => {
    let stdout = '';
    let stderr = '';
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => { stdout += chunk; });
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => { stderr += chunk; });
    child.once('error', reject).once('close', (code) => { resolve({ code, stdout, stderr }); });
  });

/** Polls until a condition holds; fails after ten seconds. */
export const eventually = async (holds: () => boolean | Promise<boolean>): Promise<void> => {
  for (const end = Date.now() + 10_000; !(await holds()); ) {
    if (Date.now() > end) throw new Error('it did not come true within 10 s');
    await pause(5);
  }
};

/**
 * Creates a home folder for one test, and ends everything in it after the test.
 * @param bin the program; @default that of this working copy
 */
export const withHome = (t: Test, bin: string = BIN): Home => {
  const path = mkdtempSync(join(tmpdir(), 'pf-'));
  const running = new Set<ChildProcess>();
  const start = (args: readonly string[], { profile, input, env = {}, development = false }: RunInit = {}): ChildProcess => {
    const child = spawn(process.execPath, [development ? DEV : bin, ...args], {
      env: { PATH: process.env['PATH'] ?? '', PROTOFLY_HOME: path, ...(profile === undefined ? {} : { PROTOFLY_PROFILE: profile }), ...env },
      stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    });
    running.add(child);
    child.once('close', () => { running.delete(child); });
    child.stdin?.on('error', () => undefined).end(input);
    return child;
  };
  const pfly = (args: readonly string[], init?: RunInit): Promise<Ran> => ended(start(args, init));
  const must = async (args: readonly string[], init?: RunInit): Promise<string> => {
    const { code, stdout, stderr } = await pfly(args, init);
    if (code !== 0) throw new Error(`protofly ${args.join(' ')} ended with ${String(code)}: ${stderr}`);
    return stdout;
  };
  const namesIn = (folder: string): string[] => (existsSync(join(path, folder)) ? readdirSync(join(path, folder)) : []);
  t.teardown(async () => {
    for (const child of running) child.kill('SIGKILL');
    await Promise.all(namesIn('profiles').map((profile) => pfly(['runtime', 'stop'], { profile })));
    await Promise.all(namesIn('domains').map((name) => pfly(['domain', 'stop', '--name', name])));
    chmodSync(path, 0o700);
    rmSync(path, { recursive: true, force: true });
  });
  return {
    path, pfly, start,
    domain: async (...flags) => (JSON.parse(await must(['domain', 'start', '--listen', '127.0.0.1:0', '--detach', '--wait', '60s', '--json', ...flags])) as { url: string }).url,
    runtime: async (profile, url, ...flags) => { await must(['runtime', 'start', '--domain', url, '--user', profile, '--wait', '60s', ...flags], { profile }); },
  };
};
