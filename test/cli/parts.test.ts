import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import t, { type Test } from 'tap';
import { hasSwitch, moveLeadingFlags, nearest } from '../../src/cli/arguments.js';
import { Client } from '../../src/client/client.js';
import { domainUrl } from '../../src/client/domain-url.js';
import { parseListen } from '../../src/cli/daemons/domain.js';
import { isAlive } from '../../src/cli/daemons/alive.js';
import { parseDuration } from '../../src/cli/io/duration.js';
import { parseSize } from '../../src/cli/io/size.js';
import { cell } from '../../src/cli/io/table.js';
import { splitStream } from '../../src/cli/messages/split.js';
import { ProgramSender, type Receipt } from '../../src/cli/messages/sender.js';
import { domainPlaces, profilePlaces } from '../../src/client/paths.js';
import { NOT_PLAIN, SEND_OPTIONS } from '../../src/cli/short-cut.js';
import { isErrorCode, parseAddress, ProtoflyError, type Message } from '../../src/protocol/index.js';
import { eventually, withHome, type Home } from '../support/cli.js';

const fails = (code: string, run: () => unknown): void => {
  t.throws(run, { code });
  t.ok(isErrorCode(code));
};

t.test('global flags before the command move behind it, but not behind --', (t) => {
  t.same(moveLeadingFlags(['--profile', 'bob', '--json', 'msg', 'tail', 'in']), ['msg', 'tail', 'in', '--profile', 'bob', '--json']);
  t.same(moveLeadingFlags(['--profile=bob', 'hyperty', 'serve', 'x', '--', 'cmd', '--json']), ['hyperty', 'serve', 'x', '--profile=bob', '--', 'cmd', '--json']);
  t.same(moveLeadingFlags(['--help']), ['--help']);
  t.same(moveLeadingFlags(['--profile']), ['--profile'], 'a flag without its value is for the parser');
  t.notOk(hasSwitch(['msg', 'send', 'bob', '--', '--json'], '--json'));
  t.equal(nearest('mgs send', ['msg send', 'msg tail', 'p2p list']), 'msg send');
  t.equal(nearest('runtime stat', ['runtime start', 'runtime status', 'runtime stop']), 'runtime status', 'what was begun comes before what is near');
  t.equal(nearest('quite another thing', ['msg send']), undefined);
  t.end();
});

t.test('durations', (t) => {
  t.same(['500ms', '5s', '2m', '1h', '3', '0.5s', '0s'].map(parseDuration), [500, 5000, 120_000, 3_600_000, 3000, 500, 0]);
  for (const bad of ['', 's', '-1s', '5 s', '1d', '1e3s', '99999h', 'Infinity']) fails('E_USAGE', () => parseDuration(bad));
  t.end();
});

t.test('sizes', (t) => {
  t.same(['0', '1024', '64KiB', '1.5MiB', '1 GiB', '10B'].map(parseSize), [0, 1024, 65_536, 1_572_864, 1_073_741_824, 10]);
  for (const bad of ['', 'KiB', '-1', '1kb', '1MB', '1e9', '99999999999GiB', 'Infinity']) fails('E_USAGE', () => parseSize(bad));
  t.end();
});

