import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { faultsIn, seq, untilAnswered, withWorld, type World } from '../support/acceptance.js';
import { BIN, ended, withHome, type Ran } from '../support/cli.js';
import { until } from '../support/until.js';

/**
 * Commands whose reader leaves early: `msg tail
 * head -3`.
 */
const home = withHome(t);
let world: World;
t.before(async () => { world = await withWorld(home); });

const environment = (): Record<string, string> => ({ PATH: process.env['PATH'] ?? '', PROTOFLY_HOME: home.path, PROTOFLY_PROFILE: 'bob' });

/** Each child's end. The listener is attached at the start, as some children end before anybody asks. */
const endings = new WeakMap<ChildProcess, Promise<Ran>>();
const started = (child: ChildProcess): ChildProcess => {
  endings.set(child, ended(child));
  return child;
};

/** Runs a shell script in which `"$@"` is a command of bob's; ended with the test. */
const script = (t: Test, text: string, ...args: readonly string[]): ChildProcess => {
  const child = started(spawn('sh', ['-c', text, 'sh', process.execPath, BIN, ...args], { env: environment(), stdio: ['ignore', 'pipe', 'pipe'], detached: true }));
  t.teardown(() => {
    try {
      process.kill(-child.pid!, 'SIGKILL');
    } catch {
      // All its processes have ended.
    }
  });
  return child;
};

/** Returns a script whose reader leaves after some lines; then it prints the command's exit code. */
const headOf = (lines: number): string => `{ { "$@"; echo "exit $?" >&3; } | head -n ${String(lines)}; } 3>&1`;

/** Waits for a command that must end by itself. @throws Error if it doesn't */
const over = async (child: ChildProcess): Promise<Ran> => {
  const ran = endings.get(child)!;
  await until('it ends by itself', () => child.exitCode !== null || child.signalCode !== null, 30_000);
  return ran;
};

const folderOf = (t: Test): string => {
  const folder = mkdtempSync(join(tmpdir(), 'pf-pipes-'));
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }); });
  return folder;
};

/** Opens both ends of a new FIFO: bytes written to `write` can be read from `read`. */
const fifo = (t: Test): { readonly read: number; readonly write: number } => {
  const path = join(folderOf(t), 'fifo');
  execFileSync('mkfifo', [path]);
  const read = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  return { read, write: openSync(path, constants.O_WRONLY) };
};

/** Starts `msg tail` as bob, with this stdout. */
const tailInto = (t: Test, stdout: number | 'pipe', name: string): ChildProcess => {
  const child = started(spawn(process.execPath, [BIN, 'msg', 'tail', name, '--raw'], { env: environment(), stdio: ['ignore', stdout, 'pipe'] }));
  t.teardown(() => { child.kill('SIGKILL'); });
  return child;
};

const isAttached = async (name: string): Promise<boolean> => (await world.bob.hyperties()).find((hyperty) => hyperty.name === name)!.attached === 1;
const waiting = async (name: string): Promise<number> => (await world.bob.hyperties()).find((hyperty) => hyperty.name === name)!.inbox.messages;

/** Reads everything in a pipe. */
const drain = (fd: number): string => {
  const buffer = Buffer.alloc(1024 * 1024);
  let size = 0;
  try {
    for (let more = -1; more !== 0; size += more) more = readSync(fd, buffer, size, buffer.length - size, null);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
  }
  return buffer.toString('utf8', 0, size);
};

/** Stops a process with SIGSTOP. */
const freeze = async (pid: number): Promise<void> => {
  process.kill(pid, 'SIGSTOP');
  await until('it is stopped', () => readFileSync(`/proc/${String(pid)}/stat`, 'utf8').includes(') T '));
};

const LENGTH = 200;
/** Returns lines of 200 bytes, so that no write that a pipe takes as a whole ends with a line. */
const linesTo = (last: number): string => Array.from({ length: last }, (_, index) => `${String(index + 1).padEnd(LENGTH - 1, ' x')}\n`).join('');

/** Puts a thousand lines into the inbox of a new hyperty of bob's. */
const withLines = async (name: string): Promise<void> => {
  await world.bob.register(name);
  const { code, stderr } = await home.pfly(['msg', 'send', `bob/${name}`, '-'], { profile: 'alice', input: linesTo(1000) });
  if (code !== 0) throw new Error(stderr);
};

/** Returns the output of the next `msg tail`, after some lines were taken. */
const restOf = async (name: string, taken: number): Promise<string> =>
  (await home.pfly(['msg', 'tail', name, '--raw', '--count', String(1000 - taken), '--timeout', '60s'], world.bob)).stdout;

