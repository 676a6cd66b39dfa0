import { createHash } from 'node:crypto';
import { spawn, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import type { Test } from 'tap';
import { BIN, type Home } from './cli.js';
import { until } from './until.js';

export interface Answer {
  readonly code: number;
  readonly value?: unknown;
  readonly description?: string;
  readonly [field: string]: unknown;
}

export interface Frame {
  readonly id: number | string;
  readonly type: string;
  readonly from: string;
  readonly to: string;
  readonly body?: { readonly code?: number; readonly value?: unknown; readonly [field: string]: unknown };
}

/** A third-party program, written from docs/control.md without any of protofly's code: a unix socket and JSON. */
export class Program {
  readonly #socket: Socket;
  readonly #pending = new Map<string, (answer: Answer) => void>();
  readonly #prefix = Math.random().toString(36).slice(2);
  #next = 1;
  /** Called with frames other than answers to this program's requests. */
  onMessage: (frame: Frame) => void = () => undefined;
  address = 'mn:/client';
  runtime = '';

  private constructor(socket: Socket) {
    this.#socket = socket;
    let rest = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop()!;
      // An empty line announces that the runtime closes the link.
      for (const line of lines) if (line !== '') this.#take(JSON.parse(line) as Frame);
    });
    socket.on('error', () => undefined).on('close', () => {
      for (const settle of this.#pending.values()) settle({ code: 0, description: 'the socket has closed' });
    });
  }

  static async open(path: string): Promise<Program> {
    const program = new Program(await connected(path));
    const { code, value } = await program.ask('mn:/session', 'open', { value: { token: tokenOf(path) } });
    if (code !== 200) throw new Error(`not opened: ${String(code)}`);
    const { address, runtime } = value as { address: string; runtime: string };
    return Object.assign(program, { address, runtime });
  }

  post(frame: Omit<Frame, 'id'> & { readonly id?: number | string }): void {
    this.#socket.write(`${JSON.stringify({ id: `${this.#prefix}${String(this.#next++)}`, ...frame })}\n`);
  }

  ask(to: string, type: string, body: Record<string, unknown> = {}, from = this.address): Promise<Answer> {
    const id = `${this.#prefix}${String(this.#next++)}`;
    return new Promise((resolve) => {
      this.#pending.set(id, resolve);
      this.post({ id, type, from, to, body });
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #take(frame: Frame): void {
    const settle = frame.type === 'response' && (frame.body?.code ?? 0) >= 200 ? this.#pending.get(String(frame.id)) : undefined;
    if (settle === undefined) { this.onMessage(frame); return; }
    this.#pending.delete(String(frame.id));
    settle(frame.body as Answer);
  }
}

/** Reads the token of a control socket, as docs/control.md says. */
export const tokenOf = (path: string): string => readFileSync(`${path}.token`, 'utf8').trim();

/** Returns the line that opens a session on a control socket. */
export const openLine = (path: string): string => `${JSON.stringify({ id: 1, type: 'open', from: 'mn:/client', to: 'mn:/session', body: { value: { token: tokenOf(path) } } })}\n`;

const dial = (path: string): Promise<Socket> =>
  new Promise((resolve, reject) => {
    const socket = connect(path, () => { socket.off('error', reject); resolve(socket); }).once('error', reject);
  });

/** Connects to a socket path. Retries while the socket's backlog is full. */
export const connected = async (path: string): Promise<Socket> => {
  for (;;) {
    try {
      return await dial(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      await pause(10);
    }
  }
};

export interface Status {
  readonly runtime: string;
  readonly pid: number;
  readonly state: string;
  readonly socket: string;
  readonly counters: Readonly<Record<string, number>>;
}

export interface Connection {
  readonly address: string;
  readonly role: string;
  readonly remoteRuntime: string;
  readonly status: string;
  readonly sent: number;
  readonly received: number;
}

export interface Stub {
  readonly url: string;
  readonly kind: string;
  readonly pid: number;
  readonly status: string;
}

/** The runtime of a profile, as seen by any program. */
export class Peer {
  #path: string | undefined;

  constructor(readonly home: Home, readonly profile: string) {}

  async socket(): Promise<string> {
    this.#path ??= (JSON.parse((await this.home.pfly(['runtime', 'status', '--json'], this)).stdout) as Status).socket;
    return this.#path;
  }

  /** Sends a request to one of the runtime's own addresses. @throws Error unless the answer is a success */
  async ask<T>(component: 'ua' | 'registry', type: string, body: Record<string, unknown>): Promise<T> {
    const program = await Program.open(await this.socket());
    try {
      const { code, value, description } = await program.ask(`${program.runtime}/${component}`, type, body);
      if (code >= 300 || code === 0) throw new Error(`${type} ${String(body['resource'])}: ${String(code)} ${description ?? ''}`);
      return value as T;
    } finally {
      program.close();
    }
  }

  status(): Promise<Status> {
    return this.ask('ua', 'read', { resource: 'status' });
  }

  hyperties(): Promise<{ url: string; name: string; status: string; attached: number; inbox: { messages: number; bytes: number } }[]> {
    return this.ask('registry', 'read', { resource: 'hyperties' });
  }

  connections(): Promise<Connection[]> {
    return this.ask('registry', 'read', { resource: 'connections' });
  }

  async live(): Promise<Connection[]> {
    return (await this.connections()).filter(({ status }) => status === 'live');
  }

  stubs(): Promise<Stub[]> {
    return this.ask('registry', 'read', { resource: 'protostubs' });
  }

  async sandbox(kind: 'p2p-handler' | 'msg-node'): Promise<number> {
    return (await this.stubs()).find((stub) => stub.kind === kind)!.pid;
  }

  /** Returns the ids of the runtime's process and its sandboxes. */
  async pids(): Promise<number[]> {
    const [{ pid }, stubs] = await Promise.all([this.status(), this.stubs()]);
    return [...new Set([pid, ...stubs.map((stub) => stub.pid)])];
  }

  /** Registers a hyperty. @returns its address */
  async register(name: string, spec: Record<string, unknown> = {}): Promise<string> {
    return (await this.ask<{ url: string }>('registry', 'create', { value: { name, ...spec } })).url;
  }

  async run(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.home.pfly(args, this);
    if (code !== 0) throw new Error(`protofly ${args.join(' ')} ended with ${String(code)}: ${stderr}`);
    return stdout;
  }

  start(...args: readonly string[]): ChildProcess {
    return this.home.start(args, this);
  }
}

/** The same, for a question that may fail while things are being killed and started. */
export const untilAnswered = (what: string, holds: () => Promise<boolean>, ms?: number): Promise<void> =>
  until(what, () => holds().catch(() => false), ms);

/** Starts a command whose stdin the test feeds; killed after the test. */
export const startFed = (t: Test, home: Home, profile: string, args: readonly string[]): ChildProcess => {
  const child = spawn(process.execPath, [BIN, ...args], {
    env: { PATH: process.env['PATH'] ?? '', PROTOFLY_HOME: home.path, PROTOFLY_PROFILE: profile }, stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => undefined);
  t.teardown(() => { child.kill('SIGKILL'); });
  return child;
};

/** Collects a child's output line by line. */
export class Lines {
  readonly all: string[] = [];
  readonly ended: Promise<number | null>;
  #rest = '';
  #stderr = '';
  #waiting: { readonly count: number; readonly resolve: () => void; readonly reject: (error: Error) => void }[] = [];

  constructor(readonly child: ChildProcess, onLine: (line: string) => void = (line) => { this.all.push(line); }) {
    let count = 0;
    child.stdout!.setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (this.#rest + chunk).split('\n');
      this.#rest = lines.pop()!;
      for (const line of lines) onLine(line);
      count += lines.length;
      this.#waiting = this.#waiting.filter((waiting) => {
        if (waiting.count > count) return true;
        waiting.resolve();
        return false;
      });
    });
    child.stderr!.setEncoding('utf8').on('data', (chunk: string) => { this.#stderr += chunk; });
    this.ended = new Promise((resolve) => {
      child.once('close', (code) => {
        for (const { count: wanted, reject } of this.#waiting) reject(new Error(`it ended with ${String(code)} before line ${String(wanted)}: ${this.#stderr}`));
        resolve(code);
      });
    });
  }

  get stderr(): string {
    return this.#stderr;
  }

  /** Resolves when `count` lines have come. */
  reached(count: number): Promise<void> {
    const reached = new Promise<void>((resolve, reject) => { this.#waiting.push({ count, resolve, reject }); });
    reached.catch(() => undefined);
    return reached;
  }
}

/** Returns the output of `seq FIRST LAST`. */
export const seq = (last: number, first = 1): string => Array.from({ length: last - first + 1 }, (_, index) => `${String(first + index)}\n`).join('');

/** Compares lines with the output of `seq`. Describes what was lost, repeated or reordered; empty if nothing was. */
export const faultsIn = (lines: readonly string[], last: number): string[] => {
  const numbers = lines.map(Number);
  const seen = new Set(numbers);
  const lost = Array.from({ length: last }, (_, index) => index + 1).filter((number) => !seen.has(number));
  const reordered = numbers.filter((number, index) => index > 0 && number < numbers[index - 1]!);
  return [
    ...(lost.length > 0 ? [`${String(lost.length)} lost, the first ${String(lost[0])}`] : []),
    ...(seen.size < numbers.length ? [`${String(numbers.length - seen.size)} repeated`] : []),
    ...(reordered.length > 0 ? [`${String(reordered.length)} out of order, the first ${String(reordered[0])}`] : []),
  ];
};

export const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

/** Figures of a process from the kernel. */
export const rssOf = (pid: number): number => Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))![1]) * 1024;
export const threadsOf = (pid: number): number => readdirSync(`/proc/${String(pid)}/task`).length;
export const descriptorsOf = (pid: number): number => readdirSync(`/proc/${String(pid)}/fd`).length;

/** Kills a process with SIGKILL and waits until it is gone. */
export const murder = async (pid: number): Promise<void> => {
  process.kill(pid, 'SIGKILL');
  await until(`process ${String(pid)} is gone`, () => {
    try {
      return readFileSync(`/proc/${String(pid)}/stat`, 'utf8').includes(') Z ');
    } catch {
      return true;
    }
  });
};

export interface World {
  readonly url: string;
  readonly alice: Peer;
  readonly bob: Peer;
}

/** Starts a domain and two live runtimes in it; alice has the hyperty `out`. */
export const withWorld = async (home: Home): Promise<World> => {
  const url = await home.domain('--allow-unauthenticated');
  await Promise.all([home.runtime('alice', url), home.runtime('bob', url)]);
  const [alice, bob] = [new Peer(home, 'alice'), new Peer(home, 'bob')];
  await alice.register('out');
  return { url, alice, bob };
};