t.test('a home holds everything; without one it is the platform\'s own folders', (t) => {
  const home = profilePlaces('bob', { PROTOFLY_HOME: '/h' }, 'linux');
  t.same(home, { config: '/h/profiles/bob', state: '/h/profiles/bob/state', socket: '/h/profiles/bob/runtime.sock', log: '/h/profiles/bob/runtime.log' });
  t.equal(profilePlaces('bob', { XDG_CONFIG_HOME: '/c', XDG_DATA_HOME: '/d' }, 'linux').config, '/c/protofly/profiles/bob');
  t.equal(domainPlaces('example.com', { XDG_CONFIG_HOME: '/c', XDG_DATA_HOME: '/d' }, 'linux').state, '/d/protofly/domains/example.com/state');
  t.match(profilePlaces('bob', {}, 'darwin').state, /Library\/Application Support\/protofly/);
  t.equal(profilePlaces('bob', { APPDATA: 'C:\\A', LOCALAPPDATA: 'C:\\L' }, 'win32').config, 'C:\\A\\protofly\\profiles\\bob');
  t.equal(profilePlaces('bob', { HOME: '/h', XDG_CONFIG_HOME: 'c', XDG_DATA_HOME: '' }, 'linux').config, '/h/.config/protofly/profiles/bob', 'a relative path is ignored');
  for (const HOME of ['', 'h', undefined]) t.ok(isAbsolute(profilePlaces('bob', { HOME }, 'linux').state), `HOME=${String(HOME)}`);
  fails('E_USAGE', () => profilePlaces('bob', { PROTOFLY_HOME: 'h' }, 'linux'));
  fails('E_USAGE', () => profilePlaces('bob', { XDG_CONFIG_HOME: '/caf\ufffd' }, 'linux'));
  for (const bad of ['', '.', '..', 'a/b', '.hidden', 'a b', 'x'.repeat(200)]) fails('E_USAGE', () => profilePlaces(bad, { PROTOFLY_HOME: '/h' }));
  t.end();
});

t.test('a socket whose path would be too long lies in a short folder, the same one each time', (t) => {
  const env = { PROTOFLY_HOME: `/${'long/'.repeat(30)}` };
  const { socket } = profilePlaces('bob', env);
  t.ok(Buffer.byteLength(socket) < 100, socket);
  t.equal(profilePlaces('bob', env).socket, socket);
  t.not(profilePlaces('eve', env).socket, socket);
  t.end();
});

t.test('a process that has ended is gone, also when its parent never asks how', { skip: process.platform !== 'linux' && 'there is no /proc' }, async (t) => {
  // The shell's child ends after the shell has become a program that never waits for its children.
  const parent = spawn('sh', ['-c', '(until [ "$(cat /proc/$$/comm)" = sleep ]; do :; done) & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] });
  t.teardown(() => parent.kill());
  const [line] = (await once(parent.stdout, 'data')) as [Buffer];
  await eventually(() => !isAlive(Number(line)));
  t.doesNotThrow(() => process.kill(Number(line), 0), 'it is still in the table of processes');
  t.ok(isAlive(process.pid));
});

t.test('where a domain is', (t) => {
  const known = { 'example.com': 'https://mn.example.com:8443' };
  t.same(domainUrl('Example.com', known), { name: 'example.com', url: 'https://mn.example.com:8443' });
  t.same(domainUrl('localhost:9090', known), { url: 'http://localhost:9090' });
  t.same(domainUrl('[::1]:9090', known), { url: 'http://[::1]:9090' });
  t.same(domainUrl('https://other.org/', known), { url: 'https://other.org' });
  t.same(domainUrl('other.org', known), { name: 'other.org', url: 'https://other.org' });
  for (const bad of ['ftp://x', 'a b', 'x:99999']) fails('E_USAGE', () => domainUrl(bad, known));
  t.same(parseListen('[::1]:0'), { host: '::1', port: 0 });
  for (const bad of ['9090', 'localhost', 'x:70000', '::1:80']) fails('E_USAGE', () => parseListen(bad));
  t.end();
});

t.test('what a terminal would act on is shown instead', (t) => {
  t.equal(cell('a\u001b[2Jb\nc'), 'a\\u001b[2Jb\\nc');
  t.equal(cell('\u202eevil'), '\\u202eevil');
  t.end();
});

/** Returns all messages of a stream that comes in chunks of `size` bytes. */
const split = async (bytes: Buffer, how: Parameters<typeof splitStream>[1], size: number): Promise<string[]> => {
  async function* pieces(): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += size) yield await Promise.resolve(bytes.subarray(at, at + size));
  }
  const found: string[] = [];
  for await (const batch of splitStream(pieces(), how)) found.push(...batch);
  return found;
};

