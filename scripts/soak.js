// Opens and closes P2P connections between two real runtimes, over and over, and watches what their processes hold on to.
//
//   node scripts/soak.js [CYCLES]     default 1000; needs a build, and /proc
//
// One cycle: connect, a message with a receipt that came directly, disconnect, both sides agree. Prints a JSON document
// with the figures of every process after the warm-up and at the end. Exit 1 when one of them has grown.
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const BIN = fileURLToPath(new URL('../bin/run.js', import.meta.url));
/** By how much a process may have grown since the warm-up, however many cycles. V8's young generation alone comes to 48 MiB with time; a connection that isn't freed costs more than 40 KiB, a thread or a descriptor. */
const TOLERANCE = { rssMiB: 40, threads: 2, descriptors: 4 };

const cycles = Number(process.argv[2] ?? 1000);
if (!Number.isSafeInteger(cycles) || cycles < 2) throw new Error('how many cycles? a whole number from 2');
const warmUp = Math.min(50, Math.floor(cycles / 2));
const home = mkdtempSync(join(tmpdir(), 'pf-soak-'));

const protofly = (...args) => new Promise((resolve, reject) => {
  const env = { PATH: process.env.PATH ?? '', PROTOFLY_HOME: home };
  execFile(process.execPath, [BIN, ...args, '--json'], { env }, (error, stdout, stderr) => {
    if (error === null) resolve(stdout === '' ? undefined : JSON.parse(stdout));
    else reject(new Error(`protofly ${args.join(' ')}: ${stderr || stdout}`));
  });
});

/** A program at a runtime's socket (docs/control.md). */
const open = async (path) => {
  const socket = connect(path);
  const waiting = new Map();
  let rest = '';
  let last = 0;
  let address = 'mn:/client';
  socket.setEncoding('utf8').on('data', (chunk) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop();
    // An empty line says that the runtime closes the link.
    for (const line of lines.filter((text) => text !== '')) {
      const { id, type, body } = JSON.parse(line);
      if (type !== 'response' || body.code < 200) continue;
      waiting.get(id)?.(body);
      waiting.delete(id);
    }
  });
  const ask = async (to, type, body, from = address) => {
    const id = `soak${String(last += 1)}`;
    const answer = await new Promise((resolve) => {
      waiting.set(id, resolve);
      socket.write(`${JSON.stringify({ id, type, from, to, body })}\n`);
    });
    if (answer.code >= 300) throw new Error(`${type} to ${to}: ${String(answer.code)} ${answer.description}`);
    return answer;
  };
  const { value } = await ask('mn:/session', 'open', {});
  address = value.address;
  return {
    runtime: value.runtime,
    ask,
    registry: async (type, body) => (await ask(`${value.runtime}/registry`, type, body)).value,
    close: () => socket.destroy(),
  };
};

const until = async (what, holds) => {
  for (const end = Date.now() + 20_000; !(await holds()); ) {
    if (Date.now() > end) throw new Error(`it did not come true: ${what}`);
    await pause(2);
  }
};

/** What a process holds. */
const figuresOf = (pid) => ({
  rssMiB: Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))[1]) / 102.4) / 10,
  threads: readdirSync(`/proc/${String(pid)}/task`).length,
  descriptors: readdirSync(`/proc/${String(pid)}/fd`).length,
});

const start = async (user, domain) => {
  const { socket, pid } = await protofly('runtime', 'start', '--profile', user, '--user', user, '--domain', domain);
  const program = await open(socket);
  const { url } = await program.registry('create', { value: { name: 'in' } });
  const stubs = await program.registry('read', { resource: 'protostubs' });
  const sandbox = (kind) => stubs.find((stub) => stub.kind === kind).pid;
  return { user, program, hyperty: url, pids: { runtime: pid, 'P2P sandbox': sandbox('p2p-handler'), 'message-node sandbox': sandbox('msg-node') } };
};

const live = async ({ program }) => (await program.registry('read', { resource: 'connections' })).filter(({ status }) => status === 'live').length;

const cycle = async (from, to) => {
  await from.program.registry('execute', { resource: '/p2p/connect', value: { address: to.hyperty } });
  const { path } = await from.program.ask(to.hyperty, 'create', { value: 'hello', expect: 'receipt', p2p: 'require' }, from.hyperty);
  if (path !== 'p2p') throw new Error(`the message came by ${path}`);
  await from.program.registry('execute', { resource: '/p2p/disconnect', value: { address: to.hyperty } });
  await until('both sides have closed', async () => (await live(from)) + (await live(to)) === 0);
};

const soak = async () => {
  const { url } = await protofly('domain', 'start', '--listen', '127.0.0.1:0', '--detach');
  const peers = await Promise.all(['alice', 'bob'].map((user) => start(user, url)));
  // An attached program takes the messages, so that nothing piles up.
  for (const { program } of peers) await program.ask(`${program.runtime}/ua`, 'subscribe', { resource: 'in' });
  const processes = peers.flatMap(({ user, pids }) => Object.entries(pids).map(([what, pid]) => ({ name: `${user}: ${what}`, pid })));
  const look = () => processes.map(({ pid }) => figuresOf(pid));
  const started = performance.now();
  let first;
  for (let done = 1; done <= cycles; done += 1) {
    const [from, to] = done % 2 === 0 ? peers : [...peers].reverse();
    await cycle(from, to);
    if (done === warmUp) first = look();
    if (done % 100 === 0) process.stderr.write(`${String(done)} cycles: ${look().map(({ rssMiB }) => rssMiB).join(', ')} MiB\n`);
  }
  const seconds = (performance.now() - started) / 1000;
  // What was closed last may still be on its way out.
  let last = look();
  const grown = () => processes.flatMap(({ name }, index) => Object.entries(TOLERANCE)
    .filter(([figure, tolerance]) => last[index][figure] - first[index][figure] > tolerance)
    .map(([figure]) => `${name}: ${figure} from ${String(first[index][figure])} to ${String(last[index][figure])}`));
  for (let patience = 0; grown().length > 0 && patience < 20; patience += 1) {
    await pause(250);
    last = look();
  }
  for (const { program } of peers) program.close();
  return {
    cycles, msPerCycle: Math.round(seconds * 1000 / cycles * 10) / 10, warmUp, tolerance: TOLERANCE,
    processes: processes.map(({ name }, index) => ({ name, after: first[index], end: last[index] })),
    grown: grown(),
  };
};

const stop = async () => {
  await Promise.all([...['alice', 'bob'].map((user) => protofly('runtime', 'stop', '--profile', user)), protofly('domain', 'stop')].map((ending) => ending.catch((error) => { process.stderr.write(`${error.message}\n`); })));
  rmSync(home, { recursive: true, force: true });
};

/** The last words of the runtimes, when something went wrong. */
const tellLogs = () => {
  for (const user of ['alice', 'bob']) {
    const folder = join(home, 'profiles', user);
    for (const log of existsSync(folder) ? readdirSync(folder).filter((file) => file.endsWith('.log')) : []) {
      process.stderr.write(`${user}, ${log}:\n${readFileSync(join(folder, log), 'utf8').split('\n').slice(-15).join('\n')}\n`);
    }
  }
};

try {
  const figures = await soak();
  process.stdout.write(`${JSON.stringify(figures, undefined, 2)}\n`);
  process.exitCode = figures.grown.length === 0 ? 0 : 1;
} catch (error) {
  process.stderr.write(`${error.stack}\n`);
  tellLogs();
  process.exitCode = 1;
} finally {
  await stop();
}
