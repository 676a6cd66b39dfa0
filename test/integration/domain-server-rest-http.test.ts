import { request } from 'node:http';
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { DomainClient, type Frame } from '../support/domain-client.js';
import { startServer } from '../support/domain-server.js';
import { until } from '../support/until.js';

const A = 'hyperty-runtime://a.example/ra';
const B = 'hyperty-runtime://a.example/rb';
const SM = 'domain://msg-node.a.example/sm';

const open = async (url: string, runtime: string): Promise<string> => {
  const response = await fetch(`${url}/rest/session`, { method: 'POST', body: JSON.stringify({ id: 1, type: 'open', from: runtime, to: 'mn:/session' }) });
  return String((await response.json() as Frame).body?.['runtimeToken']);
};

interface Plain {
  readonly status: number | undefined;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

const plain = (url: string, method: string, path: string, headers: Record<string, string> = {}): Promise<Plain> =>
  new Promise((resolve, reject) => {
    request(url, { path, method, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => { text += chunk; }).on('end', () => { resolve({ status: response.statusCode, headers: response.headers, text }); });
    }).on('error', reject).end();
  });

/** Opens a bare connection that ends with the test, and collects the bytes received. */
const bare = async (t: Test, url: string): Promise<{ socket: Socket; text: () => string; closed: Promise<void> }> => {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  t.teardown(() => socket.destroy());
  let text = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => { text += chunk; }).on('error', () => undefined);
  const closed = new Promise<void>((resolve) => { socket.once('close', () => { resolve(); }); });
  await new Promise((resolve) => { socket.once('connect', resolve); });
  return { socket, text: () => text, closed };
};

void t.test('requests that make no sense are answered in JSON, with a code: 401, 404, 405, 414', async (t) => {
  const { url, logged } = await startServer(t);
  for (const path of ['/rest', '/rest/', '/rest/nothing', '/rest/session/x', '/rest/__proto__', '/rest/messages/1', '/rest//messages', '/rest/%']) {
    const { status, text } = await plain(url, 'GET', path);
    t.equal(status, 404, path);
    t.match(JSON.parse(text), { error: 'E_NOT_FOUND', description: String }, path);
  }
  for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'HEAD']) t.match(await plain(url, method, '/rest/session'), { status: 405, headers: { allow: 'POST, OPTIONS' } }, method);
  for (const method of ['PUT', 'DELETE', 'HEAD']) t.match(await plain(url, method, '/rest/messages'), { status: 405, headers: { allow: 'GET, POST, OPTIONS' } }, method);
  t.equal((await plain(url, 'GET', `/rest/messages?${'x'.repeat(3000)}`)).status, 414);
  const token = await open(url, A);
  for (const authorization of ['', 'Bearer', 'Bearer ', 'Basic x', token, `Bearer ${token}x`, `Bearer ${token.slice(1)}`, `Bearer ${token.toLowerCase()}`, `Bearer ${'x'.repeat(5000)}`, `Bearer ${token} x`]) {
    t.match(await plain(url, 'GET', '/rest/messages', { authorization }), { status: 401, headers: { 'www-authenticate': 'Bearer' } }, authorization.slice(0, 60));
  }
  t.equal((await plain(url, 'GET', '/rest/messages', { authorization: `Bearer ${token}`, 'last-event-id': 'x' })).status, 400);
  t.equal((await plain(url, 'GET', '/rest/messages', { authorization: `Bearer ${token}` })).status, 200);
  const without = await startServer(t, { protocols: ['websocket'] });
  t.equal((await plain(without.url, 'GET', '/rest/messages')).status, 404, 'where it is not offered');
  t.same(logged, []);
});

void t.test('pages of an allowed origin may use it', async (t) => {
  const origin = 'https://b.example';
  const { url } = await startServer(t, { allowOrigins: [origin] });
  t.match(await plain(url, 'OPTIONS', '/rest/messages', { origin, 'access-control-request-method': 'POST' }), {
    status: 204,
    headers: { 'access-control-allow-origin': origin, 'access-control-allow-methods': /\bPOST\b/, 'access-control-allow-headers': /authorization.*content-type.*last-event-id.*protofly-batch/ },
    text: '',
  });
  const token = await open(url, A);
  t.match(await plain(url, 'GET', '/rest/messages', { origin, authorization: `Bearer ${token}` }), { status: 200, headers: { 'access-control-allow-origin': origin, 'access-control-expose-headers': 'protofly-cursor', 'cache-control': 'no-store' } });
  t.match(await plain(url, 'GET', '/rest/messages', { origin }), { status: 401, headers: { 'access-control-allow-origin': origin } }, 'refusals too');
});

