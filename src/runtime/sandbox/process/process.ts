import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { textCodec } from '../../../link/index.js';
import { Mux } from '../../../link/mux/index.js';
import { LINK_STDIO, processLink } from '../../../link/pipe/index.js';
import { ProtoflyError, systemClock, type StubSandbox } from '../../../protocol/index.js';
import { SandboxClient } from '../client.js';
import type { SandboxFactory } from '../sandbox.js';

export interface ProcessSandboxInit {
  readonly log: StubSandbox['log'];
  /** The module that the process runs. @default child.js beside the compiled package's process.js */
  readonly entry?: string;
  /** Largest JavaScript heap of the process, in MiB. @default 256 */
  readonly heapMiB?: number;
  /** How long the process has to end by itself, in milliseconds. @default 2000 */
  readonly graceMs?: number;
  /** @default as `SandboxClient` */
  readonly heartbeatMs?: number;
}

/** The compiled entry, whether this runs compiled or from source. */
const defaultEntry = (): string => fileURLToPath(new URL('../../../../dist/runtime/sandbox/process/child.js', import.meta.url));

/** The folders that the process has to read: this package, and where its dependencies lie. */
const readable = (): string[] => {
  const root = fileURLToPath(new URL('../../../../', import.meta.url));
  const dependency = fileURLToPath(import.meta.resolve('ws'));
  return [root, dependency.slice(0, dependency.lastIndexOf(`${sep}node_modules${sep}`) + `${sep}node_modules${sep}`.length)];
};

/** Node's permission model: no files but the package's own, no processes, no workers; native addons for WebRTC. */
const permissions = (): string[] => {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const flag = major > 23 || (major === 23 && minor >= 5) || (major === 22 && minor >= 13) ? '--permission' : '--experimental-permission';
  return [flag, '--no-warnings', '--allow-addons', ...readable().map((folder) => `--allow-fs-read=${folder}*`)];
};

/** Makes sandboxes that are processes: no environment, no standard input; what they print goes to the log. */
export const processSandbox = (init: ProcessSandboxInit): SandboxFactory => async (name) => {
  const child = spawn(process.execPath, [...permissions(), `--max-old-space-size=${String(init.heapMiB ?? 256)}`, init.entry ?? defaultEntry(), name], {
    env: {},
    stdio: [...LINK_STDIO],
  });
  const exited = once(child, 'exit').catch((cause: unknown) => {
    throw new ProtoflyError('E_UNREACHABLE', `the sandbox ${name} can't be started`, { cause });
  });
  for (const output of [child.stdout, child.stderr]) {
    if (output !== null) createInterface({ input: output }).on('line', (line) => { init.log('info', `${name}: ${line}`); });
  }
  await Promise.race([once(child, 'spawn'), exited]);
  const link = processLink(child, textCodec, { name });
  const kill = async (reason: string): Promise<void> => {
    await link.close(reason);
    const timer = systemClock.setTimeout(() => child.kill('SIGKILL'), reason === 'closed' ? init.graceMs ?? 2000 : 0);
    await exited;
    timer.cancel();
  };
  return new SandboxClient({ mux: new Mux(link), clock: systemClock }, { name, kill, ...(init.heartbeatMs === undefined ? {} : { heartbeatMs: init.heartbeatMs }), ...(child.pid === undefined ? {} : { pid: child.pid }) });
};
