import { createServer, type RequestListener } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { createServer as createTcpServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { PublicWeb } from '../../src/link/web/index.js';
import t, { type Test } from 'tap';
import type { ProtoflyError } from '../../src/protocol/index.js';
import { Domains } from '../../src/runtime/directory/domains.js';
import { memoryStore } from '../../src/store/index.js';
import { failingStore } from '../support/failing-store.js';
import { CERTIFICATE, KEY } from '../support/certificate.js';

const listen = async (t: Test, server: Server): Promise<string> => {
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => { sockets.add(socket.on('error', () => undefined)); });
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
};

const INFO = JSON.stringify({ domain: 'a.example', messageNode: {} });
const good: RequestListener = (_request, response) => { response.end(INFO); };
const answer = (status: number, headers: Record<string, string>, body = ''): RequestListener => (_request, response) => { response.writeHead(status, headers).end(body); };

const domains = (timeoutMs = 20_000): Domains => new Domains({ known: memoryStore().collection('domains'), fetch, web: new PublicWeb(), log: () => undefined }, { urls: {}, timeoutMs });

/** Returns a runtime's error about a domain at that URL. */
const errorAt = async (url: string, timeoutMs?: number): Promise<ProtoflyError> => {
  try {
    await domains(timeoutMs).at(url);
  } catch (error) {
    return error as ProtoflyError;
  }
  throw new Error(`${url} is a domain`);
};

t.test('a domain that can\'t be reached is told of with the reason and what to do', async (t) => {
  const tls = await listen(t, createTlsServer({ cert: CERTIFICATE, key: KEY }, good));
  const plain = await listen(t, createServer(good));
  const other = await listen(t, createTcpServer((socket) => { socket.end('SSH-2.0-other\r\n'); }));
  const silent = await listen(t, createTcpServer());
  const closed = await listen(t, createTcpServer((socket) => { socket.destroy(); }));
  t.equal((await domains().at(`http://${plain}`)).domain, 'a.example');
  t.match(await errorAt(`https://${tls}`), { code: 'E_UNREACHABLE', message: /certificate.*self-signed/, hint: /--ca FILE/ });
  t.match(await errorAt(`https://${plain}`), { code: 'E_UNREACHABLE', message: /TLS/, hint: /http:/ });
  t.match(await errorAt(`http://${tls}`), { code: 'E_UNREACHABLE', hint: /https:/ });
  t.match(await errorAt(`http://${other}`), { code: 'E_UNREACHABLE', message: /HTTP/ });
  t.match(await errorAt(`http://${closed}`), { code: 'E_UNREACHABLE', message: /closed|reset/ });
  t.match(await errorAt(`http://${silent}`, 50), { code: 'E_UNREACHABLE', message: /too long/ });
  t.match(await errorAt('http://nowhere.invalid'), { code: 'E_UNREACHABLE', message: /name/, hint: /name/ });
  t.match(await errorAt('http://127.0.0.1:1'), { code: 'E_UNREACHABLE', message: /port/, hint: /URL/ }, 'a port that fetch never asks');
});

t.test('what answers and isn\'t a domain server is told of as what it is', async (t) => {
  const at = async (listener: RequestListener): Promise<ProtoflyError> => errorAt(`http://${await listen(t, createServer(listener))}`);
  t.match(await at(answer(301, { location: 'https://u:secret@elsewhere.example/x' })), { code: 'E_UNREACHABLE', message: /301.*https:\/\/…@elsewhere\.example\/x/, hint: /URL/ });
  t.match(await at(answer(307, {})), { code: 'E_UNREACHABLE', message: /307/ });
  t.match(await at(answer(200, { 'content-type': 'text/html; charset=utf-8' }, '<html>')), { code: 'E_DESCRIPTOR', message: /web page/, hint: /in front of it/ });
  t.match(await at(answer(200, { 'content-type': 'text/html' }, 'x'.repeat(100_000))), { code: 'E_DESCRIPTOR', message: /web page/ }, 'also a long one');
  t.match(await at(answer(404, { 'content-type': 'text/html' }, 'no')), { code: 'E_DESCRIPTOR', message: /404.*web page/ });
  t.match(await at(answer(401, {})), { code: 'E_DESCRIPTOR', message: /401/ });
  t.match(await at(answer(200, {}, 'hello')), { code: 'E_DESCRIPTOR', message: /isn't JSON/ });
  t.match(await at(answer(200, {}, ' '.repeat(70_000))), { code: 'E_DESCRIPTOR', message: /longer/ });
  t.match(await at(answer(200, {}, '{}')), { code: 'E_DESCRIPTOR' });
  t.match(await at(answer(502, { 'content-type': 'text/html' })), { code: 'E_UNREACHABLE', message: /502/ });
});

t.test('what was learned of a domain serves while something stands between', async (t) => {
  let listener = good;
  const url = `http://${await listen(t, createServer((request, response) => { listener(request, response); }))}`;
  const known = domains();
  t.equal((await known.at(url)).domain, 'a.example');
  listener = answer(302, { location: '/login' });
  t.equal((await known.at(url)).domain, 'a.example');
});

t.test('a URL with a user name and password is refused, and not shown', async (t) => {
  const error = await errorAt('http://user:secret@127.0.0.1:9');
  t.match(error, { code: 'E_USAGE' });
  t.notMatch(JSON.stringify([error.message, error.hint, String(error.cause)]), 'secret');
});

t.test('a description that can\'t be kept is used all the same', async (t) => {
  const server = createServer(good);
  const url = await listen(t, server);
  const store = failingStore();
  store.isFull = true;
  const log: string[] = [];
  const known = new Domains({ known: store.collection('domains'), fetch, web: new PublicWeb(), log: (_level, text) => { log.push(text); } }, { urls: {} });
  t.match(await known.at(`http://${url}`), { domain: 'a.example' });
  t.match(log, [/can't be kept: no space left/]);
});
