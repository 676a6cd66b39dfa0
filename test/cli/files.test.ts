import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ChildProcess } from 'node:child_process';
import { pipeline } from 'node:stream/promises';
import t, { type Test } from 'tap';
import { withHome } from '../support/cli.js';
import { Lines, murder, rssOf, startFed, untilAnswered, withWorld, type Peer, type World } from '../support/acceptance.js';
import { until } from '../support/until.js';

/** Files between two runtimes, with the real programs: a file must arrive unchanged, whichever process is killed. */
const home = withHome(t);
let world: World;
t.before(async () => { world = await withWorld(home); });

const MB = 1_000_000;

interface Sent { readonly file: string; readonly size: number; readonly sha256: string; readonly seconds: number; readonly resumedFrom: number; readonly via: string }
interface Saved { readonly file: string; readonly size: number; readonly sha256: string; readonly from: string }

const folderOf = (t: Test): string => {
  const path = mkdtempSync(join(tmpdir(), 'pf-files-'));
  t.teardown(() => { rmSync(path, { recursive: true, force: true }); });
  return path;
};

const fileOf = (t: Test, size: number, name = 'data.bin'): { path: string; sha256: string } => {
  const path = join(folderOf(t), name);
  const content = randomBytes(size);
  writeFileSync(path, content);
  return { path, sha256: createHash('sha256').update(content).digest('hex') };
};

const hashOf = async (path: string): Promise<string> => {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path), hash);
  return hash.digest('hex');
};

/** Starts `msg tail --save` and waits until it is attached. */
const saving = async (t: Test, peer: Peer, name: string, folder: string, ...flags: readonly string[]): Promise<Lines> => {
  const tail = new Lines(peer.start('msg', 'tail', name, '--save', folder, ...flags.includes('--raw') ? [] : ['--json'], ...flags));
  t.teardown(() => { tail.child.kill('SIGKILL'); });
  await until(`a program is attached to ${name}`, async () => (await peer.hyperties()).find((hyperty) => hyperty.name === name)!.attached > 0);
  return tail;
};

const send = (peer: Peer, name: string, ...flags: readonly string[]) => home.pfly(['msg', 'send', `bob/${name}`, ...flags, '--json'], peer);

/** Returns the size of a partly received file; NaN before it begins. */
const partSize = (folder: string, name = 'data.bin'): number => {
  const path = join(folder, `.${name}.protofly-part`);
  return existsSync(path) ? statSync(path).size : Number.NaN;
};

const printed = (tail: Lines, count: number): Promise<void> => until(`${String(count)} lines are printed`, () => tail.all.length >= count);

const kill = async (child: ChildProcess): Promise<void> => { await murder(child.pid!); };

t.test('20 MB directly and through the message node, as they were; each prints what has been sent and saved', async (t) => {
  const { alice, bob } = world;
  await bob.register('both');
  const folder = folderOf(t);
  const { path, sha256 } = fileOf(t, 20 * MB);
  const tail = await saving(t, bob, 'both', folder);
  for (const [flag, via, name] of [['--no-p2p', 'msg-node', 'data.bin'], ['--require-direct', 'p2p', 'data (1).bin']] as const) {
    const { code, stdout, stderr } = await send(alice, 'both', '--file', path, flag);
    t.equal(code, 0, stderr);
    t.match(JSON.parse(stdout) as Sent, { file: path, size: 20 * MB, sha256, resumedFrom: 0, via, seconds: Number });
    t.equal(await hashOf(join(folder, name)), sha256);
  }
  await alice.run('msg', 'send', 'bob/both', 'and a message');
  await printed(tail, 3);
  const [first, , message] = tail.all.map((line) => JSON.parse(line) as Saved & { body: { value: string } });
  t.match(first, { file: join(folder, 'data.bin'), size: 20 * MB, sha256, from: /^hyperty:/ });
  t.equal(message!.body.value, 'and a message', 'other messages are printed as ever');
  t.same(readdirSync(folder).sort(), ['data (1).bin', 'data.bin']);
});

