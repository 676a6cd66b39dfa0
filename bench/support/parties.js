import { fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Home } from './home.js';

/** A party in a process of its own, which does what `roles/<role>.js` can. */
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

  /** Has it do something. @returns what its role's function of that name gives back */
  ask(command, argument) {
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#waiting.set(id, { resolve, reject });
      this.#child.send({ id, command, argument }, (error) => { if (error) reject(error); });
    });
  }

  /** Lets it end in order; it is given two seconds. */
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

/** Everybody that takes part in one benchmark. */
export class Parties {
  #all = [];

  /** @param execArgv what its Node is to be started with */
  start(role, execArgv = []) {
    const party = new Party(role, execArgv);
    this.#all.push(party);
    return party;
  }

  /** A home of the command line, with nothing in it yet. */
  home() {
    const home = new Home();
    this.#all.push(home);
    return home;
  }

  /** A temporary folder, for parties that are started after this. @returns its path */
  folder() {
    const path = mkdtempSync(join(tmpdir(), 'pfb-'));
    const remove = () => { rmSync(path, { recursive: true, force: true }); };
    this.#all.push({ close: remove, kill: remove });
    return path;
  }

  /** A domain server. @param init what is to be unlike other domain servers here @returns its URL */
  domain(init) {
    return this.start('domain').ask('start', init);
  }

  /** Runtimes with one hyperty each. @returns per user the party and the hyperty's address */
  runtimes(domain, options, ...users) {
    return Promise.all(users.map(async (user) => {
      const party = this.start('runtime');
      return { party, address: await party.ask('start', { domain, user, ...options }) };
    }));
  }

  async close() {
    // The last one first: runtimes before their domain.
    for (const party of this.#all.splice(0).reverse()) await party.close();
  }

  kill() {
    for (const party of [...this.#all].reverse()) party.kill();
  }
}
