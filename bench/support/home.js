import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../../bin/run.js', import.meta.url));

/** The command line with settings and state of its own, in a temporary folder. */
export class Home {
  #path = mkdtempSync(join(tmpdir(), 'pfb-'));

  /** Starts a command; `stdio` directs its output. */
  spawn(profile, args, stdio = ['ignore', 'pipe', 'pipe']) {
    return spawn(process.execPath, [BIN, ...args], { env: this.#env(profile), stdio });
  }

  /** Runs a command to its end. @returns its output */
  run(profile, ...args) {
    return new Promise((resolve, reject) => {
      const child = this.spawn(profile, args);
      const text = { stdout: '', stderr: '' };
      for (const name of ['stdout', 'stderr']) child[name].setEncoding('utf8').on('data', (chunk) => { text[name] += chunk; });
      child.once('error', reject).once('close', (code) => {
        if (code === 0) resolve(text.stdout);
        else reject(new Error(`protofly ${args.join(' ')} ended with ${code}: ${text.stderr}`));
      });
    });
  }

  async json(profile, ...args) {
    return JSON.parse(await this.run(profile, ...args, '--json'));
  }

  /** Starts a domain server. */
  domain() {
    return this.json('default', 'domain', 'start', '--listen', '127.0.0.1:0', '--detach', '--wait', '30s');
  }

  /** Starts a runtime for a user with the profile's name. */
  runtime(profile, url) {
    return this.json(profile, 'runtime', 'start', '--domain', url, '--user', profile, '--wait', '30s');
  }

  async close() {
    const each = (folder, args) => Promise.all(this.#names(folder).map((name) => this.run(...args(name)).catch(() => undefined)));
    await each('profiles', (profile) => [profile, 'runtime', 'stop']);
    await each('domains', (name) => ['default', 'domain', 'stop', '--name', name]);
    rmSync(this.#path, { recursive: true, force: true });
  }

  /** Stops everything synchronously, for a process that is about to end. */
  kill() {
    const stop = (profile, args) => spawnSync(process.execPath, [BIN, ...args], { env: this.#env(profile), stdio: 'ignore', timeout: 5000 });
    for (const profile of this.#names('profiles')) stop(profile, ['runtime', 'stop']);
    for (const name of this.#names('domains')) stop('default', ['domain', 'stop', '--name', name]);
    rmSync(this.#path, { recursive: true, force: true });
  }

  #env(profile) {
    return { PATH: process.env.PATH, PROTOFLY_HOME: this.#path, PROTOFLY_PROFILE: profile };
  }

  #names(folder) {
    const path = join(this.#path, folder);
    return existsSync(path) ? readdirSync(path) : [];
  }
}
