import { execFile, spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Prefix of the names of all namespaces and folders of a lab; the id of its process follows. */
const PREFIX = 'pflab';
const OWNED = new RegExp(`^${PREFIX}(\\d+)-`);

/** The reason why the lab can't run on this machine. */
export class LabMissing extends Error {}

/** Runs a program to its end. @throws Error with its stderr */
const run = (command: string, args: readonly string[], input?: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = execFile(command, args, { timeout: 20_000, maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${command} ${args.join(' ')}: ${stderr.trim() || error.message}`));
    });
    child.stdin?.on('error', () => undefined).end(input);
  });

const isAlive = (pid: number): boolean => existsSync(`/proc/${String(pid)}`);

/** A network namespace: interfaces, routes, rules and processes that are invisible outside. */
export class Namespace {
  readonly name: string;

  private constructor(readonly role: string) {
    this.name = `${PREFIX}${String(process.pid)}-${role}`;
  }

  static async make(role: string): Promise<Namespace> {
    const namespace = new Namespace(role);
    await run('ip', ['netns', 'add', namespace.name]);
    try {
      await namespace.ip('link set lo up');
      await namespace.exec('sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward; [ ! -e /proc/sys/net/ipv6 ] || echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6');
      return namespace;
    } catch (error) {
      await namespace.remove();
      throw error;
    }
  }

  /** Runs lines of `ip` commands, each without the name `ip`. @throws Error at the first that fails */
  async ip(...lines: readonly string[]): Promise<void> {
    await run('ip', ['-n', this.name, '-batch', '-'], `${lines.join('\n')}\n`);
  }

  iptables(rule: string): Promise<string> {
    return this.exec('iptables', '-w', ...rule.split(' '));
  }

  exec(command: string, ...args: readonly string[]): Promise<string> {
    return run('ip', ['netns', 'exec', this.name, command, ...args]);
  }

  /** Starts a program in the namespace; the child's pid is the program's own. */
  spawn(command: string, args: readonly string[], init: { readonly env?: NodeJS.ProcessEnv; readonly stdio?: StdioOptions } = {}): ChildProcess {
    return spawn('ip', ['netns', 'exec', this.name, command, ...args], { stdio: 'pipe', ...init });
  }

  /** Returns the processes that run in it now. */
  async pids(): Promise<number[]> {
    return (await run('ip', ['netns', 'pids', this.name])).split('\n').filter(Boolean).map(Number);
  }

  /** Removes it, and ends the processes that still run in it. @returns their number */
  async remove(): Promise<number> {
    return remove(this.name);
  }
}

const remove = async (name: string): Promise<number> => {
  const pids = (await run('ip', ['netns', 'pids', name])).split('\n').filter(Boolean).map(Number);
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
  await run('ip', ['netns', 'delete', name]);
  return pids.length;
};

/** Creates two interfaces joined by a cable, each in a namespace. */
export const cable = (a: Namespace, nameA: string, b: Namespace, nameB: string): Promise<void> =>
  a.ip(`link add ${nameA} type veth peer name ${nameB} netns ${b.name}`);

/** Returns the name of a folder that `leftovers` finds if this process can't remove it. */
export const folderName = (name: string): string => join(tmpdir(), `${PREFIX}${String(process.pid)}-${name}-`);

/** Removes the remains of labs whose process is gone. @returns the names of the namespaces */
export const leftovers = async (): Promise<string[]> => {
  const ownerIsGone = (name: string): boolean => {
    const owner = OWNED.exec(name)?.[1];
    return owner !== undefined && !isAlive(Number(owner));
  };
  const names = (await run('ip', ['netns', 'list'])).split('\n').map((line) => line.split(' ')[0] ?? '').filter(ownerIsGone);
  for (const name of names) await remove(name);
  for (const folder of readdirSync(tmpdir()).filter(ownerIsGone)) rmSync(join(tmpdir(), folder), { recursive: true, force: true });
  return names;
};

/** @throws LabMissing if namespaces, virtual cables or NAT aren't available */
export const requireLab = async (): Promise<void> => {
  if (process.platform !== 'linux') throw new LabMissing('the lab needs Linux');
  if (process.getuid?.() !== 0) throw new LabMissing('the lab needs root (network namespaces)');
  let probe: Namespace | undefined;
  try {
    probe = await Namespace.make('probe');
    await probe.ip('link add v0 type veth peer name v1', 'link add x0 type vxlan id 1 remote 127.0.0.2 dstport 4789');
    await probe.iptables('-t nat -A POSTROUTING -o v0 -j MASQUERADE --random-fully');
    await run('sh', ['-c', 'command -v turnserver']);
  } catch (error) {
    throw new LabMissing(`the lab needs iproute2, iptables with NAT, coturn and the kernel's veth and vxlan: ${(error as Error).message.split('\n')[0] ?? ''}`);
  } finally {
    await probe?.remove();
  }
};
