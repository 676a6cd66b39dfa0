import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createContext, type Interruption, type Surroundings } from '../../src/cli/context.js';
import { isAlive } from '../../src/cli/daemons/alive.js';
import { generatePublisherKey, publicHalf } from '../../src/security/index.js';
import { Program, untilAnswered } from '../support/acceptance.js';
import { ended, withHome, type Home, type Ran } from '../support/cli.js';
import { ManualClock } from '../support/manual-clock.js';
import { until } from '../support/until.js';

/** Maximum wait on a busy machine, in milliseconds. */
const SLOW_MS = 60_000;

/** Starts a domain that only describes itself. A runtime that joins it starts, and never becomes live. */
const silentDomain = async (t: Test): Promise<string> => {
  const publisherKey = publicHalf(await generatePublisherKey());
  const server = createServer((request, response) => {
    const { port } = server.address() as AddressInfo;
    if (request.url === '/.well-known/protofly') response.end(JSON.stringify({ domain: 'silent.example', publisherKey, messageNode: { websocket: `ws://127.0.0.1:${String(port)}/ws` } }));
  });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
};

const socketOf = (home: Home, profile: string): string => join(home.path, 'profiles', profile, 'runtime.sock');

/** A `runtime start` that waits to be live. */
interface Waiting {
  readonly child: ChildProcess;
  readonly over: Promise<Ran>;
  /** Process id of the runtime. */
  readonly pid: number;
  readonly socket: string;
}

const startWaiting = async (home: Home, url: string, profile: string, ...flags: readonly string[]): Promise<Waiting> => {
  const child = home.start(['runtime', 'start', '--domain', url, '--user', 'eve', '--wait', '2m', ...flags], { profile });
  const over = ended(child);
  const socket = socketOf(home, profile);
  // The socket's file exists shortly before the runtime listens on it.
  let program: Program | undefined;
  await untilAnswered('the runtime listens', async () => { program = await Program.open(socket); return true; }, SLOW_MS);
  if (program === undefined) throw new Error('the runtime does not listen');
  const { value } = await program.ask(`${program.runtime}/ua`, 'read', { resource: 'status' });
  program.close();
  return { child, over, socket, pid: (value as { pid: number }).pid };
};

/** Returns the process id that a command prints with its result. */
const printedPid = (child: ChildProcess): Promise<number> =>
  new Promise((resolve, reject) => {
    let text = '';
    child.once('close', () => { reject(new Error(`it ended and had printed ${JSON.stringify(text)}`)); });
    child.stdout!.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      const pid = /\(pid (\d+)\)\n$/.exec(text)?.[1];
      if (pid !== undefined) resolve(Number(pid));
    });
  });

t.test('the first signal interrupts, the same again at once changes nothing, a later one ends the process', (t) => {
  const clock = new ManualClock();
  const exits: number[] = [];
  const around = Object.assign(new EventEmitter(), { env: { PROTOFLY_HOME: '/nowhere' }, exit: (code: number) => { exits.push(code); } }) as unknown as Surroundings & EventEmitter;
  const { signal } = createContext({ profile: 'default', json: true, 'no-input': true, verbose: false }, around, clock);
  t.notOk(signal.aborted);
  around.emit('SIGHUP');
  around.emit('SIGINT');
  t.same((signal.reason as Interruption).by, 'SIGHUP');
  clock.advance(499);
  around.emit('SIGTERM');
  t.same(exits, []);
  clock.advance(1);
  around.emit('SIGTERM');
  t.same(exits, [143]);
  t.end();
});

