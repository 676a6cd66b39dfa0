import '../support/bare-children.js';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import type { DomainServerOptions } from '../../src/daemon/domain-server-options.js';
import type { ReadyLine } from '../../src/daemon/runtime-options.js';
import type { Link } from '../../src/link/link.js';
import { connectSocket } from '../../src/link/socket/index.js';
import type { Address, Message, Response } from '../../src/protocol/index.js';
import { tokenOf } from '../support/acceptance.js';
import { DomainClient } from '../support/domain-client.js';
import { temporaryFolder } from '../support/domain-server.js';
import { forEachProtocol } from '../support/protocols.js';

const entry = fileURLToPath(new URL('../../dist/daemon/domain-server.js', import.meta.url));
const A = 'hyperty-runtime://a.example/ra';
const REGISTRY = 'domain://registry.a.example';
const ADMIN = 'domain://msg-node.a.example/admin' as Address;
const SESSION = 'mn:/session' as Address;
const ME = 'mn:/client' as Address;

const optionsIn = (path: string, port = 0): DomainServerOptions => {
  const catalogueDir = join(path, 'stubs');
  mkdirSync(catalogueDir, { recursive: true });
  return { name: 'a.example', allowUnauthenticated: true, listen: { host: '127.0.0.1', port }, paths: { state: join(path, 'state'), socket: join(path, 's.sock'), log: join(path, 'log') }, catalogueDir };
};

const start = async (t: Test, argument: string): Promise<{ child: ChildProcess; line: ReadyLine; ended: Promise<number | null>; lines: string[]; errors: () => string }> => {
  const child = spawn(process.execPath, [entry, argument], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => { stderr += chunk; });
  const ended = new Promise<number | null>((resolve) => { child.once('close', resolve); });
  t.teardown(async () => { child.kill('SIGKILL'); await ended; });
  const lines: string[] = [];
  const line = await new Promise<string>((resolve) => {
    createInterface({ input: child.stdout }).on('line', (text) => { lines.push(text); resolve(text); }).once('close', () => { resolve('{}'); });
  });
  return { child, line: JSON.parse(line) as ReadyLine, ended, lines, errors: () => stderr };
};

const urlOf = (line: ReadyLine): string => ('ready' in line ? String(line['url']) : '');

/** Returns a function that sends one request over a local link, and resolves with the response. */
const asker = (link: Link<Message>): ((type: 'open' | 'read' | 'execute' | 'ping', to: Address, resource?: string, value?: unknown) => Promise<Response>) => {
  const waiting = new Map<number, (response: Response) => void>();
  link.receive((message) => { if (message.type === 'response') waiting.get(Number(message.id))?.(message); });
  let id = 0;
  return (type, to, resource, value) => new Promise((resolve) => {
    id += 1;
    waiting.set(id, resolve);
    void link.send({ id, type, from: ME, to, body: { ...(resource === undefined ? {} : { resource }), ...(value === undefined ? {} : { value }) } });
  });
};

void t.test('it says that it is ready, serves, tells its status on its socket, and ends when it is asked to', async (t) => {
  const path = temporaryFolder(t);
  const options = optionsIn(path);
  const { child, line, ended, lines, errors } = await start(t, JSON.stringify(options));
  t.match(line, { ready: true, url: /^http:\/\/127\.0\.0\.1:\d+$/, socket: options.paths.socket, pid: child.pid });
  const a = await DomainClient.open(urlOf(line), A);
  await a.allocate(3);
  const early = await connectSocket(options.paths.socket);
  t.equal((await asker(early)('read', ADMIN, 'status')).body.code, 401, 'open comes first');
  await early.closed;
  const link = await connectSocket(options.paths.socket);
  const ask = asker(link);
  t.match((await ask('open', SESSION, undefined, { token: tokenOf(options.paths.socket) })).body, { code: 200, value: { domain: 'a.example' } });
  t.match((await ask('read', ADMIN, 'status')).body, {
    code: 200,
    value: { domain: 'a.example', url: urlOf(line), pid: child.pid, version: /^\d/, startedAt: /Z$/, sessions: 1, addresses: 3, subscriptions: 0, hyperties: 0, messages: { received: 2, delivered: 0, refused: 0, dropped: 0 }, rates: { receivedPerSecond: Number } },
  });
  t.equal((await ask('read', ADMIN, 'nothing')).body.code, 400);
  t.equal((await ask('read', 'domain://registry.a.example' as Address)).body.code, 404);
  t.equal(await a.code('execute', ADMIN, { resource: 'stop' }), 404, 'not from the network');
  t.equal((await ask('execute', ADMIN, 'stop')).body.code, 200);
  t.equal(await ended, 0);
  t.equal(lines.length, 1, 'nothing else on stdout');
  t.equal(errors(), '', 'nothing on stderr');
  t.match(readFileSync(options.paths.log ?? '', 'utf8'), /stops/);
});