t.test('via is the way that the file took, not the one that a message would take', async (t) => {
  const { alice, bob } = world;
  await Promise.all([bob.register('way'), alice.run('hyperty', 'register', 'relayed', '--no-p2p')]);
  t.teardown(() => alice.run('hyperty', 'unregister', 'relayed'));
  const { path } = fileOf(t, 3 * MB);
  await saving(t, bob, 'way', folderOf(t));
  await untilAnswered('direct', async () => (JSON.parse(await alice.run('p2p', 'connect', 'bob/way', '--json')) as { status: string }).status === 'live');
  const via = async (peer: Peer, ...flags: readonly string[]): Promise<string> => (JSON.parse(await peer.run('msg', 'send', 'bob/way', '--file', path, '--json', ...flags)) as Sent).via;
  t.equal(await via(alice), 'p2p');
  t.equal(await via(alice, '--from', 'relayed'), 'msg-node');
  t.equal(await via(bob), 'local');
});

t.test('the sender is killed in the middle and started again: it goes on where it stopped', async (t) => {
  const { alice, bob } = world;
  await bob.register('again');
  const folder = folderOf(t);
  const { path, sha256 } = fileOf(t, 30 * MB);
  await saving(t, bob, 'again', folder);
  const first = alice.start('msg', 'send', 'bob/again', '--file', path);
  await until('some of it is there', () => partSize(folder) > 3 * MB);
  await kill(first);
  const { code, stdout, stderr } = await send(alice, 'again', '--file', path);
  t.equal(code, 0, stderr);
  const { resumedFrom } = JSON.parse(stdout) as Sent;
  t.ok(resumedFrom > 3 * MB && resumedFrom < 30 * MB, `from ${String(resumedFrom)}`);
  t.equal(await hashOf(join(folder, 'data.bin')), sha256);
  t.same(readdirSync(folder), ['data.bin']);
});

t.test('the receiving program is killed in the middle and started again: the sender waits for it and goes on', async (t) => {
  const { alice, bob } = world;
  await bob.register('back');
  const folder = folderOf(t);
  const { path, sha256 } = fileOf(t, 30 * MB);
  const tail = await saving(t, bob, 'back', folder);
  const sending = send(alice, 'back', '--file', path);
  await until('some of it is there', () => partSize(folder) > 3 * MB);
  await kill(tail.child);
  const kept = partSize(folder);
  t.ok(kept < 30 * MB);
  await until('the runtime has noticed it, and no piece of a file waits in the inbox', async () => {
    const { attached, inbox } = (await bob.hyperties()).find(({ name }) => name === 'back')!;
    return attached === 0 && inbox.messages === 0;
  });
  await saving(t, bob, 'back', folder);
  const { code, stderr } = await sending;
  t.equal(code, 0, stderr);
  t.equal(await hashOf(join(folder, 'data.bin')), sha256);
  t.same(readdirSync(folder), ['data.bin'], 'once');
});

t.test('the receiver\'s runtime is killed in the middle and started again with a program: the sender goes on', async (t) => {
  const { alice, bob } = world;
  await bob.register('runtime');
  const folder = folderOf(t);
  const { path, sha256 } = fileOf(t, 30 * MB);
  const tail = await saving(t, bob, 'runtime', folder);
  const sending = send(alice, 'runtime', '--file', path, '--timeout', '60s');
  await until('some of it is there', () => partSize(folder) > 3 * MB);
  await murder((await bob.status()).pid);
  t.equal(await tail.ended, 4, 'the program that received ends with its runtime');
  t.ok(partSize(folder) > 3 * MB);
  await bob.run('runtime', 'start', '--wait', '30s');
  await saving(t, bob, 'runtime', folder);
  const { code, stderr } = await sending;
  t.equal(code, 0, stderr);
  t.equal(await hashOf(join(folder, 'data.bin')), sha256);
  t.same(readdirSync(folder), ['data.bin']);
});

t.test('the P2P sandbox is killed in the middle: the file goes on another way', async (t) => {
  const { alice, bob } = world;
  await bob.register('sandbox');
  const folder = folderOf(t);
  const { path, sha256 } = fileOf(t, 30 * MB);
  await saving(t, bob, 'sandbox', folder);
  await untilAnswered('direct', async () => (JSON.parse(await alice.run('p2p', 'connect', 'bob/sandbox', '--json')) as { status: string }).status === 'live');
  const sending = send(alice, 'sandbox', '--file', path);
  await until('some of it is there', () => partSize(folder) > 3 * MB);
  await murder(await bob.sandbox('p2p-handler'));
  const { code, stdout, stderr } = await sending;
  t.equal(code, 0, stderr);
  t.equal((JSON.parse(stdout) as Sent).resumedFrom, 0, 'one attempt');
  t.equal(await hashOf(join(folder, 'data.bin')), sha256);
  await untilAnswered('live again', async () => (await bob.status()).state === 'live');
});

