import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Home } from './home.js';

/** A party in a process of its own. Its commands are in `roles/<role>.js`. */
class Party {
  #child;
  #waiting = new Map();
  #next = 1;

  constructor(role, execArgv) {
    this.#child = fork(fileURLToPath(new URL(`../roles/${role}.js`, import.meta.url)), { execArgv, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#child.on('message', ({ id, value, error }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) resolve(value);
      else reject(new Error(`${role}: ${error}`));
    });
    this.#child.on('exit', (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`${role} ended (${signal ?? code})`));
      this.#waiting.clear();
    });
  }

  get pid() {
    return this.#child.pid;
  }

  /** Runs a command of the party's role. @returns the command's result */
  ask(command, argument) {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, command, argument }, (error) => { if (error) reject(error); });
    });
  }

  /** Lets the process end in order, within two seconds. */
  async close() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = new Promise((resolve) => { this.#child.once('exit', resolve); });
    const timer = setTimeout(() => { this.kill(); }, 2000);
    this.#child.disconnect();
    await exited;
    clearTimeout(timer);
  }

  kill() {
    this.#child.kill('SIGKILL');
  }
}

/** All parties of one benchmark. */
export class Parties {
  #all = [];

  /** @param execArgv options for the party's Node */
  start(role, execArgv = []) {
    const party = new Party(role, execArgv);
    this.#all.push(party);
    return party;
  }

  /** Creates an empty home of the command line. */
  home() {
    const home = new Home();
    this.#all.push(home);
    return home;
  }

  /** Creates a temporary folder for parties that are started later. @returns its path */
  folder() {
    const path = mkdtempSync(join(tmpdir(), 'pfb-'));
    const remove = () => { rmSync(path, { recursive: true, force: true }); };
    this.#all.push({ close: remove, kill: remove });
    return path;
  }

  /** Starts a domain server. @param init deviations from the default settings @returns its URL */
  domain(init) {
    return this.start('domain').ask('start', init);
  }

  /** Starts runtimes with one hyperty each. @returns per user, the party and the hyperty's address */
  runtimes(domain, options, ...users) {
    return Promise.all(users.map(async (user) => {
      const party = this.start('runtime');
      return { party, address: await party.ask('start', { domain, user, ...options }) };
    }));
  }

  async close() {
    // Closes the last party first, so that runtimes end before their domain.
    for (const party of this.#all.splice(0).reverse()) await party.close();
  }

  kill() {
    for (const party of [...this.#all].reverse()) party.kill();
  }
}