t.test('a reader that leaves while nothing comes ends what has no end of its own, at once and with 0', async (t) => {
  const { alice, bob } = world;
  await bob.register('idle');
  t.test('a FIFO, and a socket', async (t) => {
    const { read, write } = fifo(t);
    const child = tailInto(t, write, 'idle');
    closeSync(write);
    await until('it is attached', () => isAttached('idle'));
    closeSync(read);
    t.match(await over(child), { code: 0, stderr: '' });
    const other = tailInto(t, 'pipe', 'idle');
    await until('it is attached', () => isAttached('idle'));
    other.stdout!.destroy();
    t.match(await over(other), { code: 0, stderr: '' });
  });
  t.test('a pipe', async (t) => {
    // head takes three lines; no fourth line comes.
    const child = script(t, headOf(3), 'msg', 'tail', 'idle', '--raw');
    await alice.run('msg', 'send', 'bob/idle', '1');
    await alice.run('msg', 'send', 'bob/idle', '2');
    await alice.run('msg', 'send', 'bob/idle', '3');
    t.match(await over(child), { stdout: '1\n2\n3\nexit 0\n', stderr: '' });
  });
  await untilAnswered('connected', async () => (JSON.parse(await bob.run('p2p', 'connect', 'alice/out', '--json')) as { status: string }).status === 'live');
  t.test('msg send --receipt, while more may come on stdin', async (t) => {
    const { stdout, stderr } = await over(script(t, `{ echo x; sleep 1000 2>/dev/null & } | ${headOf(1)}`, 'msg', 'send', 'alice/out', '-', '--receipt', '--store'));
    t.match(stdout, /^\{.*"state":.*\}\nexit 0\n$/);
    t.equal(stderr, '');
  });
  for (const command of [['runtime', 'status', '--watch'], ['runtime', 'logs', '-f'], ['p2p', 'status', 'alice/out', '--watch', '--json'], ['p2p', 'ping', 'alice/out', '-c', '5', '--interval', '1h']]) {
    t.test(command.join(' '), async (t) => {
      const { stdout, stderr } = await over(script(t, headOf(1), ...command));
      t.match(stdout, /^.*\nexit 0\n$/);
      t.equal(stderr, '');
    });
  }
});

t.test('what a pipe has accepted is taken, to the line, and nothing else, when its reader leaves', async (t) => {
  await withLines('exact');
  const { read, write } = fifo(t);
  const child = tailInto(t, write, 'exact');
  closeSync(write);
  // A pipe holds 64 KiB. Lines in it count as taken, while the next ones wait for room.
  await until('the pipe is almost full', async () => (await waiting('exact')) <= 1000 - 280);
  await freeze(child.pid!);
  const accepted = drain(read);
  closeSync(read);
  child.kill('SIGCONT');
  t.match(await over(child), { code: 0, stderr: '' });
  const count = accepted.length / LENGTH;
  t.equal(accepted, linesTo(count), `${String(count)} lines`);
  t.ok(await restOf('exact', count) === linesTo(1000).slice(accepted.length), 'the next one gets the rest');
});

t.test('Ctrl-C while a pipe is full: what its reader gets is taken, and nothing else', async (t) => {
  await withLines('stopped');
  const { read, write } = fifo(t);
  const child = tailInto(t, write, 'stopped');
  closeSync(write);
  await until('the pipe is almost full', async () => (await waiting('stopped')) <= 1000 - 280);
  child.kill('SIGINT');
  const ran = over(child);
  let accepted = '';
  await until('it ends by itself', () => { accepted += drain(read); return child.exitCode !== null; });
  accepted += drain(read);
  closeSync(read);
  t.match(await ran, { code: 0, stderr: '' });
  const count = accepted.length / LENGTH;
  t.equal(accepted, linesTo(count), `${String(count)} lines`);
  t.ok(await restOf('stopped', count) === linesTo(1000).slice(accepted.length), 'the next one gets the rest');
});

t.test('a file that can take no more: its whole lines are taken, and nothing else', async (t) => {
  await withLines('full');
  const file = join(folderOf(t), 'file');
  t.not((await ended(script(t, `ulimit -f 32; "$@" > '${file}'`, 'msg', 'tail', 'full', '--raw'))).code, 0);
  const accepted = readFileSync(file, 'utf8');
  const count = Math.floor(accepted.length / LENGTH);
  t.ok(count > 0 && count < 1000, `${String(count)} lines`);
  t.ok(await restOf('full', count) === linesTo(1000).slice(count * LENGTH), 'the next one gets the rest');
});

t.test('twenty thousand messages, read three at a time: each comes once, but for what lay in the pipe when its reader left', async (t) => {
  await world.bob.register('three');
  const sent = home.pfly(['msg', 'send', 'bob/three', '-', '--timeout', '100s'], { profile: 'alice', input: seq(20_000) });
  const read: string[] = [];
  const ends: number[] = [];
  for (let run = 0; run < 6; run += 1) {
    const { stdout, stderr } = await over(script(t, headOf(3), 'msg', 'tail', 'three', '--raw'));
    const lines = stdout.trim().split('\n');
    t.match({ stderr, exit: lines.pop(), lines: lines.length }, { stderr: '', exit: 'exit 0', lines: 3 });
    read.push(...lines);
    ends.push(Number(lines.at(-1)));
  }
  const last = tailInto(t, 'pipe', 'three');
  const rest = ended(last);
  t.match(await sent, { code: 0 }, 'all have been taken');
  last.kill('SIGINT');
  read.push(...(await rest).stdout.trim().split('\n'));
  t.strictSame(faultsIn(read, 20_000).filter((fault) => !fault.includes('lost')), [], 'none twice, all in order');
  const came = new Set(read.map(Number));
  const missing = Array.from({ length: 20_000 }, (_, index) => index + 1).filter((number) => !came.has(number));
  t.strictSame(missing.filter((number) => came.has(number - 1) && !ends.includes(number - 1)), [], 'what is missing follows what a reader took last');
  t.ok(missing.length <= (6 * 64 * 1024) / 6, `${String(missing.length)} lay in the pipe, which holds more`);
});