t.test('a runtime start that is ended while it waits leaves nothing behind', async (t) => {
  const home = withHome(t);
  const url = await silentDomain(t);
  const cases = [
    { signals: ['SIGINT'], exits: [130], flags: [] }, { signals: ['SIGTERM'], exits: [143], flags: ['--foreground'] }, { signals: ['SIGHUP'], exits: [129], flags: [] },
    // As `npx` and `timeout` do. Two signals at once may arrive at different threads, so either comes first.
    { signals: ['SIGINT', 'SIGTERM'], exits: [130, 143], flags: ['--foreground'] },
  ] as const;
  for (const { signals, exits, flags } of cases) {
    const what = `${signals.join(' ')} ${flags.join('')}`;
    const { child, over, pid, socket } = await startWaiting(home, url, signals.join('-'), ...flags);
    for (const signal of signals) child.kill(signal);
    const { code, stderr } = await over;
    t.ok((exits as readonly (number | null)[]).includes(code), `${what}: ${String(code)}: ${stderr}`);
    t.notOk(isAlive(pid), `${what}: the runtime is gone when the command ends`);
    t.notOk(existsSync(socket), `${what}: it ended in order`);
  }
});

t.test('a runtime start that is killed while it waits leaves nothing behind', async (t) => {
  const home = withHome(t);
  const { child, pid, socket } = await startWaiting(home, await silentDomain(t), 'default');
  child.kill('SIGKILL');
  await until('the runtime is gone', () => !isAlive(pid), SLOW_MS);
  t.notOk(existsSync(socket), 'it ended in order');
});

t.test('a daemon in the foreground ends with its command: in order, and with 0', async (t) => {
  const home = withHome(t);
  const url = await home.domain();
  const runtime = { args: ['runtime', 'start', '--foreground', '--domain', url, '--user', 'eve', '--wait', '2m'], socket: socketOf(home, 'default') };
  const domain = { args: ['domain', 'start', '--name', 'other.example', '--listen', '127.0.0.1:0', '--wait', '2m'], socket: join(home.path, 'domains', 'other.example', 'domain.sock') };
  for (const [{ args, socket }, signal] of [[runtime, 'SIGINT'], [runtime, 'SIGHUP'], [domain, 'SIGTERM'], [domain, 'SIGINT']] as const) {
    const what = `${args[0]!} ${signal}`;
    const child = home.start(args);
    const over = ended(child);
    const pid = await printedPid(child);
    child.kill(signal);
    const { code, stderr } = await over;
    t.equal(code, 0, `${what}: ${stderr}`);
    t.notOk(isAlive(pid), `${what}: its process is gone when the command ends`);
    t.notOk(existsSync(socket), `${what}: it ended in order`);
  }
  for (const { args, socket } of [runtime, domain]) {
    const child = home.start(args);
    const pid = await printedPid(child);
    child.kill('SIGKILL');
    await until('its process is gone', () => !isAlive(pid), SLOW_MS);
    t.notOk(existsSync(socket), `${args[0]!} SIGKILL: it ended in order`);
  }
});

t.test('a daemon in the foreground whose result nobody reads is ended; one that is killed is told of', async (t) => {
  const home = withHome(t);
  const unread = home.start(['domain', 'start', '--listen', '127.0.0.1:0', '--wait', '2m']);
  unread.stdout!.destroy();
  t.equal((await ended(unread)).code, 0);
  t.equal((await home.pfly(['domain', 'status'])).code, 9);
  const killed = home.start(['domain', 'start', '--listen', '127.0.0.1:0', '--wait', '2m']);
  const over = ended(killed);
  process.kill(await printedPid(killed), 'SIGKILL');
  const { code, stderr } = await over;
  t.equal(code, 1);
  t.match(stderr, /domain server.*SIGKILL/);
});

t.test('nothing is left running when the settings can\'t be written', async (t) => {
  const home = withHome(t);
  const url = await home.domain();
  const config = join(home.path, 'config');
  mkdirSync(join(config, 'protofly', 'profiles'), { recursive: true });
  // Nobody can create a file in /proc, not even root.
  symlinkSync('/proc', join(config, 'protofly', 'profiles', 'default'));
  const env = { PROTOFLY_HOME: '', XDG_CONFIG_HOME: config, XDG_DATA_HOME: join(home.path, 'data') };
  const { code, stderr } = await home.pfly(['runtime', 'start', '--domain', url, '--user', 'eve', '--wait', '2m'], { env });
  t.equal(code, 1, stderr);
  t.match(stderr, /the settings can't be used/);
  t.equal((await home.pfly(['runtime', 'status'], { env })).code, 9);
});
