import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import type { Link } from '../../src/link/index.js';
import { WEBSOCKET_OPTIONS, websocketLink, type WebsocketInit } from '../../src/link/websocket/index.js';
import type { Message } from '../../src/protocol/index.js';
import { linkContract, message } from './link-contract.js';

interface Server {
  readonly port: number;
  readonly link: Promise<Link<Message>>;
  readonly close: () => Promise<void>;
}

const serve = async (init: WebsocketInit = {}, corked = true): Promise<Server> => {
  const server = new WebSocketServer({ ...WEBSOCKET_OPTIONS, port: 0, host: '127.0.0.1' });
  await once(server, 'listening');
  const link = new Promise<Link<Message>>((resolve) => {
    server.on('connection', (ws: WebSocket, request: IncomingMessage) => {
      resolve(websocketLink(ws, { name: 'server', ...init, ...(corked ? { serverSocket: request.socket } : {}) }));
    });
  });
  const close = async (): Promise<void> => {
    for (const client of server.clients) client.terminate();
    await new Promise<void>((resolve) => { server.close(() => { resolve(); }); });
  };
  return { port: (server.address() as AddressInfo).port, link, close };
};

const open = (port: number): Promise<WebSocket> =>
  new Promise((resolve, reject) => {
    const ws = new WebSocket(`ws://127.0.0.1:${String(port)}/`, WEBSOCKET_OPTIONS);
    ws.once('open', () => { resolve(ws); }).once('error', reject);
  });

const dial = (port: number, init: WebsocketInit = {}): Promise<{ ws: WebSocket; link: Link<Message> }> =>
  new Promise((resolve, reject) => {
    const ws = new WebSocket(`ws://127.0.0.1:${String(port)}/`, WEBSOCKET_OPTIONS);
    ws.once('open', () => { resolve({ ws, link: websocketLink(ws, { name: 'client', ...init }) }); }).once('error', reject);
  });

for (const corked of [true, false]) {
  t.test(`with ${corked ? 'the socket below' : 'the WebSocket alone'}`, (t: Test) => {
    linkContract(t, {
      pair: async (a, b) => {
        const server = await serve(a, corked);
        const { ws, link } = await dial(server.port, b);
        const accepted = await server.link;
        return { a: accepted, b: link, vanish: () => { ws.terminate(); }, cleanUp: async () => { await Promise.all([link.close(), accepted.close()]); await server.close(); } };
      },
      raw: async (init) => {
        const server = await serve(init, corked);
        const ws = await open(server.port);
        return { link: await server.link, frame: (bytes) => { ws.send(bytes.toString('utf8')); }, cleanUp: async () => { ws.terminate(); await server.close(); } };
      },
    });
    t.end();
  });
}

t.test('messages of every size around a frame header\'s bounds arrive from the server', async (t) => {
  const server = await serve();
  const { link } = await dial(server.port);
  const empty = JSON.stringify(message(1)).length;
  const texts = [125, 126, 127, 65_535, 65_536, 65_537, 70_000].flatMap((size) => ['x'.repeat(size - empty), `${'x'.repeat(Math.max(0, size - empty - 3))}€`, '€'.repeat(Math.ceil((size - empty) / 3))]);
  texts.push('x'.repeat(15_000_000));
  const got: unknown[] = [];
  const all = new Promise<void>((resolve) => { link.receive((item) => { if (got.push(item.body?.value) === texts.length) resolve(); }); });
  const from = await server.link;
  for (const text of texts) void from.send(message(1, text));
  await all;
  t.ok(got.every((value, index) => value === texts[index]));
  await Promise.all([link.close(), from.close()]);
  await server.close();
});

t.test('a binary frame is taken when it is text, and rejected when it isn\'t', async (t) => {
  const server = await serve();
  const ws = await open(server.port);
  const link = await server.link;
  const got: unknown[] = [];
  const both = new Promise<void>((resolve) => { link.receive((item) => { if (got.push(item.id) === 2) resolve(); }); });
  ws.send(Buffer.from(JSON.stringify(message(1))));
  ws.send(Buffer.from([0x7b, 0xff, 0xfe]));
  ws.send(JSON.stringify(message(2)));
  await both;
  t.same(got, [1, 2]);
  t.equal(link.stats.rejected, 1);
  ws.terminate();
  await server.close();
});

/** Opens a connection whose client writes bytes instead of frames. */
const bare = async (server: Server): Promise<Socket> => {
  const socket = connect(server.port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(`GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Version: 13\r\n\r\n`);
  await once(socket, 'data');
  return socket;
};

const broken: readonly (readonly [string, Buffer])[] = [
  ['text that isn\'t UTF-8', Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0xff, 0xfe])],
  ['reserved bits', Buffer.from([0xf1, 0x80, 0, 0, 0, 0])],
  ['an unmasked frame', Buffer.from([0x81, 0x01, 0x20])],
  ['a frame of 2^62 bytes', Buffer.from([0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])],
  ['a frame above maxPayload', Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0, 0])],
  ['a continuation of nothing', Buffer.from([0x80, 0x80, 0, 0, 0, 0])],
  ['a control frame that is too long', Buffer.from([0x89, 0xfe, 0x01, 0, 0, 0, 0, 0])],
];
for (const [what, bytes] of broken) {
  t.test(`${what} ends the link as gone, and nothing else`, async (t) => {
    const server = await serve();
    const socket = await bare(server);
    const link = await server.link;
    link.receive(() => undefined);
    socket.write(bytes);
    t.equal((await link.closed).how, 'gone');
    socket.destroy();
    await server.close();
  });
}

t.test('a side that misses two pongs is gone; one that answers isn\'t', async (t) => {
  const server = await serve({ keepAliveMs: 20 });
  const socket = await bare(server);
  const silent = await server.link;
  silent.receive(() => undefined);
  t.match(await silent.closed, { how: 'gone', reason: /no sign of life/ });
  socket.destroy();
  await server.close();

  const other = await serve({ keepAliveMs: 20 });
  const { ws, link } = await dial(other.port, { keepAliveMs: 20 });
  link.receive(() => undefined);
  (await other.link).receive(() => undefined);
  let pings = 0;
  await new Promise<void>((resolve) => { ws.on('ping', () => { if (++pings === 6) resolve(); }); });
  await link.close('done');
  t.same([await link.closed, await (await other.link).closed], [{ how: 'closed', reason: 'done' }, { how: 'closed', reason: 'done' }], 'the reason went along');
  await other.close();
});

t.test('a WebSocket that isn\'t open is a usage error', async (t) => {
  const server = await serve();
  const ws = new WebSocket(`ws://127.0.0.1:${String(server.port)}/`);
  t.throws(() => websocketLink(ws), { code: 'E_USAGE' });
  await once(ws, 'open');
  ws.terminate();
  await server.close();
});
