// The command line in a home of its own, programs at its runtimes' sockets (docs/control.md), and the kernel's
// figures of their processes. For the soak tests. Uses none of protofly's code.
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url));
const ANSWER_MS = 20_000;

/**
 * Maximum growth of a process since the warm-up, for any duration. V8's young generation alone grows to 48 MiB
 * with time. A leaked connection costs more than 40 KiB, a thread or a descriptor.
 */
export const TOLERANCE = { rssMiB: 40, threads: 2, descriptors: 4 };

/** Returns the resources that a process holds. */
export const figuresOf = (pid) => ({
  rssMiB: Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))[1]) / 102.4) / 10,
  threads: readdirSync(`/proc/${String(pid)}/task`).length,
  descriptors: readdirSync(`/proc/${String(pid)}/fd`).length,
});

/** Describes the figures that have grown by more than the tolerance. */
export const growth = (name, first, last) => Object.entries(TOLERANCE)
  .filter(([figure, tolerance]) => last[figure] - first[figure] > tolerance)
  .map(([figure]) => `${name}: ${figure} from ${String(first[figure])} to ${String(last[figure])}`);

/** Returns the last lines of a log, and all warnings before them. */
const lastOf = (lines) => [...lines.slice(0, -15).filter((line) => /"level":[4-9]0/.test(line)).slice(-50), ...lines.slice(-15)];

/** Polls until a condition holds. @throws Error after `ms`, or if `signal` aborts */
export const until = async (what, holds, ms = 20_000, signal) => {
  for (const end = Date.now() + ms; !(await holds()); ) {
    signal?.throwIfAborted();
    if (Date.now() > end) throw new Error(`it did not come true: ${what}`);
    await pause(2);
  }
};

/** A program at a runtime's socket. */
export class Program {
  #socket;
  #waiting = new Map();
  #prefix = Math.random().toString(36).slice(2);
  #last = 0;
  address = 'mn:/client';
  runtime = '';
  #listeners = new Map();
  /** Resolves when the socket has closed. Pending requests reject first. */
  closed;

  static async open(path) {
    const program = new Program(path);
    const { value } = await program.ask('mn:/session', 'open', { value: { token: readFileSync(`${path}.token`, 'utf8').trim() } });
    return Object.assign(program, { address: value.address, runtime: value.runtime });
  }

  constructor(path) {
    this.#socket = connect(path);
    let rest = '';
    this.#socket.setEncoding('utf8').on('data', (chunk) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop();
      // An empty line announces that the runtime closes the link.
      for (const line of lines) if (line !== '') this.#take(JSON.parse(line));
    }).on('error', () => undefined);
    this.closed = new Promise((resolve) => {
      this.#socket.once('close', () => {
        for (const { reject } of this.#waiting.values()) reject(new Error('the socket has closed'));
        this.#waiting.clear();
        resolve();
      });
    });
  }

  /** Sets the listener for messages to an address, other than answers to this program's requests. */
  listen(address, listener) {
    this.#listeners.set(address, listener);
  }

  post(frame) {
    this.#socket.write(`${JSON.stringify({ id: this.#id(), ...frame })}\n`);
  }

  /**
   * Sends a request.
   * @returns the body of its final answer, with any code
   * @throws Error if the socket closes,
   *   or after `ms`; 0: no limit
   */
  request(to, type, body, from = this.address, ms = ANSWER_MS) {
    const id = this.#id();
    return new Promise((resolve, reject) => {
      const timer = ms === 0 ? undefined : setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Error(`${type} to ${to}: no answer within ${String(ms)} ms`));
      }, ms);
      const done = (settle) => (value) => { clearTimeout(timer); settle(value); };
      this.#waiting.set(id, { resolve: done(resolve), reject: done(reject) });
      this.#socket.write(`${JSON.stringify({ id, type, from, to, body })}\n`);
    });
  }

  /** The same, but throws unless the answer is a success. */
  async ask(to, type, body, from) {
    const answer = await this.request(to, type, body, from);
    if (answer.code >= 300) throw new Error(`${type} to ${to}: ${String(answer.code)} ${answer.description}`);
    return answer;
  }

  async registry(type, body) {
    return (await this.ask(`${this.runtime}/registry`, type, body)).value;
  }

  close() {
    this.#socket.destroy();
  }

  #id() {
    return `${this.#prefix}${String(this.#last += 1)}`;
  }

  #take(message) {
    const { id, type, body } = message;
    if (type !== 'response') { this.#listeners.get(message.to)?.(message); return; }
    if (body.code < 200) return;
    this.#waiting.get(id)?.resolve(body);
    this.#waiting.delete(id);
  }
}

/** The home of one soak test's runtimes and domain server; removed by `close`. */
export class Home {
  path = mkdtempSync(join(tmpdir(), 'pf-soak-'));

  /** Runs a command to its end. @returns its parsed output */
  run(...args) {
    return new Promise((resolve, reject) => {
      const env = { PATH: process.env.PATH ?? '', PROTOFLY_HOME: this.path };
      execFile(process.execPath, [BIN, ...args, '--json'], { env }, (error, stdout, stderr) => {
        if (error === null) resolve(stdout === '' ? undefined : JSON.parse(stdout));
        else reject(new Error(`protofly ${args.join(' ')}: ${stderr || stdout}`));
      });
    });
  }

  /** Starts a domain server that listens at `listen`. */
  domain(listen = '127.0.0.1:0') {
    return this.run('domain', 'start', '--listen', listen, '--detach', '--wait', '60s');
  }

  /** Starts a user's runtime, in a profile of the same name. */
  runtime(user, url) {
    return this.run('runtime', 'start', '--profile', user, '--user', user, '--domain', url, '--wait', '60s');
  }

  /** Returns the last log lines of the runtimes, for use after a failure. */
  lastWords() {
    return this.#names('profiles').flatMap((user) => {
      const folder = join(this.path, 'profiles', user);
      return readdirSync(folder).filter((file) => file.endsWith('.log'))
        .map((log) => `${user}, ${log}:\n${lastOf(readFileSync(join(folder, log), 'utf8').trimEnd().split('\n')).join('\n')}\n`);
    }).join('');
  }

  async close() {
    const endings = [
      ...this.#names('profiles').map((user) => this.run('runtime', 'stop', '--profile', user)),
      ...this.#names('domains').map((name) => this.run('domain', 'stop', '--name', name)),
    ];
    await Promise.all(endings.map((ending) => ending.catch((error) => { process.stderr.write(`${error.message}\n`); })));
    rmSync(this.path, { recursive: true, force: true });
  }

  #names(folder) {
    const path = join(this.path, folder);
    return existsSync(path) ? readdirSync(path) : [];
  }
}
