import { mkdtemp, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import t from 'tap';
import type { Link, LinkInit } from '../../src/link/index.js';
import { connectSocket, listenControl, listenSocket, socketAddress, type SocketServer } from '../../src/link/socket/index.js';
import { streamLink } from '../../src/link/stream/index.js';
import { messageCodec } from '../../src/link/index.js';
import type { Message, ProtoflyError } from '../../src/protocol/index.js';
import { smallDisk, withoutSmallDisk } from '../support/small-disk.js';
import { linkContract, message } from './link-contract.js';

const folder = await mkdtemp(join(tmpdir(), 'pfl-'));
t.teardown(() => rm(folder, { recursive: true, force: true }));
let count = 0;
const freshPath = (): string => join(folder, `${String(++count)}.sock`);

/** Leaves the socket of a killed process behind. */
const leaveBehind = async (path: string): Promise<void> => {
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => { process.kill(process.pid, 'SIGKILL'); })`;
  await once(spawn(process.execPath, ['-e', script], { stdio: 'ignore' }), 'exit');
};

/** Starts a server, with a bare socket connected to it. */
const serve = async (init: LinkInit = {}): Promise<{ server: SocketServer; link: Link<Message>; socket: Socket }> => {
  const path = freshPath();
  let accepted: (link: Link<Message>) => void = () => undefined;
  const made = new Promise<Link<Message>>((resolve) => { accepted = resolve; });
  const server = await listenSocket(path, (link) => { accepted(link); }, init);
  const socket = connect({ path, allowHalfOpen: true });
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  return { server, link: await made, socket };
};

linkContract(t, {
  bytes: true,
  pair: async (a, b) => {
    const { server, link, socket } = await serve(a);
    const other = streamLink({ readable: socket, writable: socket }, messageCodec, b);
    return { a: link, b: other, vanish: () => { socket.destroy(); }, cleanUp: async () => { await Promise.all([other.close(), server.close()]); } };
  },
  raw: async (init) => {
    const { server, link, socket } = await serve(init);
    return {
      link,
      frame: (bytes) => { socket.write(Buffer.concat([bytes, Buffer.from('\n')])); },
      cleanUp: async () => {
        socket.destroy();
        await server.close();
      },
    };
  },
});

t.test('lines that are not UTF-8, too long, unfinished or empty cost themselves only', async (t) => {
  const rejected: string[] = [];
  const { server, link, socket } = await serve({ maxFrame: 1000, onReject: (error) => { rejected.push(error.code); } });
  const got: unknown[] = [];
  link.receive((item) => { got.push(item.id); });
  const line = (id: number): Buffer => Buffer.from(`${messageCodec.encode(message(id))}\n`);
  socket.write(Buffer.concat([line(1), Buffer.from([0x22, 0xff, 0xfe, 0x22, 0x0a]), line(2), Buffer.from('\n\r\n\n'), Buffer.alloc(5_000_000, 'x'), Buffer.from('\n'), line(3)]));
  socket.end('{"id":4,"type":');
  t.equal((await link.closed).how, 'gone', 'there was no goodbye');
  t.same(got, [1, 2, 3]);
  t.same(rejected.sort(), ['E_MESSAGE', 'E_MESSAGE', 'E_TOO_LARGE']);
  await server.close();
});

t.test('an empty line before the end says that the end is meant', async (t) => {
  const { server, link, socket } = await serve();
  link.receive(() => undefined);
  socket.end('\n');
  t.match(await link.closed, { how: 'closed' });
  await server.close();
});

t.test('only this user can reach the socket, and closing removes it', async (t) => {
  const path = freshPath();
  const server = await listenSocket(path, () => undefined);
  t.equal((await stat(path)).mode & 0o777, 0o600);
  await t.rejects(listenSocket(path, () => undefined), { code: 'E_CONFLICT' });
  const link = await connectSocket(path);
  link.receive(() => undefined);
  await Promise.all([server.close(), server.close()]);
  t.equal((await link.closed).how, 'closed');
  await t.rejects(connectSocket(path), { code: 'E_NOT_RUNNING' });
  await t.rejects(stat(path), { code: 'ENOENT' });
});

for (let round = 1; round <= 5; round++) t.test(`a socket left behind is repaired, also by several at once: one of them wins (${String(round)})`, async (t) => {
  const path = freshPath();
  await leaveBehind(path);
  t.ok((await stat(path)).isSocket(), 'it was left behind');
  await t.rejects(connectSocket(path), { code: 'E_NOT_RUNNING' });
  const tries = await Promise.allSettled([1, 2, 3, 4, 5].map(() => listenSocket(path, () => undefined)));
  t.ok(tries.every((each) => each.status === 'fulfilled' || (each.reason as ProtoflyError).code === 'E_CONFLICT'));
  const servers = tries.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  t.equal(servers.length, 1);
  const link = await connectSocket(path);
  await Promise.all([link.close(), ...servers.map((server) => server.close())]);
  await t.rejects(stat(`${path}.lock`), { code: 'ENOENT' });
});

t.test('who was killed in the middle of a repair doesn\'t keep others from it for long', async (t) => {
  const path = freshPath();
  await leaveBehind(path);
  await writeFile(`${path}.lock`, '');
  await t.rejects(listenSocket(path, () => undefined), { code: 'E_CONFLICT' }, 'somebody may be at it right now');
  const longAgo = new Date(Date.now() - 60_000);
  await utimes(`${path}.lock`, longAgo, longAgo);
  await (await listenSocket(path, () => undefined)).close();
});

t.test('what is no socket is left alone', async (t) => {
  const path = freshPath();
  await writeFile(path, 'precious');
  await t.rejects(listenSocket(path, () => undefined), { code: 'E_CONFLICT' });
  t.ok((await stat(path)).isFile());
  await t.rejects(connectSocket(path), { code: 'E_NOT_RUNNING' });
});

t.test('a path that no socket can have is a usage error, and Windows gets a pipe', async (t) => {
  const long = join(folder, 'x'.repeat(100));
  await t.rejects(listenSocket(long, () => undefined), { code: 'E_USAGE' });
  await t.rejects(connectSocket(long), { code: 'E_USAGE' });
  t.equal(socketAddress('C:\\Users\\bob\\run.sock', 'win32'), '\\\\.\\pipe\\C-Users-bob-run.sock');
});

t.test('a connection can be given up, and a refused link costs that link only', async (t) => {
  await t.rejects(connectSocket(freshPath(), { signal: AbortSignal.abort() }), { code: 'E_ABORTED' });
  const errors: string[] = [];
  const path = freshPath();
  const server = await listenSocket(path, () => { throw new Error('not today'); }, { onError: (error) => { errors.push(error.message); } });
  const link = await connectSocket(path);
  link.receive(() => undefined);
  await link.closed;
  t.same(errors, ['not today']);
  await server.close();
});

t.test('a server that is not ours and ends at once is gone', async (t) => {
  const path = freshPath();
  const server = createServer((socket) => { socket.destroy(); }).listen(path);
  await once(server, 'listening');
  const link = await connectSocket(path);
  link.receive(() => undefined);
  t.equal((await link.closed).how, 'gone');
  server.close();
});

t.test('a control socket whose token finds no room on the disk says so, and works when there is room', { skip: withoutSmallDisk() }, async (t) => {
  const disk = await smallDisk(t, 1);
  const path = join(disk.path, 'control.sock');
  disk.fill();
  await t.rejects(listenControl(path, () => undefined), { code: 'E_PLATFORM', message: /control\.sock\.token can't be written: ENOSPC/, cause: { code: 'ENOSPC' } });
  disk.free();
  const server = await listenControl(path, () => undefined);
  t.match((await stat(`${path}.token`)).size, 44);
  await server.close();
  await t.rejects(stat(`${path}.token`), { code: 'ENOENT' });
});