t.test('two at once from two programs, and short messages between others meanwhile', async (t) => {
  const { alice, bob } = world;
  await Promise.all([bob.register('two'), bob.register('other')]);
  const folder = folderOf(t);
  const files = [fileOf(t, 20 * MB), fileOf(t, 20 * MB)];
  await saving(t, bob, 'two', folder);
  const sending = Promise.all(files.map(({ path }) => send(alice, 'two', '--file', path)));
  let last = 0;
  for (let done = false; !done;) {
    done = await Promise.race([sending.then(() => true), alice.run('msg', 'send', 'bob/other', 'x', '--receipt').then((line) => { last = Math.max(last, (JSON.parse(line) as { rtt_ms: number }).rtt_ms); return false; })]);
  }
  t.same((await sending).map(({ code }) => code), [0, 0]);
  t.same(await Promise.all(['data.bin', 'data (1).bin'].map((name) => hashOf(join(folder, name)))).then((hashes) => hashes.sort()), files.map(({ sha256 }) => sha256).sort());
  t.ok(last < 1000, `a message took ${String(last)} ms at most`);
});

/** Resolves when `count` programs are attached. */
const attached = (peer: Peer, name: string, count: number): Promise<void> =>
  until(`${String(count)} programs are attached to ${name}`, async () => (await peer.hyperties()).find((hyperty) => hyperty.name === name)!.attached === count);

t.test('FIL-3 two programs save what is sent to one hyperty: each file is saved once, by one of them', async (t) => {
  const { alice, bob } = world;
  const root = folderOf(t);
  const files = Array.from({ length: 200 }, (_, index) => join(root, `f${String(index)}`));
  for (const file of files) writeFileSync(file, randomBytes(100));
  for (const [name, folders] of [['apart', [folderOf(t), folderOf(t)]], ['together', new Array<string>(2).fill(folderOf(t))]] as const) {
    await bob.register(name);
    const tails = await Promise.all(folders.map((folder) => saving(t, bob, name, folder)));
    await attached(bob, name, 2);
    const { code, stderr } = await send(alice, name, ...files.flatMap((file) => ['--file', file]));
    t.equal(code, 0, stderr);
    await until('200 lines are printed', () => tails.flatMap(({ all }) => all).length >= 200);
    const saved = tails.flatMap(({ all }) => all.map((line) => JSON.parse(line) as Saved));
    t.same(saved.map(({ sha256 }) => sha256).sort(), await Promise.all(files.map(hashOf)).then((hashes) => hashes.sort()), name);
    t.same(await Promise.all(saved.map(({ file }) => hashOf(file))), saved.map(({ sha256 }) => sha256));
    t.equal(new Set(folders.flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)))).size, 200, 'and nothing else is in the folders');
  }
});

t.test('EXP-7 a program that can\'t save a file doesn\'t keep another one from saving it', async (t) => {
  const { alice, bob } = world;
  await bob.register('one');
  const [gone, folder] = [folderOf(t), folderOf(t)];
  for (const each of [gone, folder]) await saving(t, bob, 'one', each);
  await attached(bob, 'one', 2);
  rmSync(gone, { recursive: true });
  const paths = Array.from({ length: 20 }, (_, index) => fileOf(t, 1000, `f${String(index)}`).path);
  const { code, stdout, stderr } = await send(alice, 'one', ...paths.flatMap((path) => ['--file', path]));
  t.equal(code, 0, stderr);
  t.equal(stdout.trim().split('\n').length, 20);
  t.equal(readdirSync(folder).length, 20);
  rmSync(folder, { recursive: true });
  t.match(await send(alice, 'one', '--file', paths[0]!), { code: 6 }, 'what each of them refuses is refused');
});