t.test('a stream is cut the same wherever its pieces end', async (t) => {
  for (const size of [1, 2, 3, 7, 1000]) {
    t.same(await split(Buffer.from('é\n\nzwei\r\n€'), 'line', size), ['é', '', 'zwei\r', '€']);
    t.same(await split(Buffer.from('a\nb\0\0c'), 'nul', size), ['a\nb', '', 'c']);
    t.same(await split(Buffer.from('{"a":"}\\"{"}[1,[2]] 3\t"x"true"€"{}4'), 'json', size), ['{"a":"}\\"{"}', '[1,[2]]', '3', '"x"', 'true', '"€"', '{}', '4']);
    t.same(await split(Buffer.from('a\nb\n'), 'eof', size), ['a\nb\n']);
  }
  t.same(await split(Buffer.alloc(0), 'line', 1), [], 'nothing is no message');
  const large = Buffer.alloc(17 * 1024 * 1024, 0x61);
  for (const how of ['line', 'nul', 'json', 'eof'] as const) await t.rejects(split(large, how, 65_536), { code: 'E_TOO_LARGE' });
  for (const how of ['line', 'json', 'eof'] as const) await t.rejects(split(Buffer.from([0x61, 0xff, 0x0a]), how, 1), { code: 'E_USAGE' });
});

t.test('the short cut for msg send knows the same flags as the command', async (t) => {
  const manifest = JSON.parse(readFileSync(new URL('../../oclif.manifest.json', import.meta.url), 'utf8')) as { commands: Record<string, { flags: Record<string, { type: string }> }> };
  const plain = Object.entries(manifest.commands['msg:send']!.flags).filter(([name]) => !(NOT_PLAIN as readonly string[]).includes(name));
  const declared = plain.map(([name, { type }]) => [name, type === 'boolean' ? 'boolean' : 'string'] as const);
  t.same(Object.fromEntries(declared), Object.fromEntries(Object.entries(SEND_OPTIONS).map(([name, { type }]) => [name, type])));
});