void t.test('bodies that are too large, or never come, cost their request alone', async (t) => {
  const { url, server, logged } = await startServer(t, { rest: { bodyIdleMs: 100 } });
  const token = await open(url, A);
  const head = (path: string, more: string): string => `POST ${path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\n${more}\r\n\r\n`;
  const huge = await bare(t, url);
  huge.socket.write(head('/rest/messages', 'Content-Length: 99999999999'));
  await until('the condition holds', () => huge.text().startsWith('HTTP/1.1 413'));
  huge.socket.destroy();
  const endless = await bare(t, url);
  endless.socket.write(head('/rest/session', 'Transfer-Encoding: chunked'));
  for (let i = 0; i < 20; i += 1) endless.socket.write(`2000\r\n${'x'.repeat(0x2000)}\r\n`);
  await until('the condition holds', () => endless.text().startsWith('HTTP/1.1 413'));
  endless.socket.destroy();
  const slow = await bare(t, url);
  slow.socket.write(head('/rest/messages', 'Content-Length: 100'));
  slow.socket.write('[');
  await slow.closed;
  t.match(slow.text(), /^HTTP\/1\.1 408 /);
  const trickling = await bare(t, url);
  trickling.socket.write(head('/rest/messages', 'Content-Length: 10000'));
  const trickle = setInterval(() => trickling.socket.write(' '), 20);
  t.teardown(() => { clearInterval(trickle); });
  await trickling.closed;
  t.match(trickling.text(), /^HTTP\/1\.1 408 /, 'SES-18: a body that never pauses, but is too slow');
  const gone = await bare(t, url);
  gone.socket.write(head('/rest/messages', 'Content-Length: 100'));
  gone.socket.end('[');
  await gone.closed;
  const broken = await bare(t, url);
  broken.socket.write(head('/rest/messages', 'Transfer-Encoding: chunked'));
  broken.socket.write('zz\r\n');
  await broken.closed;
  t.match(broken.text(), /^HTTP\/1\.1 400 /);
  t.equal((await fetch(`${url}/rest/messages`, { method: 'POST', headers: { authorization: `Bearer ${token}` }, body: '[]' })).status, 202);
  t.equal(server.status()['connections'], 1);
  t.same(logged, []);
});

void t.test('requests that come on one connection at once are answered in order', async (t) => {
  const { url } = await startServer(t);
  const token = await open(url, A);
  const { socket, text } = await bare(t, url);
  const post = (id: number): string => {
    const body = JSON.stringify([{ id, type: 'ping', from: A, to: SM }]);
    return `POST /rest/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Length: ${String(body.length)}\r\n\r\n${body}`;
  };
  socket.write([1, 2, 3, 4, 5].map(post).join(''));
  await until('the condition holds', () => text().split('HTTP/1.1 202').length === 6);
  const answers = await (await fetch(`${url}/rest/messages?wait=5`, { headers: { authorization: `Bearer ${token}` } })).json() as Frame[];
  t.same(answers.map(({ id }) => id), [1, 2, 3, 4, 5]);
});

void t.test('more POSTs of a session at once than can have a turn are answered 429', async (t) => {
  const { url } = await startServer(t, { rest: { unacknowledged: 1, posts: 3 }, limits: { stallMs: 60_000 } });
  const token = await open(url, A);
  const headers = { authorization: `Bearer ${token}` };
  t.equal((await fetch(`${url}/rest/messages?after=0`, { headers })).status, 200);
  const codes: number[] = [];
  const posts = [1, 2, 3, 4, 5].map(async (id) => {
    const { status } = await fetch(`${url}/rest/messages`, { method: 'POST', headers, body: JSON.stringify({ id, type: 'ping', from: A, to: SM }) });
    codes.push(status);
  });
  await until('the condition holds', () => codes.length === 2);
  t.same(codes, [429, 429], 'the first is held back until its answer is acknowledged, two wait behind it');
  for (let cursor = 0; codes.length < 5;) {
    const response = await fetch(`${url}/rest/messages?wait=0.05&after=${String(cursor)}`, { headers });
    cursor = Number(response.headers.get('protofly-cursor'));
  }
  await Promise.all(posts);
  t.same(codes.slice(2), [202, 202, 202]);
});

void t.test('a client that opens a stream and doesn\'t read it holds its senders up, not the memory; what it didn\'t get comes after a re-open', async (t) => {
  const { url, server } = await startServer(t, { limits: { stallMs: 400 } });
  const token = await open(url, A);
  const { socket, text } = await bare(t, url);
  socket.write(`GET /rest/messages?after=0 HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nAuthorization: Bearer ${token}\r\n\r\n`);
  await until('the condition holds', () => text().includes(': this'));
  socket.pause();
  const sender = await DomainClient.open(url, B);
  const other = await DomainClient.open(url, 'hyperty-runtime://a.example/rc');
  const value = 'x'.repeat(512 * 1024);
  const received = (): number => (server.status()['messages'] as { received: number }).received;
  for (let id = 1; id <= 60; id += 1) sender.send({ id, type: 'create', from: B, to: `${A}/x`, body: { value } });
  sender.send({ id: 'end', type: 'ping', from: B, to: SM });
  await until('the condition holds', () => received() > 30);
  t.equal(await other.code('ping', SM), 200, 'others are served');
  t.ok(received() < 50, 'the sender is not read on');
  await sender.next(({ id }) => id === 'end');
  await until('the condition holds', () => server.status()['connections'] === 2);
  const again = await fetch(`${url}/rest/session`, { method: 'POST', body: JSON.stringify({ id: 1, type: 're-open', from: `${A}/${token}`, to: 'mn:/session' }) });
  t.equal(again.status, 200);
  const ids: unknown[] = [];
  for (let cursor = 0; ids.length < 30;) {
    const response = await fetch(`${url}/rest/messages?wait=5&after=${String(cursor)}`, { headers: { authorization: `Bearer ${token}` } });
    cursor = Number(response.headers.get('protofly-cursor'));
    ids.push(...(await response.json() as Frame[]).map(({ id }) => id));
  }
  t.same(ids.slice(0, 30), Array.from({ length: 30 }, (_, i) => i + 1));
});
