import { request as httpRequest } from 'node:http';
import t from 'tap';
import { startServer } from '../support/domain-server.js';

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly text: string;
}

/** Sends a request with any headers, also those that `fetch` sets itself. */
const ask = (url: string, path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const request = httpRequest(new URL(path, url), { method, headers, agent: false }, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk)).on('end', () => {
        resolve({ status: response.statusCode ?? 0, headers: response.headers, text: Buffer.concat(chunks).toString() });
      });
    });
    request.on('upgrade', (response, socket) => { socket.destroy(); resolve({ status: response.statusCode ?? 0, headers: response.headers, text: '' }); });
    request.on('error', reject).end();
  });

const DOCUMENTS = ['/.well-known/protofly', '/.well-known/protocolstub/default'];

t.test('CAT-1: documents name the server\'s own URL, whatever the request says', async (t) => {
  const { url } = await startServer(t);
  const { host, port } = new URL(url);
  for (const path of DOCUMENTS) {
    for (const name of ['192.0.2.1:80', `127.0.0.9:${port}`, `localhost:${port}`]) {
      const { text } = await ask(url, path, { host: name });
      t.notMatch(text, name, `${path} for ${name}`);
    }
    t.match((await ask(url, path)).text, host);
  }
});

t.test('CAT-1: a public URL is named in the place of the address that is listened on', async (t) => {
  const { url, server } = await startServer(t, { publicUrl: 'https://mn.a.example/fly/' });
  t.match(JSON.parse((await ask(url, DOCUMENTS[0]!)).text), { messageNode: { websocket: 'wss://mn.a.example/fly/ws', rest: 'https://mn.a.example/fly/rest' } });
  t.match((await ask(url, DOCUMENTS[1]!)).text, 'wss://mn.a.example/fly/ws');
  t.match(server.status(), { url, publicUrl: 'https://mn.a.example/fly' });
  for (const bad of ['mn.a.example', 'ftp://a.example', 'https://a.example/?x=1', 'https://u:p@a.example']) {
    await t.rejects(startServer(t, { publicUrl: bad }), { code: 'E_USAGE' }, bad);
  }
});

const UPGRADE = { connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' };
const EVIL = { origin: 'https://evil.example' };

t.test('SES-16: a page of another site opens no session', async (t) => {
  const { url, server } = await startServer(t);
  const { port } = new URL(url);
  t.match(await ask(url, '/ws', { ...UPGRADE, ...EVIL }), { status: 403 });
  t.match(await ask(url, '/ws', { ...UPGRADE, origin: 'null' }), { status: 403 });
  t.match(await ask(url, '/ws', { ...UPGRADE, origin: `http://localhost:${port}.evil.example` }), { status: 403 });
  for (const method of ['OPTIONS', 'POST']) {
    const { status, headers, text } = await ask(url, '/rest/session', EVIL, method);
    t.match({ status, headers }, { status: 403, headers: { 'access-control-allow-origin': undefined } }, method);
    t.match(text, /E_REFUSED.*--allow-origin/, method);
  }
  t.match(await ask(url, '/ws', { ...UPGRADE, origin: url }), { status: 101 }, 'its own origin');
  t.match(await ask(url, '/ws', UPGRADE), { status: 101 }, 'a program');
  const { headers, status } = await ask(url, '/rest/session', {}, 'OPTIONS');
  t.match({ headers, status }, { status: 204, headers: { 'access-control-allow-origin': undefined } });
  t.match(server.status(), { refused: { origin: 5 } });
});

t.test('SES-16: sites that the operator lists may', async (t) => {
  const { url } = await startServer(t, { allowOrigins: ['https://app.example', 'http://localhost:3000/'], publicUrl: 'https://mn.a.example/x' });
  for (const origin of ['https://app.example', 'http://localhost:3000', 'https://mn.a.example']) {
    t.match(await ask(url, '/ws', { ...UPGRADE, origin }), { status: 101 }, origin);
    t.match(await ask(url, '/rest/session', { origin }, 'OPTIONS'), { status: 204, headers: { 'access-control-allow-origin': origin, vary: 'origin' } });
    t.match(await ask(url, '/rest/messages', { origin }), { status: 401, headers: { 'access-control-allow-origin': origin } });
  }
  t.match(await ask(url, '/ws', { ...UPGRADE, ...EVIL }), { status: 403 });
  const { url: open } = await startServer(t, { allowOrigins: ['*'] });
  t.match(await ask(open, '/ws', { ...UPGRADE, ...EVIL }), { status: 101 });
  t.match(await ask(open, '/rest/session', EVIL, 'OPTIONS'), { headers: { 'access-control-allow-origin': EVIL.origin } });
  for (const bad of ['app.example', 'https://app.example/path', '']) await t.rejects(startServer(t, { allowOrigins: [bad] }), { code: 'E_USAGE' }, bad);
});

t.test('SES-16: documents are public, so any page may read them', async (t) => {
  const { url } = await startServer(t);
  for (const path of DOCUMENTS) t.match(await ask(url, path, EVIL), { status: 200, headers: { 'access-control-allow-origin': '*' } });
});

t.test('SES-17: a request for another host is refused', async (t) => {
  const { url, server } = await startServer(t, { publicUrl: 'https://mn.public.example:8443' });
  const { port } = new URL(url);
  for (const host of ['evil.example', `evil.example:${port}`, 'a.example.evil', '127.0.0.1.evil.example', 'a"b']) {
    for (const path of [...DOCUMENTS, '/rest/messages', '/healthz']) t.match(await ask(url, path, { host }), { status: 421 }, `${host} ${path}`);
    t.match(await ask(url, '/ws', { ...UPGRADE, host }), { status: 421 }, host);
  }
  for (const host of ['localhost', `LOCALHOST:${port}`, '127.0.0.1', '192.0.2.7:1', `[::1]:${port}`, 'a.example', 'A.example:80', 'mn.public.example', 'localhost.']) {
    t.match(await ask(url, DOCUMENTS[0]!, { host }), { status: 200 }, host);
    t.match(await ask(url, '/ws', { ...UPGRADE, host }), { status: 101 }, host);
  }
  t.match(server.status(), { refused: { host: 25 } });
});
