import '../support/bare-children.js';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { DomainServer } from '../../src/domain-server/index.js';
import { child, parseAddress, type Activate, type Address, type Request } from '../../src/protocol/index.js';
import { confinedTcpSocket } from '../../src/sandbox/inside/network/tcp.js';
import { memoryStore } from '../../src/store/index.js';
import { BIN, ended, withHome } from '../support/cli.js';
import { startServer } from '../support/domain-server.js';
import { clock, log, TestBus } from '../support/stub-harness.js';

/** Follows docs/protostubs.md literally: its commands in the real shell, in two terminals, with other ports and another home. */
const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PAGE = readFileSync(join(ROOT, 'docs/protostubs.md'), 'utf8');
const HOME = '/tmp/protofly-lines';
const PORTS = ['9090', '9091', '9092'];
const STEP_MS = 60_000;

interface Step {
  readonly title: string;
  readonly terminal: string;
  readonly commands: string;
  readonly printed: string;
}

/** Returns each block of commands with the output below it, in the order of the page. */
const steps = (page: string): Step[] => {
  let [title, terminal] = ['', ''];
  return [...page.matchAll(/^## (.+)$|^\*\*Terminal (\d)\*\*|^```sh\n([\s\S]*?)^```\n```text\n([\s\S]*?)^```$/gm)].flatMap(([, heading, number, commands, printed = '']) => {
    title = heading ?? title;
    terminal = number ?? terminal;
    return commands === undefined ? [] : [{ title, terminal, commands, printed }];
  });
};

const lines = (text: string): string[] => text.trimEnd().split('\n').map((line) => line.replace(/\s+/g, ' ').trim());
/** True if a line matches the page. `…` matches anything, and column widths may differ. */
const fits = (line: string, shown: string): boolean =>
  new RegExp(`^${shown.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.+?')}$`).test(line);
const differences = (printed: string, shown: string): string[] => {
  const [got, wanted] = [lines(printed), lines(shown)];
  return wanted.flatMap((line, at) => (fits(got[at] ?? '', line) ? [] : [`${line}  <>  ${got[at] ?? ''}`])).concat(got.slice(wanted.length).map((line) => `more: ${line}`));
};

const freePorts = async (): Promise<string[]> => {
  const servers = await Promise.all(PORTS.map(async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    return server;
  }));
  return Promise.all(servers.map(async (server) => {
    const { port } = server.address() as AddressInfo;
    server.close();
    await once(server, 'close');
    return String(port);
  }));
};

/** A shell that stays open, as in a terminal. */
class Terminal {
  readonly child: ChildProcess;
  #printed = '';
  #errors = '';
  #more: () => void = () => undefined;
  #steps = 0;

