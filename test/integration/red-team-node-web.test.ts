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
    for (const name of ['evil.example', `127.0.0.9:${port}`, `localhost:${port}`]) {
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
