// Numbered messages with receipts between pairs of hyperties in a few runtimes, with one fault per second.
import { setTimeout as pause } from 'node:timers/promises';
import { Faults, randomOf } from './faults.js';
import { figuresOf, growth, Program, TOLERANCE, until } from './home.js';
import { Traffic } from './traffic.js';

const SETTLE_MS = 90_000;

/** A runtime, and the only program of its hyperties. */
class Peer {
  pid;
  /** Absent while the runtime is down. */
  program;
  #home;
  #url;

  constructor(home, user, url) {
    this.#home = home;
    this.user = user;
    this.#url = url;
  }

  async start(signal) {
    // Without a domain server a runtime doesn't become live; so this retries until the server is back.
    for (let attempts = 1; ; attempts += 1) {
      try {
        const { socket, pid } = await this.#home.runtime(this.user, this.#url);
        this.pid = pid;
        this.program = await Program.open(socket);
        return;
      } catch (thrown) {
        signal?.throwIfAborted();
        if (attempts === 3) throw thrown;
      }
    }
  }

  async register(name) {
    return (await this.program.registry('create', { value: { name } })).url;
  }

  /** Returns the reason why the runtime isn't live, or undefined. */
  async notLive() {
    const { value: { state, reason } } = await this.program.ask(`${this.program.runtime}/ua`, 'read', { resource: 'status' });
    return state === 'live' ? undefined : `${this.user} is ${state}: ${reason}`;
  }
}

/** The domain server; it always restarts at the same address. */
class Domain {
  #home;
  #restarting;

  constructor(home) {
    this.#home = home;
  }

