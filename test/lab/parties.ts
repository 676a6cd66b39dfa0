import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, openSync, closeSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { folderName, type Namespace } from './namespaces.js';
import { ALSO_PUBLIC, PUBLIC, SIDES, type Network, type Side } from './network.js';
import { until } from '../support/until.js';

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The user whose runtime is at a site. */
export const USER: Readonly<Record<Side, string>> = { a: 'alice', b: 'bob' };
const DOMAIN = 'lab.example';
const DOMAIN_URL = `http://${PUBLIC}:9090`;
const ICE_PORT = 3478;

/** True if a UDP socket in a process's network namespace is bound to a port. */
const isBound = (pid: number, port: number): boolean =>
  readFileSync(`/proc/${String(pid)}/net/udp`, 'utf8').includes(`:${port.toString(16).toUpperCase().padStart(4, '0')} `);

/** The domain server, the TURN server and the two runtimes: the real program, as its users start it. */
export class Parties {
  readonly #program = resolve(process.env['PROTOFLY_LAB_PROGRAM'] ?? 'bin/run.js');
  readonly #home = mkdtempSync(folderName('home'));
  readonly #children = new Set<ChildProcess>();
  /** The secret that the TURN server and the domain server share. */
  readonly #secret = randomBytes(16).toString('hex');
  #domainLog: string | undefined;
  #closed = false;

  constructor(private readonly network: Network) {}

  /** Runs a command of the program to its end, at a site or at the domain server. */
  async run(where: Side | 'public', args: readonly string[]): Promise<Ran> {
    return ended(this.start(where, args));
  }

  /** @throws Error if the exit code isn't 0 */
  async must(where: Side | 'public', args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(where, args);
    if (code !== 0) throw new Error(`protofly ${args.join(' ')} (${where}) ended with ${String(code)}: ${stderr.trim()}`);
    return stdout;
  }

