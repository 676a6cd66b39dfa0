import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, realpathSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { textCodec, type Link, type LinkEnd } from '../../link/index.js';
import { Mux } from '../../link/mux/index.js';
import { LINK_STDIO, processLink } from '../../link/pipe/index.js';
import { ProtoflyError, systemClock, type StubSandbox, CAPABILITIES } from '../../protocol/index.js';
import { SandboxClient, type SandboxClientInit } from './client.js';
import type { SandboxFactory } from '../contract/sandbox.js';
import { exitOf } from './exit.js';
import { MemoryWatch } from './memory.js';
import { logOutput } from './output.js';

export interface ProcessSandboxInit extends Pick<SandboxClientInit, 'heartbeatMs' | 'deployMs' | 'conduct'> {
  readonly log: StubSandbox['log'];
  /** The file that the process runs, for tests. @default that of its kind in dist/sandbox */
  readonly entry?: string;
  /** File of certificate authorities trusted besides Node's own, in PEM. @default none */
  readonly caFile?: string | undefined;
}

/** Largest JavaScript heap of a process, in MiB. */
const HEAP_MIB = 256;
/** Memory limit of a process, including buffers and native code, in MiB. */
const MEMORY_MIB = 384;
/** Time for a process to end by itself before it is killed, in milliseconds. */
const GRACE_MS = 2000;

/** A kind of sandbox process: the file that it runs, and the files and folders that it may read. */
interface Kind {
  readonly entry: string;
  readonly reads: readonly string[];
  /** Folder of the WebRTC library, if the process may load it. */
  readonly library?: string;
}

/** Returns a file that the build made, whether this runs compiled or from source. */
const built = (name: string): string => fileURLToPath(new URL(`../../../dist/sandbox/${name}`, import.meta.url));

/** Returns the folder of a package, or of a scope of packages, as it is found from a folder. Some package managers make it a link. */
const packageFolder = (name: string, from: string): string | undefined => {
  const folder = join(from, 'node_modules', name);
  if (existsSync(folder)) return folder;
  return dirname(from) === from ? undefined : packageFolder(name, dirname(from));
};

/** Returns the folders of the WebRTC library: its code, its helper, and the addons for each platform. */
const webRtcFolders = (library: string): string[] => {
  const scope = packageFolder('@node-datachannel', library);
  const addons = scope === undefined ? [] : readdirSync(scope).map((name) => join(scope, name));
  const found = [packageFolder('detect-libc', library), ...addons].filter((folder) => folder !== undefined);
  // Node 20 aborts when it is given a folder twice.
  return [...new Set([library, ...found, ...found.map((folder) => realpathSync(folder))])];
};

const kindOf = (ours: boolean, isNative: boolean): Kind => {
  const entry = built(ours ? 'native.mjs' : 'interpreter.mjs');
  const reads = [entry, built('http-client.mjs'), ...(ours ? [] : [built('prelude.js'), built('quickjs.wasm')])];
  const found = isNative ? packageFolder('node-datachannel', dirname(fileURLToPath(import.meta.url))) : undefined;
  if (found === undefined) return { entry, reads };
  const library = realpathSync(found);
  return { entry, reads: [...reads, ...webRtcFolders(library).map((folder) => join(folder, sep, '*'))], library };
};

/**
 * Options of Node's permission model: only the files that are needed, no processes, no workers, no code from
 * strings. Native addons only for WebRTC.
 */
const permissions = ({ library, reads }: Kind): string[] => {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const flag = major > 23 || (major === 23 && minor >= 5) || (major === 22 && minor >= 13) ? '--permission' : '--experimental-permission';
  return [flag, '--no-warnings', '--disallow-code-generation-from-strings', ...(library === undefined ? [] : ['--allow-addons']), ...reads.map((path) => `--allow-fs-read=${path}`)];
};

const start = async (name: string, kind: Kind, { caFile }: ProcessSandboxInit): Promise<ChildProcess> => {
  // Deno and Bun know other options, and no permissions of Node's.
  if (process.versions['deno'] !== undefined || process.versions['bun'] !== undefined) {
    throw new ProtoflyError('E_PLATFORM', 'this program can\'t keep a stub from files and processes, so it deploys none', { hint: 'run protofly with Node 20.17 or newer' });
  }
  const child = spawn(process.execPath, [...permissions(kind), `--max-old-space-size=${String(HEAP_MIB)}`, kind.entry, name, ...(kind.library === undefined ? [] : [kind.library])], { env: caFile === undefined ? {} : { NODE_EXTRA_CA_CERTS: caFile }, stdio: [...LINK_STDIO] });
  try {
    await once(child, 'spawn');
    return child;
  } catch (cause) {
    throw new ProtoflyError('E_UNREACHABLE', `the sandbox ${name} can't be started`, { cause });
  }
};

/** Wraps the link to a process. The wrapper ends once the process has exited, with the reason for that. */
const untilExit = (link: Link<string>, explain: (end: LinkEnd) => Promise<LinkEnd>): Link<string> => {
  const closed = link.closed.then(explain);
  return {
    name: link.name, stats: link.stats, closed,
    send: (frame) => link.send(frame),
    receive: (receiver) => { link.receive(receiver); },
    close: async (reason) => {
      await link.close(reason);
      await closed;
    },
  };
};

/** Creates sandboxes that are processes. They get no environment but `caFile` and no standard input. Their output is logged. */
export const processSandbox = (init: ProcessSandboxInit): SandboxFactory => async (name, { capabilities = CAPABILITIES, ours = false } = {}) => {
  const { log } = init;
  const kind = kindOf(ours, capabilities.includes('webrtc'));
  const child = await start(name, init.entry === undefined ? kind : { ...kind, entry: init.entry, reads: [...kind.reads, init.entry] }, init);
  const exit = exitOf(child, systemClock);
  const write: StubSandbox['log'] = (level, text) => { log(level, `${name}: ${text}`); };
  for (const output of [child.stdout, child.stderr]) if (output !== null) logOutput(output, { clock: systemClock, write }, exit.onLine);
  const pipe = processLink(child, textCodec, { name });
  let verdict: string | undefined;
  const link = untilExit(pipe, async (end) => {
    const timer = systemClock.setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
    const words = await exit.words;
    timer.cancel();
    memory?.close();
    return { how: verdict === undefined ? end.how : 'gone', reason: verdict ?? (end.how === 'closed' ? end.reason : words) };
  });
  const kill = async (reason: string): Promise<void> => {
    verdict ??= reason;
    child.kill('SIGKILL');
    await link.closed;
  };
  const memory = child.pid === undefined ? undefined : new MemoryWatch({ clock: systemClock }, {
    pid: child.pid, limitMiB: MEMORY_MIB,
    onExceeded: (reason) => {
      log('warn', `${name} is stopped: ${reason}`);
      void kill(reason);
    },
  });
  const client: SandboxClient = new SandboxClient({ mux: new Mux(link, { onReject: (_error, text = '') => { client.malformed(text.length); } }), clock: systemClock, log }, { ...init, name, kill, stop: () => link.close('closed'), onUsage: (bytes) => memory?.judge(bytes), ...(child.pid === undefined ? {} : { pid: child.pid }) });
  return client;
};