  constructor(folder: string) {
    this.child = spawn('sh', { cwd: folder, env: { PATH: process.env['PATH'] ?? '', HOME: folder, TMPDIR: tmpdir() }, stdio: ['pipe', 'pipe', 'pipe'] });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => { this.#printed += text; this.#more(); });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => { this.#errors += text; });
  }

  /** Types in commands. Resolves with their output when they have ended, or when `enough` returns true. */
  async run(commands: string, enough: (printed: string) => boolean = () => false): Promise<{ readonly printed: string; readonly errors: string }> {
    const mark = `-- end of step ${String(++this.#steps)} --`;
    [this.#printed, this.#errors] = ['', ''];
    // The commands don't share the shell's stdin. An alias applies from the next command that the shell reads.
    const [, before = '', rest = ''] = /^((?:(?:alias|export) .*\n)*)([\s\S]*)$/.exec(commands) ?? [];
    this.child.stdin?.write(`${before}{\n${rest}} < /dev/null\necho '${mark}'\n`);
    const deadline = AbortSignal.timeout(STEP_MS);
    while (!this.#printed.includes(mark) && !enough(this.#printed)) {
      await new Promise<void>((resolve, reject) => {
        this.#more = resolve;
        deadline.onabort = () => { reject(new Error(`not within ${String(STEP_MS)} ms: ${commands}${this.#printed}${this.#errors}`)); };
      });
    }
    return { printed: this.#printed.replace(`${mark}\n`, ''), errors: this.#errors };
  }

  /** Resolves when the last commands have ended; no others may follow. */
  async close(): Promise<void> {
    this.child.stdin?.end();
    if (this.child.exitCode === null) await once(this.child, 'exit');
  }
}

t.setTimeout(240_000);

t.test('the programs that the page shows are parts of the example, and the plain stub is shown whole', (t) => {
  const files = ['examples/protostub-tcp/server.js', 'examples/protostub-tcp/stub.js', 'test/support/plain-stub/stub.js'].map((file) => readFileSync(join(ROOT, file), 'utf8'));
  const shown = [...PAGE.matchAll(/^```js\n([\s\S]*?)^```$/gm)].map(([, code = '']) => code);
  t.ok(shown.length > 8);
  for (const code of shown) t.ok(files.some((file) => file.includes(code)), code);
  t.ok(shown.includes(files[2]!));
  t.ok(lines(files[0]!).length < 160 && lines(files[1]!).length < 160);
  t.end();
});

t.test('who follows the page sees what it shows', async (t) => {
  const all = steps(PAGE);
  t.equal(all.length, PAGE.match(/^```sh$/gm)?.length, 'every block of commands was found, with what it prints');
  const folder = mkdtempSync(join(tmpdir(), 'pf-tutorial-'));
  const home = join(folder, 'home');
  const ports = await freePorts();
  const here = (text: string): string => PORTS.reduce((changed, port, at) => changed.replaceAll(port, ports[at]!), text).replaceAll(HOME, home);
  for (const link of ['bin', 'dist', 'package.json', 'node_modules']) symlinkSync(join(ROOT, link), join(folder, link));
  for (const part of ['examples/protostub-tcp', 'test/support/plain-stub']) {
    cpSync(join(ROOT, part), join(folder, part), { recursive: true });
    for (const name of readdirSync(join(folder, part))) writeFileSync(join(folder, part, name), here(readFileSync(join(ROOT, part, name), 'utf8')));
  }
  const terminals = { 1: new Terminal(folder), 2: new Terminal(folder) };
  t.teardown(async () => {
    const env = { PATH: process.env['PATH'] ?? '', PROTOFLY_HOME: home };
    const stop = (...args: string[]): Promise<unknown> => ended(spawn(process.execPath, [BIN, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] }));
    const profiles = [...new Set([...PAGE.matchAll(/--profile (\w+)/g)].map(([, name = '']) => name))];
    await Promise.all(profiles.map((profile) => stop('runtime', 'stop', '--profile', profile)));
    await Promise.all(['lines.example', 'plain.example'].map((name) => stop('domain', 'stop', '--name', name)));
    await Promise.all(Object.values(terminals).map((terminal) => terminal.close()));
    rmSync(folder, { recursive: true, force: true });
  });
  for (const { title, terminal, commands, printed } of all) {
    const wanted = here(printed);
    const stays = terminal === '1';
    const shell = stays ? terminals[1] : terminals[2];
    const result = await shell.run(here(commands), stays ? (text) => differences(text, wanted).length === 0 : undefined);
    t.same(differences(result.printed, wanted), [], `${title}: ${commands.split('\n').at(-2) ?? ''}`);
    t.equal(result.errors, '', 'and nothing on stderr');
  }
  await terminals[1].close();
  t.equal(terminals[1].child.exitCode, 0, 'the example\'s server has ended by itself, in order');
});

t.test('a plain stub carries streams both ways, and finds back when its domain was away', async (t) => {
  const home = withHome(t);
  const started = await home.pfly(['domain', 'start', '--listen', '127.0.0.1:0', '--detach', '--json']);
  const { url } = JSON.parse(started.stdout) as { readonly url: string };
  const published = await home.pfly(['catalogue', 'publish', join(ROOT, 'test/support/plain-stub/descriptor.json'), '--json']);
  const { hash } = JSON.parse(published.stdout) as { readonly hash: string };
  await home.runtime('alice', url, '--no-p2p');
  await home.runtime('bob', url, '--no-p2p');
  for (const profile of ['alice', 'bob']) {
    t.equal((await home.pfly(['hyperty', 'register', 'in'], { profile })).code, 0);
    const { protostubs } = JSON.parse((await home.pfly(['registry', 'list', '--json'], { profile })).stdout) as { readonly protostubs: readonly Record<string, unknown>[] };
    t.match(protostubs, [{ kind: 'msg-node', status: 'live', hash, from: 'catalogue' }], `${profile} has the published stub, and no other`);
  }
  const numbers = Array.from({ length: 2000 }, (_, n) => `${String(n)} ü€😀`).join('\n');
  const stream = async (from: string, to: string): Promise<void> => {
    const sent = home.pfly(['msg', 'send', `${to}/in`, '-'], { profile: from, input: numbers });
    const came = await home.pfly(['msg', 'tail', 'in', '--raw', '--count', '2000', '--timeout', '60s'], { profile: to });
    t.equal(came.stdout.trimEnd(), numbers, `all of it, in order, from ${from} to ${to}`);
    t.equal((await sent).code, 0);
  };
  await Promise.all([stream('alice', 'bob'), stream('bob', 'alice')]);
  t.equal((await home.pfly(['domain', 'stop'])).code, 0);
  await home.pfly(['domain', 'start', '--listen', new URL(url).host, '--detach']);
  await Promise.all(['alice', 'bob'].map((profile) => home.pfly(['runtime', 'wait', '--for', 'live', '--timeout', '30s'], { profile })));
  await stream('alice', 'bob');
});

const RUNTIME = parseAddress('hyperty-runtime://a.example/r');
const STUB = child(RUNTIME, 'protostub/a.example');
const NOTE: Request = { id: 'n', type: 'update', from: child(RUNTIME, 'x'), to: parseAddress('hyperty://a.example/y'), body: { value: 'ü' } };

/** Runs the example's stub against a scripted message node: each connection is given to `serve`. */
const byHand = async (t: Test, serve: (line: (message: Record<string, unknown>) => void, socket: Socket, connection: number) => (frame: Record<string, unknown>) => void): Promise<TestBus> => {
  let connections = 0;
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    let rest = '';
    const take = serve((message) => { socket.write(`${JSON.stringify(message)}\n`); }, socket, ++connections);
    socket.on('error', () => undefined).setEncoding('utf8').on('data', (text: string) => {
      const whole = (rest + text).split('\n');
      rest = whole.pop() ?? '';
      for (const line of whole) take(JSON.parse(line) as Record<string, unknown>);
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const at = `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  const bus = new TestBus();
  const { default: activate } = (await import(new URL('../../examples/protostub-tcp/stub.js', import.meta.url).href)) as { readonly default: Activate };
  const TcpSocket = confinedTcpSocket({ url: STUB, servers: [at], log, attempt: (run) => { run(); } });
  const { instance } = activate(STUB, bus, { url: `tcp://${at}`, runtimeURL: RUNTIME, release: true }, { TcpSocket, log, clock, createSyncher: () => { throw new Error('not used'); } });
  t.teardown(async () => {
    await instance.close?.();
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return bus;
};

t.test('the example\'s stub keeps its session over connections, and opens another when it is forgotten', async (t) => {
  const said: string[] = [];
  const bus = await byHand(t, (line, socket, connection) => ({ id, type, from, to }) => {
    said.push(`${String(connection)} ${String(type)} ${String(from)}`);
    if (to !== 'mn:/session') { socket.destroy(); return; }
    const known = connection !== 3 || type === 'open';
    line({ id, type: 'response', from: to, to: RUNTIME, body: known ? { code: 200, ...(type === 'open' ? { runtimeToken: `t${String(connection)}` } : {}) } : { code: 401 } });
  });
  for (const [round, session] of ['new', 'resumed', 'new'].entries()) {
    if (round < 1) void bus.give(NOTE);
    await bus.watch.until(() => bus.statuses.filter(({ value }) => value === 'live').length > round, `session ${String(round)}`);
    t.equal(bus.statuses.filter(({ value }) => value === 'live')[round]?.body['session'], session);
    if (round === 1) void bus.give(NOTE);
  }
  t.same(said, [
    `1 open ${RUNTIME}`, `1 update ${NOTE.from}`, `2 re-open ${RUNTIME}/t1`, `2 update ${NOTE.from}`, `3 re-open ${RUNTIME}/t1`, `3 open ${RUNTIME}`,
  ]);
  t.same(bus.statuses.map(({ value }) => value), ['created', 'in-progress', 'live', 'disconnected', 'live', 'disconnected', 'live']);
});

t.test('the example\'s stub reads lines however their bytes come, drops what is none, and reads nothing while the runtime has enough', async (t) => {
  const text = `ü€😀${'x'.repeat(100)}`;
  const frame = (value: unknown): Buffer => Buffer.from(`${JSON.stringify({ ...NOTE, from: NOTE.to, to: NOTE.from, body: { value } })}\n`);
  let socket: Socket | undefined;
  const bus = await byHand(t, (line, made) => {
    socket = made;
    return ({ id, to }) => { line({ id, type: 'response', from: to, to: RUNTIME, body: { code: 200, runtimeToken: 't' } }); };
  });
  const came: unknown[] = [];
  let release = (): void => undefined;
  bus.onPost = (message) => {
    came.push(message.body?.['value']);
    bus.watch.poke();
    return message.body?.['value'] === 'wait' ? new Promise((resolve) => { release = resolve; }) : undefined;
  };
  void bus.give(NOTE);
  await bus.status('live');
  socket?.setNoDelay(true);
  for (const byte of frame(text)) await new Promise((resolve) => { socket?.write(Buffer.of(byte), resolve); });
  socket?.write(Buffer.concat([Buffer.from('\n\n{"no":"message"\n[]\n5\n'), frame(1), frame(2)]));
  socket?.write(Buffer.concat([Buffer.alloc(17 * 1024 * 1024, 0x61), Buffer.from('\n'), frame('wait'), frame('next')]));
  await bus.watch.until(() => came.includes('wait'), 'the message that is waited for');
  t.same(came, [text, 1, 2, 'wait']);
  release();
  await bus.watch.until(() => came.includes('next'), 'the next one');
  socket?.write(Buffer.concat([Buffer.of(0xff, 0x0a), frame('lost')]));
  t.match((await bus.status('disconnected')).body['description'], /encod|decod/i, 'what is not UTF-8 ends the connection');
});

t.test('the example\'s stub refuses what it can\'t send, but no response', async (t) => {
  const said: unknown[] = [];
  const refusing = await byHand(t, (line) => ({ id, to, type }) => {
    said.push(type);
    line({ id, type: 'response', from: to, to: RUNTIME, body: { code: 403, description: 'not you' } });
  });
  void refusing.give({ id: 'r', type: 'response', from: NOTE.from, to: NOTE.to as Address, body: { code: 200 } });
  void refusing.give(NOTE);
  await refusing.watch.until(() => refusing.posted.length > 0, 'a refusal');
  t.match(refusing.posted, [{ id: 'n', type: 'response', from: NOTE.to, to: NOTE.from, body: { code: 503, error: 'E_UNREACHABLE', description: /not you/ } }]);
  t.equal((await refusing.status('failed')).body['description'], 'no session: not you');
  t.ok(said.every((type) => type === 'open'));
});

t.test('a domain with a protocol of its own offers that one, serves what is given to it, and answers what is no message', async (t) => {
  const init = { messageNode: { lines: 'tcp://127.0.0.1:7' } };
  t.throws(() => new DomainServer({ store: memoryStore(), clock }, { protocols: [] }), { code: 'E_USAGE' });
  t.throws(() => new DomainServer({ store: memoryStore(), clock }, { messageNode: { rest: 'tcp://127.0.0.1:7' } }), { code: 'E_USAGE' }, 'no name twice');
  const both = await startServer(t, init);
  const { messageNode } = (await (await fetch(`${both.url}/.well-known/protofly`)).json()) as { readonly messageNode: object };
  t.same(Object.keys(messageNode), ['lines', 'websocket', 'rest'], 'its own goes first');
  t.equal((await fetch(`${both.url}/.well-known/protocolstub/default`)).status, 404, 'and no other protocol\'s stub is the domain\'s own');
  const { server, url } = await startServer(t, { ...init, protocols: [] });
  t.same(((await (await fetch(`${url}/.well-known/protofly`)).json()) as { readonly messageNode: object }).messageNode, init.messageNode);
  t.equal((await fetch(`${url}/rest/session`, { method: 'POST' })).status, 405);
  t.match(server.status(), { protocols: ['lines'] });
  await server.catalogue.publish({ descriptor: { type: 'protocolstub', objectName: 'default' }, source: { sourceCodeClassname: '', sourceCode: 'x', encoding: 'utf-8', signature: '' } });
  t.match(await (await fetch(`${url}/.well-known/protocolstub/default`)).json(), { configuration: { url: 'tcp://127.0.0.1:7' } });
  const tcp = createServer({ allowHalfOpen: true }, (socket) => { server.serveLines(socket); }).listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  t.teardown(() => { tcp.close(); });
  const dial = (): Socket => connect((tcp.address() as AddressInfo).port, '127.0.0.1');
  const socket = dial();
  t.teardown(() => { socket.destroy(); });
  const ended = once(socket, 'close');
  socket.write('no message\n');
  const [answer] = (await once(socket, 'data')) as [Buffer];
  t.match(JSON.parse(answer.toString()), { id: 0, type: 'response', body: { code: 400 } });
  socket.end();
  await ended;
  await server.close();
  await once(dial().on('error', () => undefined), 'close');
  t.pass('a closed server closes what it is given');
});