  /** Starts a command and leaves it running. @throws Error if the parties are being closed */
  start(where: Side | 'public', args: readonly string[]): ChildProcess {
    if (this.#closed) throw new Error('the lab is being removed');
    return this.#start(where, args);
  }

  #start(where: Side | 'public', args: readonly string[]): ChildProcess {
    const env = { PATH: process.env['PATH'], PROTOFLY_HOME: this.#home, ...(where === 'public' ? {} : { PROTOFLY_PROFILE: USER[where] }) };
    return this.#keep((where === 'public' ? this.network.public : this.network.host(where)).spawn(process.execPath, [this.#program, ...args], { env }));
  }

  async startDomain(turn: boolean): Promise<void> {
    const server = `${PUBLIC}:${String(ICE_PORT)}`;
    const secretFile = join(this.#home, 'turn-secret');
    writeFileSync(secretFile, this.#secret, { mode: 0o600 });
    const started = await this.must('public', [
      'domain', 'start', '--json', '--name', DOMAIN, '--listen', `${PUBLIC}:9090`, '--admission', 'open', '--detach', '--wait', '30s', '--ice-server', `stun:${server}`, '--ice-server', `stun:${ALSO_PUBLIC}:${String(ICE_PORT)}`,
      ...(turn ? ['--ice-server', `turn:${server}`, '--turn-secret-file', secretFile] : []),
    ]);
    this.#domainLog = (JSON.parse(started) as { log?: string }).log;
  }

  async domainPid(): Promise<number> {
    return (JSON.parse(await this.must('public', ['domain', 'status', '--name', DOMAIN, '--json'])) as { pid: number }).pid;
  }

  async stopDomain(): Promise<void> {
    await this.must('public', ['domain', 'stop', '--name', DOMAIN]);
  }

  /** Starts the TURN server: STUN for all, a relay for clients that know the secret. */
  async startTurn(): Promise<void> {
    const log = openSync(this.#turnLog, 'a');
    const child = this.#keep(this.network.public.spawn('turnserver', [
      '-n', '--listening-ip', PUBLIC, '--listening-ip', ALSO_PUBLIC, '--listening-port', String(ICE_PORT), '--relay-ip', PUBLIC, '--min-port', '50000', '--max-port', '50100', '--no-tls', '--no-dtls', '--no-cli',
      '--use-auth-secret', '--static-auth-secret', this.#secret, '--realm', DOMAIN, '--log-file', 'stdout', '--verbose', '--pidfile', join(this.#home, 'turn.pid'), '--userdb', join(this.#home, 'turn.db'),
    ], { stdio: ['ignore', log, log] }));
    closeSync(log);
    await until('the TURN server listens', () => child.exitCode === null && isBound(child.pid!, ICE_PORT), 10_000);
  }

  /** Starts a site's runtime, and registers its hyperty `in`. */
  async startRuntime(side: Side): Promise<void> {
    await this.must(side, ['runtime', 'start', '--domain', DOMAIN_URL, '--user', USER[side], '--wait', '30s']);
    if (!(await this.must(side, ['hyperty', 'list', '--json'])).includes('"in"')) await this.must(side, ['hyperty', 'register', 'in']);
  }

  async runtimePid(side: Side): Promise<number> {
    return (JSON.parse(await this.must(side, ['runtime', 'status', '--json'])) as { pid: number }).pid;
  }

  /** Returns the process in which the stubs of a kind run. */
  async sandboxPid(side: Side, kind: 'p2p-handler' | 'msg-node'): Promise<number> {
    const { protostubs } = JSON.parse(await this.must(side, ['registry', 'list', '--json'])) as { protostubs: { kind: string; pid?: number }[] };
    const pid = protostubs.find((stub) => stub.kind === kind)?.pid;
    if (pid === undefined) throw new Error(`the runtime of ${side} has no ${kind} stub`);
    return pid;
  }

  /** Ends all parties in order. @returns failures, in words */
  async close(): Promise<string[]> {
    this.#closed = true;
    const troubles: string[] = [];
    const tell = (what: string) => ({ code, stderr }: Ran): void => { if (code !== 0 && code !== 9) troubles.push(`${what} ended with ${String(code)}: ${stderr.trim()}`); };
    await Promise.all(SIDES.map((side) => ended(this.#start(side, ['runtime', 'stop'])).then(tell(`runtime stop (${side})`))));
    await ended(this.#start('public', ['domain', 'stop', '--name', DOMAIN])).then(tell('domain stop'));
    for (const child of this.#children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, 'close');
      child.kill('SIGKILL');
      await gone;
    }
    await until('the processes have ended', async () => (await Promise.all([this.network.public, ...SIDES.map((side) => this.network.host(side))].map((namespace: Namespace) => namespace.pids()))).flat().length === 0, 5000)
      .catch(() => { troubles.push('processes were left running'); });
    return troubles;
  }

  /** Returns the logs of all daemons, by name. */
  async logs(): Promise<Record<string, string>> {
    const logs: Record<string, string> = {};
    for (const side of SIDES) logs[USER[side]] = (await this.run(side, ['runtime', 'logs'])).stdout;
    if (this.#domainLog !== undefined) logs['domain'] = readFileSync(this.#domainLog, 'utf8');
    logs['turn'] = readFileSync(this.#turnLog, 'utf8');
    return logs;
  }

  get #turnLog(): string {
    return join(this.#home, 'turn.log');
  }

  /** Removes the files of all parties. */
  remove(): void {
    rmSync(this.#home, { recursive: true, force: true });
  }

  #keep(child: ChildProcess): ChildProcess {
    this.#children.add(child);
    child.once('error', () => undefined).once('close', () => { this.#children.delete(child); });
    return child;
  }
}

/** Resolves with a child's output and exit code when it has ended. */
const ended = (child: ChildProcess): Promise<Ran> =>
  new Promise((done, reject) => {
    let [stdout, stderr] = ['', ''];
    child.stdin?.end();
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => { stdout += chunk; });
    child.stderr?.setEncoding('utf8').on('data', (chunk: string) => { stderr += chunk; });
    child.once('error', reject).once('close', (code) => { done({ code, stdout, stderr }); });
  });
