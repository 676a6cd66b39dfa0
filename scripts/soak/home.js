// The command line with a home of its own, programs at the sockets of its runtimes (docs/control.md), and what the
// kernel says of their processes. For the soak tests; knows nothing of protofly's code.
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url));
const ANSWER_MS = 20_000;

/** By how much a process may have grown since the warm-up, however long it ran. V8's young generation alone comes to 48 MiB with time; a connection that isn't freed costs more than 40 KiB, a thread or a descriptor. */
export const TOLERANCE = { rssMiB: 40, threads: 2, descriptors: 4 };

/** What a process holds. */
export const figuresOf = (pid) => ({
  rssMiB: Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))[1]) / 102.4) / 10,
  threads: readdirSync(`/proc/${String(pid)}/task`).length,
  descriptors: readdirSync(`/proc/${String(pid)}/fd`).length,
});

/** In words, which figures have grown by more than the tolerance. */
export const growth = (name, first, last) => Object.entries(TOLERANCE)
  .filter(([figure, tolerance]) => last[figure] - first[figure] > tolerance)
  .map(([figure]) => `${name}: ${figure} from ${String(first[figure])} to ${String(last[figure])}`);

/** Resolves when a condition holds that nobody tells of. @throws Error after `ms`, or when `signal` says so */
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
  /** Resolves when the socket is gone. Whoever waits for an answer then hears of it. */
  closed;

  static async open(path) {
    const program = new Program(path);
    const { value } = await program.ask('mn:/session', 'open', {});
    return Object.assign(program, { address: value.address, runtime: value.runtime });
  }

  constructor(path) {
    this.#socket = connect(path);
    let rest = '';
    this.#socket.setEncoding('utf8').on('data', (chunk) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop();
      // An empty line says that the runtime closes the link.
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

  /** Takes what comes for an address and isn't an answer to a question of this program. */
  listen(address, listener) {
    this.#listeners.set(address, listener);
  }

  post(frame) {
    this.#socket.write(`${JSON.stringify({ id: this.#id(), ...frame })}\n`);
  }

  /** Sends a request. @returns the body of its final answer, whatever its code @throws Error when the socket closes, or after `ms`; 0 is never */
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

  /** The same, where only success is a result. */
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

/** Where one soak test's runtimes and its domain server live. Nothing of it is left after `close`. */
export class Home {
  path = mkdtempSync(join(tmpdir(), 'pf-soak-'));

  /** Runs a command to its end. @returns what it says */
  run(...args) {
    return new Promise((resolve, reject) => {
      const env = { PATH: process.env.PATH ?? '', PROTOFLY_HOME: this.path };
      execFile(process.execPath, [BIN, ...args, '--json'], { env }, (error, stdout, stderr) => {
        if (error === null) resolve(stdout === '' ? undefined : JSON.parse(stdout));
        else reject(new Error(`protofly ${args.join(' ')}: ${stderr || stdout}`));
      });
    });
  }

  /** Starts a domain server where `listen` says. */
  domain(listen = '127.0.0.1:0') {
    return this.run('domain', 'start', '--listen', listen, '--detach', '--wait', '60s');
  }

  /** Starts a user's runtime, in a profile of the same name. */
  runtime(user, url) {
    return this.run('runtime', 'start', '--profile', user, '--user', user, '--domain', url, '--wait', '60s');
  }

  /** The last words of the runtimes, for when something went wrong. */
  lastWords() {
    return this.#names('profiles').flatMap((user) => {
      const folder = join(this.path, 'profiles', user);
      return readdirSync(folder).filter((file) => file.endsWith('.log'))
        .map((log) => `${user}, ${log}:\n${readFileSync(join(folder, log), 'utf8').split('\n').slice(-15).join('\n')}\n`);
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
