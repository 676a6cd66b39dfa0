// Opens and closes P2P connections between two real runtimes, over and over.
import { setTimeout as pause } from 'node:timers/promises';
import { figuresOf, growth, Program, TOLERANCE, until } from './home.js';

const start = async (home, user, domain) => {
  const { socket, pid } = await home.runtime(user, domain);
  const program = await Program.open(socket);
  const { url } = await program.registry('create', { value: { name: 'in' } });
  const stubs = await program.registry('read', { resource: 'protostubs' });
  const sandbox = (kind) => stubs.find((stub) => stub.kind === kind).pid;
  return { user, program, hyperty: url, pids: { runtime: pid, 'P2P sandbox': sandbox('p2p-handler'), 'message-node sandbox': sandbox('msg-node') } };
};

const live = async ({ program }) => (await program.registry('read', { resource: 'connections' })).filter(({ status }) => status === 'live').length;

const cycle = async (from, to, signal) => {
  await from.program.registry('execute', { resource: '/p2p/connect', value: { address: to.hyperty } });
  const { path } = await from.program.ask(to.hyperty, 'create', { value: 'hello', expect: 'receipt', p2p: 'require' }, from.hyperty);
  if (path !== 'p2p') throw new Error(`the message came by ${path}`);
  await from.program.registry('execute', { resource: '/p2p/disconnect', value: { address: to.hyperty } });
  await until('both sides have closed', async () => (await live(from)) + (await live(to)) === 0, 20_000, signal);
};

/** Runs cycles: connect, send a message directly with a receipt, disconnect; both sides must agree. */
export const soakConnections = async (home, { cycles }, signal) => {
  const warmUp = Math.min(50, Math.floor(cycles / 2));
  const { url } = await home.domain();
  const peers = await Promise.all(['alice', 'bob'].map((user) => start(home, user, url)));
  // An attached program takes the messages, so that they don't pile up.
  for (const { program } of peers) await program.ask(`${program.runtime}/ua`, 'subscribe', { resource: 'in' });
  const processes = peers.flatMap(({ user, pids }) => Object.entries(pids).map(([what, pid]) => ({ name: `${user}: ${what}`, pid })));
  const look = () => processes.map(({ name, pid }) => {
    try {
      return figuresOf(pid);
    } catch (error) {
      throw new Error(`the process has ended: ${name} (pid ${String(pid)})`, { cause: error });
    }
  });
  const started = performance.now();
  let first;
  for (let done = 1; done <= cycles; done += 1) {
    signal.throwIfAborted();
    const [from, to] = done % 2 === 0 ? peers : [...peers].reverse();
    await cycle(from, to, signal);
    if (done === warmUp) first = look();
    if (done % 100 === 0) process.stderr.write(`${String(done)} cycles: ${look().map(({ rssMiB }) => rssMiB).join(', ')} MiB\n`);
  }
  const seconds = (performance.now() - started) / 1000;
  // The last closed connections may still be cleaning up.
  let last = look();
  const grown = () => processes.flatMap(({ name }, index) => growth(name, first[index], last[index]));
  for (let patience = 0; grown().length > 0 && patience < 20; patience += 1) {
    await pause(250);
    last = look();
  }
  for (const { program } of peers) program.close();
  return {
    cycles, msPerCycle: Math.round(seconds * 1000 / cycles * 10) / 10, warmUp, tolerance: TOLERANCE,
    processes: processes.map(({ name }, index) => ({ name, after: first[index], end: last[index] })),
    grown: grown(), passed: grown().length === 0,
  };
};