/** Returns the packages that a run loads, without those that the test runner adds to its children. */
const packagesLoaded = async (home: Home, args: readonly string[]): Promise<string[]> => {
  const { stderr } = await home.pfly(args, { env: { NODE_DEBUG: 'esm,module' } });
  const names = [...stderr.matchAll(/node_modules\/((?:@[^/\s]+\/)?[^/\s'"]+)\//g)].map(([, name]) => name!);
  return [...new Set(names)].sort();
};

t.test('a plain msg send loads no command line framework, and no command a native module', async (t) => {
  const home = withHome(t);
  const ours = ['@oclif/core', 'conf', 'inquirer', 'jose', 'lmdb', 'node-datachannel', 'pino', 'ws', 'zod'];
  t.same((await packagesLoaded(home, ['msg', 'send', 'bob', 'hi'])).filter((name) => ours.includes(name)), []);
  for (const args of [['hyperty', 'list'], ['runtime', 'status'], ['msg', 'tail'], ['domain', 'status']]) {
    t.same((await packagesLoaded(home, args)).filter((name) => ours.includes(name)), ['@oclif/core'], args.join(' '));
  }
});

/** A scripted runtime at the socket. */
const byHand = async (t: Test, answer: (message: Message, say: (reply: object) => void, socket: Socket) => void): Promise<string> => {
  const folder = mkdtempSync(join(tmpdir(), 'pf-'));
  const path = join(folder, 's');
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let rest = '';
    socket.on('error', () => undefined).setEncoding('utf8').on('data', (chunk: string) => {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines.filter((line) => line !== '')) {
        const message = JSON.parse(line) as Message;
        const reply = (body: object): void => { socket.write(`${JSON.stringify({ id: message.id, type: 'response', from: message.to, to: message.from, body })}\n`); };
        if (message.type === 'open') reply({ code: 200, value: { runtime: 'hyperty-runtime://localhost/r', address: 'hyperty-runtime://localhost/r/client/1', domain: 'localhost' } });
        else answer(message, reply, socket);
      }
    });
  });
  await new Promise<void>((resolve) => { server.listen(path, resolve); });
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  return path;
};

const UA = parseAddress('hyperty-runtime://localhost/r/ua');

t.test('a request ends with its answer, its time, its signal or its link', async (t) => {
  const path = await byHand(t, (message, say, socket) => {
    if (message.body?.resource === 'answer') { say({ code: 183, value: 'soon' }); say({ code: 200, value: 'now' }); }
    if (message.body?.resource === 'refuse') say({ code: 403, description: 'no', error: 'E_REFUSED', hint: 'ask' });
    if (message.body?.resource === 'lie') say({ code: 404, error: 'E_CONFLICT' });
    if (message.body?.resource === 'die') socket.destroy();
  });
  const controller = new AbortController();
  const { client, session } = await Client.connect(path, { signal: controller.signal, timeoutMs: 5000 });
  t.equal(session.runtime, 'hyperty-runtime://localhost/r');
  t.equal(client.address, 'hyperty-runtime://localhost/r/client/1');
  const provisional: unknown[] = [];
  const answer = await client.ask(UA, 'read', { resource: 'answer' }, { onProvisional: ({ body }) => provisional.push(body.value) });
  t.same([provisional, answer.body.value], [['soon'], 'now']);
  await t.rejects(client.ask(UA, 'read', { resource: 'refuse' }), { code: 'E_REFUSED', hint: 'ask' });
  await t.rejects(client.ask(UA, 'read', { resource: 'lie' }), { code: 'E_NOT_FOUND' }, 'an error that doesn\'t fit its code isn\'t believed');
  await t.rejects(client.ask(UA, 'read', { resource: 'silence' }, { timeoutMs: 20 }), { code: 'E_TIMEOUT' });
  const given = client.ask(UA, 'read', { resource: 'silence' });
  controller.abort(new ProtoflyError('E_ABORTED', 'enough'));
  await t.rejects(given, { code: 'E_ABORTED' });
  const { client: other } = await Client.connect(path);
  await t.rejects(other.ask(UA, 'read', { resource: 'die' }), { code: 'E_LINK_CLOSED' });
  t.throws(() => { void other.post({ id: 'x', type: 'read', from: other.address, to: UA }); }, { code: 'E_LINK_CLOSED' });
  await Promise.all([client.close(), client.close(), other.close()]);
  await t.rejects(Client.connect(join(path, '..', 'none'), { name: 'it', hint: 'begin' }), { code: 'E_NOT_RUNNING', hint: 'begin' });
});

t.test('a sender never has more under way than its window, and knows when nothing comes back', async (t) => {
  const held: (() => void)[] = [];
  const path = await byHand(t, (_message, say) => { held.push(() => { say({ code: 200, path: 'local' }); }); });
  const { client } = await Client.connect(path);
  t.teardown(() => client.close());
  const init = { to: [UA], from: client.address, type: 'create', window: 6000 } as const;
  const sender = new ProgramSender({ client }, init);
  const sendAll = (size: number): number => { let count = 0; for (; sender.hasRoom; count++) sender.send('x', size); return count; };
  t.equal(sendAll(1), 3, 'so many messages');
  await eventually(() => held.length === 3);
  const change = sender.change();
  held.shift()!();
  await change;
  t.ok(sender.hasRoom);
  sender.send('x', 7000);
  await eventually(() => held.length === 3);
  while (held.length > 1) held.shift()!();
  await eventually(() => sender.delivered === 3);
  t.equal(sendAll(1), 0, 'so much text: the large one is still under way');
  held.shift()!();
  await eventually(() => sender.inFlight === 0);
  t.equal(sender.delivered, 4);
  sender.close();
  t.equal(sender.unknown, 0);
  const said: Receipt[] = [];
  const impatient = new ProgramSender({ client }, { ...init, timeoutMs: 30, onReceipt: (receipt) => { said.push(receipt); } });
  impatient.send('x', 1);
  await impatient.ended;
  t.match(impatient.over, { code: 'E_TIMEOUT', uncertain: true });
  impatient.close();
  t.match(said, [{ state: 'unknown', reason: 'no receipt for 30 ms' }]);
  t.equal(impatient.unknown, 1);
  t.throws(() => { impatient.send('x', 1); }, { code: 'E_TIMEOUT' });
});