t.test('several files, stdin, and names that would do harm', async (t) => {
  const { alice, bob } = world;
  await bob.register('names');
  const root = folderOf(t);
  const folder = join(root, 'not', 'yet');
  const tail = await saving(t, bob, 'names', folder);
  const [first, second] = [fileOf(t, 1000, 'a.txt'), fileOf(t, 0, 'empty')];
  const { code, stdout, stderr } = await send(alice, 'names', '--file', first.path, '--file', second.path);
  t.equal(code, 0, stderr);
  t.same(stdout.trim().split('\n').map((line) => (JSON.parse(line) as Sent).size), [1000, 0], 'a line for each');
  const input = randomBytes(3 * MB);
  for (const name of ['../../escape', '/etc/cron.d/x', '.profile', 'con.txt', 'a\nb\u001b[2J']) {
    t.equal((await home.pfly(['msg', 'send', 'bob/names', '--file', '-', '--name', name], { profile: 'alice', input })).code, 0, JSON.stringify(name));
  }
  await printed(tail, 7);
  t.same(readdirSync(folder).sort(), ['_con.txt', '_profile', 'a.txt', 'a_b_[2J', 'empty', 'escape', 'x']);
  t.same(readdirSync(root), ['not']);
  t.ok(readFileSync(join(folder, 'escape')).equals(input));
});

t.test('what goes wrong has its exit code', async (t) => {
  const { alice, bob } = world;
  await bob.register('wrong');
  const { path } = fileOf(t, 20 * MB);
  const folder = folderOf(t);
  const error = async (...args: readonly string[]) => {
    const { code, stdout } = await home.pfly(['msg', 'send', ...args, '--json'], alice);
    return { ...(JSON.parse(stdout.trim().split('\n').at(-1)!) as { error: { code: string; message: string; hint?: string } }).error, exit: code };
  };
  t.match(await error('bob/wrong', '--file', path), { exit: 4, code: 'E_UNAVAILABLE', hint: /--save/ }, 'nobody is attached');
  t.match(await error('bob/wrong', '--file', join(folder, 'none')), { exit: 3 });
  t.match(await error('bob/wrong', '--file', folder), { exit: 2, message: /is a folder/ });
  t.match(await error('bob/wrong', '--file', '-'), { exit: 2, hint: /--name/ });
  t.match(await error('bob/wrong', 'words', '--file', path), { exit: 2 });
  t.match(await error('bob/nobody-here', '--file', path), { exit: 3 });
  t.equal((await bob.home.pfly(['msg', 'tail', 'wrong', '--save', path], bob)).code, 2, 'a file is no folder');

  const target = join(folder, 'target');
  mkdirSync(target);
  const tail = await saving(t, bob, 'wrong', target, '--raw');
  rmSync(target, { recursive: true });
  t.match(await error('bob/wrong', '--file', path), { exit: 6, code: 'E_REFUSED', message: /can't write it/ }, 'the folder has gone');
  mkdirSync(target);
  t.match(await error('bob/wrong', '--file', path, '--file', join(folder, 'none')), { exit: 8, message: /^1 of 2 files sent/ });
  t.equal(await hashOf(join(target, 'data.bin')), await hashOf(path), 'the receiver goes on after a file that failed');
  await printed(tail, 1);
  t.same(tail.all, [join(target, 'data.bin')], '--raw prints the path');
  t.match(tail.stderr, /^data.bin of hyperty:.* was not saved: the receiver can't write it/m);
});

t.test('--count counts files too; memory doesn\'t grow with a stream\'s length', async (t) => {
  const { bob } = world;
  await bob.register('stream');
  const folder = folderOf(t);
  const tail = await saving(t, bob, 'stream', folder, '--count', '1');
  const child = startFed(t, home, 'alice', ['msg', 'send', 'bob/stream', '--file', '-', '--name', 'stream', '--no-p2p', '--json']);
  const lines = new Lines(child);
  const piece = Buffer.alloc(MB, 'x');
  const feed = async (count: number): Promise<void> => {
    for (let at = 0; at < count; at++) if (!child.stdin!.write(piece)) await new Promise((resolve) => { child.stdin!.once('drain', resolve); });
  };
  await feed(30);
  await until('30 MB are there', () => partSize(folder, 'stream') > 29 * MB);
  const before = [rssOf(child.pid!), rssOf(tail.child.pid!)];
  await feed(120);
  await until('150 MB are there', () => partSize(folder, 'stream') > 149 * MB);
  const grown = [rssOf(child.pid!), rssOf(tail.child.pid!)].map((rss, index) => Math.round((rss - before[index]!) / MB));
  t.ok(grown.every((by) => by < 60), `by ${grown.join(' and ')} MB while 120 MB went through`);
  child.stdin!.end();
  t.same(await Promise.all([lines.ended, tail.ended]), [0, 0], lines.stderr + tail.stderr);
  t.equal(statSync(join(folder, 'stream')).size, 150 * MB);
});
