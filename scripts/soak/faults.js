// Random faults of a soak test. A seed determines the kind, the place and the duration of each.

/** Returns a generator of numbers from 0 to 1, determined by a seed. */
export const randomOf = (seed) => {
  let state = (seed * 2654435761) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state / 2 ** 32;
  };
};

/** Relative frequency of each kind. */
const WEIGHTS = { 'kill sandbox': 3, disconnect: 4, 'stop sandbox': 3, 'kill domain': 1, 'kill runtime': 1 };

/** Injects faults into peers and their domain, and counts them. After `settle`, none is in progress. */
export class Faults {
  counts = {};
  #random;
  #kinds;
  #peers;
  /** Peers whose runtimes may be killed. The first peer is spared, to show whether a runtime grows. */
  #mortal;
  #domain;
  #traffic;
  #stopped = new Map();
  #underWay = new Set();
  #failed = [];

  constructor({ random, peers, domain, traffic }, { killRuntimes = true } = {}) {
    this.#random = random;
    this.#peers = peers;
    this.#mortal = peers.slice(1);
    this.#domain = domain;
    this.#traffic = traffic;
    this.#kinds = Object.entries(WEIGHTS).filter(([kind]) => killRuntimes || kind !== 'kill runtime').flatMap(([kind, weight]) => Array.from({ length: weight }, () => kind));
    for (const kind of this.#kinds) this.counts[kind] = 0;
  }

  /** Injects one random fault. A fault without a target isn't counted. */
  strike() {
    const kind = this.#pick(this.#kinds);
    const where = this.#pick(kind === 'kill runtime' ? this.#mortal : this.#peers);
    const { program } = where;
    const which = this.#random();
    const ms = 1000 + 3000 * this.#random();
    const does = {
      'kill sandbox': () => this.#killSandbox(where, which),
      disconnect: () => this.#disconnect(where, which),
      'stop sandbox': () => this.#stopSandbox(where, which, ms),
      'kill domain': () => this.#domain.restart(),
      'kill runtime': () => this.#killRuntime(where),
    };
    const done = does[kind]().then(
      (struck) => { if (struck) this.counts[kind] += 1; },
      (thrown) => {
        // A runtime that was killed since doesn't answer.
        if (kind === 'kill runtime' || where.program === program) this.#failed.push(`${kind} at ${where.user}: ${thrown.message}`);
      },
    ).finally(() => { this.#underWay.delete(done); });
    this.#underWay.add(done);
  }

  /** Resumes everything that was stopped, and waits for faults in progress. @returns failures of the faults themselves */
  async settle() {
    for (const go of this.#stopped.values()) go();
    await Promise.all(this.#underWay);
    return this.#failed;
  }

  async #killSandbox(peer, which) {
    const pid = await this.#sandbox(peer, which);
    return pid !== undefined && signal(pid, 'SIGKILL');
  }

  async #stopSandbox(peer, which, ms) {
    const pid = await this.#sandbox(peer, which);
    if (pid === undefined || this.#stopped.has(pid) || !signal(pid, 'SIGSTOP')) return false;
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#stopped.set(pid, () => { clearTimeout(timer); resolve(); });
    });
    this.#stopped.delete(pid);
    signal(pid, 'SIGCONT');
    return true;
  }

  async #disconnect(peer, which) {
    const live = ((await peer.program?.registry('read', { resource: 'connections' })) ?? []).filter(({ status }) => status === 'live');
    if (live.length === 0) return false;
    const { remoteRuntime } = live[Math.floor(which * live.length)];
    const { code } = await peer.program.request(`${peer.program.runtime}/registry`, 'execute', { resource: '/p2p/disconnect', value: { address: remoteRuntime } });
    return code < 300;
  }

  async #killRuntime(peer) {
    const { program } = peer;
    if (program === undefined) return false;
    peer.program = undefined;
    process.kill(peer.pid, 'SIGKILL');
    await program.closed;
    this.#traffic.killed(peer);
    await peer.start();
    await this.#traffic.resume(peer);
    return true;
  }

  /** Returns the process of one of a runtime's sandboxes. */
  async #sandbox(peer, which) {
    const stubs = (await peer.program?.registry('read', { resource: 'protostubs' })) ?? [];
    const pids = [...new Set(stubs.flatMap(({ pid }) => (pid === undefined ? [] : [pid])))];
    return pids[Math.floor(which * pids.length)];
  }

  #pick(list) {
    return list[Math.floor(this.#random() * list.length)];
  }
}

/** @returns false if the process no longer exists */
const signal = (pid, name) => {
  try {
    process.kill(pid, name);
    return true;
  } catch (thrown) {
    if (thrown.code !== 'ESRCH') throw thrown;
    return false;
  }
};