void t.test('SIGTERM and SIGINT end it in order', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    const { child, line, ended } = await start(t, JSON.stringify(optionsIn(temporaryFolder(t))));
    const a = await DomainClient.open(urlOf(line), A);
    child.kill(signal);
    t.equal(await ended, 0, signal);
    t.match(await a.closed, { code: 1000 });
  }
});

void t.test('a port or a socket that somebody has: E_CONFLICT, exit 10; options that are none: exit 2', async (t) => {
  const path = temporaryFolder(t);
  const first = await start(t, JSON.stringify(optionsIn(path)));
  const port = Number(new URL(urlOf(first.line)).port);
  const samePort = await start(t, JSON.stringify(optionsIn(temporaryFolder(t), port)));
  t.match(samePort.line, { error: { code: 'E_CONFLICT', message: new RegExp(String(port)) } });
  t.equal(await samePort.ended, 10);
  const { log, ...paths } = optionsIn(path).paths;
  const sameSocket = await start(t, JSON.stringify({ ...optionsIn(path), paths }));
  t.match(sameSocket.line, { error: { code: 'E_CONFLICT' } });
  t.equal(await sameSocket.ended, 10);
  t.match(JSON.parse(sameSocket.errors()), { code: 'E_CONFLICT' }, 'without a log file the log goes to stderr');
  t.ok(log);
  const bad = await start(t, '{');
  t.match(bad.line, { error: { code: 'E_USAGE' } });
  t.equal(await bad.ended, 2);
  t.equal((await fetch(`${urlOf(first.line)}/healthz`)).status, 200, 'the first one goes on');
});

forEachProtocol(t, 'what was acknowledged is there after the process was killed', async (t, { connect, open }) => {
  const path = temporaryFolder(t);
  const options = optionsIn(path);
  const first = await start(t, JSON.stringify(options));
  const a = await open(urlOf(first.line), A);
  const [address = ''] = await a.allocate();
  t.equal(await a.code('create', REGISTRY, { value: { url: address, name: 'chat' } }), 200);
  t.equal(await a.code('subscribe', 'domain://msg-node.a.example/sm', { resources: ['comm://a.example/o/changes'] }), 200);
  first.child.kill('SIGKILL');
  await first.ended;
  const second = await start(t, JSON.stringify(options));
  const again = await connect(urlOf(second.line), A);
  t.equal(await again.code('re-open', 'mn:/session', undefined, `${A}/${a.token}`), 200);
  t.match((await again.ask('read', REGISTRY, { resource: '/hyperty/name/chat' })).body, { code: 200, value: { [address]: { runtime: A, status: 'live' } } });
  const b = await open(urlOf(second.line), 'hyperty-runtime://a.example/rb');
  b.send({ id: 1, type: 'update', from: b.runtime, to: 'comm://a.example/o/changes' });
  b.send({ id: 2, type: 'create', from: b.runtime, to: address });
  t.match(await again.next(() => true), { id: 1 });
  t.match(await again.next(() => true), { id: 2 });
});