  async start() {
    ({ url: this.url, pid: this.pid } = await this.#home.domain());
  }

  /** @returns false if a restart is already in progress */
  async restart() {
    if (this.#restarting) return false;
    this.#restarting = true;
    try {
      process.kill(this.pid, 'SIGKILL');
      ({ pid: this.pid } = await this.#home.domain(new URL(this.url).host));
      return true;
    } finally {
      this.#restarting = false;
    }
  }
}

/**
 * Injects one fault per second for `ms`, then lets everything settle.
 * @returns the runtimes that don't come back, and the reasons
 */
const storm = async ({ faults, traffic, peers }, ms, intervalMs, signal) => {
  traffic.start(intervalMs);
  for (const end = performance.now() + ms; performance.now() < end;) {
    faults.strike();
    await pause(1000, undefined, { signal });
  }
  traffic.pause();
  const failed = await faults.settle();
  if (failed.length > 0) throw new Error(failed[0]);
  const notLive = async () => (await Promise.all(peers.map((peer) => peer.notLive()))).filter((why) => why !== undefined);
  const rested = async () => traffic.outstanding === 0 && (await notLive()).length === 0;
  // Messages without an answer by then are in the report.
  await until('all is answered, and the runtimes are live', rested, SETTLE_MS, signal).catch(() => { signal.throwIfAborted(); });
  return notLive();
};

/** Measures the runtimes after a warm-up and at the end, and reports on the messages. */
const measure = async (parts, { minutes, intervalMs, quietMs }, signal) => {
  const { faults, traffic, peers } = parts;
  const look = () => peers.map(({ pid }) => ({ pid, ...figuresOf(pid) }));
  const warmUpMs = Math.min(minutes * 60_000 / 3, 120_000);
  const notLive = await storm(parts, warmUpMs, intervalMs, signal);
  const first = look();
  const steps = Math.max(1, Math.round(minutes / 5));
  for (let step = 1; step <= steps; step += 1) {
    notLive.push(...await storm(parts, (minutes * 60_000 - warmUpMs) / steps, intervalMs, signal));
    process.stderr.write(`${String(step)} of ${String(steps)}: ${look().map(({ rssMiB }) => rssMiB).join(', ')} MiB\n`);
  }
  let last = look();
  const grown = () => peers.flatMap(({ user }, index) => (last[index].pid === first[index].pid ? growth(user, first[index], last[index]) : []));
  // The last closed connections may still be cleaning up.
  for (let patience = 0; grown().length > 0 && patience < 20; patience += 1) {
    await pause(250, undefined, { signal });
    last = look();
  }
  while (traffic.quietMs < quietMs) await pause(Math.min(250, quietMs), undefined, { signal });
  const report = traffic.report();
  const { lost, repeated, reordered, refusedAndArrived, unanswered } = report;
  return {
    minutes, faults: faults.counts, traffic: report, tolerance: TOLERANCE,
    processes: peers.map(({ user }, index) => ({ name: user, replaced: last[index].pid !== first[index].pid, after: first[index], end: last[index] })),
    grown: grown(), notLive, passed: lost + repeated + reordered + refusedAndArrived + unanswered + notLive.length === 0 && grown().length === 0,
  };
};

/** @param intervalMs between two messages of a pair @param quietMs time without arrivals before the count */
export const soakUnderFaults = async (home, { minutes, pairs, runtimes, seed, killRuntimes, quietMs, intervalMs = 200 }, signal) => {
  const random = randomOf(seed);
  const domain = new Domain(home);
  await domain.start();
  const peers = Array.from({ length: runtimes }, (_, index) => new Peer(home, `peer${String(index + 1)}`, domain.url));
  for (const peer of peers) await peer.start(signal);
  const traffic = new Traffic();
  for (let index = 0; index < pairs; index += 1) {
    const from = Math.floor(random() * runtimes);
    const to = (from + 1 + Math.floor(random() * (runtimes - 1))) % runtimes;
    // Most want a direct connection, some take any path, some never want one.
    await traffic.add(peers[from], peers[to], index % 5 === 3 ? undefined : index % 5 !== 4);
  }
  const faults = new Faults({ random, peers, domain, traffic }, { killRuntimes });
  const parts = { faults, traffic, peers };
  try {
    return await measure(parts, { minutes, intervalMs, quietMs }, signal).then((measured) => ({ seed, pairs, runtimes, ...measured }));
  } finally {
    traffic.pause();
    // Resumes stopped processes, and finishes starts, before the home is closed.
    await faults.settle();
    for (const { program } of peers) program?.close();
  }
};

/** Formats the report as a table. */
export const tableOf = ({ seed, faults, traffic, processes, grown, notLive, passed }) => {
  const rows = [
    ['seed', String(seed)],
    ...Object.entries(faults).map(([kind, count]) => [kind, String(count)]),
    ...['sent', 'acknowledged', 'arrived', 'lost', 'repeated', 'reordered', 'refusedAndArrived', 'unanswered', 'refused', 'unknown', 'again'].map((name) => [name, String(traffic[name])]),
    ...Object.entries(traffic.refusals).map(([reason, count]) => [`refused with ${reason}`, String(count)]),
    ...Object.entries(traffic.paths).map(([path, count]) => [`came by ${path}`, String(count)]),
    ['wait for a receipt, ms', `p50 ${String(traffic.receiptMs.p50)}, p99 ${String(traffic.receiptMs.p99)}, longest ${String(traffic.receiptMs.longest)}`],
    ...processes.map(({ name, replaced, after, end }) => [name, replaced ? 'was replaced' : ['rssMiB', 'threads', 'descriptors'].map((figure) => `${figure} ${String(after[figure])} → ${String(end[figure])}`).join(', ')]),
    ['grown', grown.length === 0 ? 'nothing' : grown.join('; ')],
    ['not live afterwards', notLive.length === 0 ? 'none' : notLive.join('; ')],
    ['verdict', passed ? 'passed' : 'FAILED'],
  ];
  const width = Math.max(...rows.map(([head]) => head.length));
  return rows.map(([head, text]) => `${head.padEnd(width)}  ${text}`).join('\n');
};
