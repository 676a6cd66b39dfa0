import { request } from 'node:http';
import { connect } from 'node:net';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { parseDescriptor, parseDomainInfo, parseSourcePackage } from '../../src/protocol/descriptor.js';
import { openLmdbStore } from '../../src/store/lmdb/index.js';
import { startServer, temporaryFolder } from '../support/domain-server.js';

const stubFolder = (path: string): string => {
  const folder = join(path, 'stubs');
  mkdirSync(folder);
  for (const name of ['msg-node-websocket', 'p2p-handler']) {
    writeFileSync(join(folder, `${name}.descriptor.json`), JSON.stringify({ cguid: `sha256-${name}`, type: 'protocolstub', version: '1', objectName: name, constraints: { webrtc: name !== 'msg-node-websocket' }, configuration: { known: 1 } }));
    writeFileSync(join(folder, `${name}.js`), `export default "${name}";`);
  }
  return folder;
};

/** Writes to a bare connection and returns the bytes received. */
const raw = (url: string, text: string): Promise<string> =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    let answer = '';
    const socket = connect(Number(port), hostname, () => { socket.write(text); });
    socket.setEncoding('utf8').on('data', (chunk: string) => { answer += chunk; }).on('close', () => { resolve(answer); }).on('error', reject);
  });

const statusOf = (url: string, path: string, method: string): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    request(url, { path, method }, (response) => { response.resume().on('end', () => { resolve(response.statusCode); }); }).on('error', reject).end();
  });

void t.test('the domain says what it is, and offers its catalogue', async (t) => {
  const { url } = await startServer(t, { catalogueDir: stubFolder(temporaryFolder(t)), iceServers: ['stun:127.0.0.1:3478'] });
  const { host } = new URL(url);
  const json = async (path: string): Promise<unknown> => {
    const response = await fetch(url + path);
    t.match(response.headers.get('content-type'), /^application\/json/, path);
    return response.json();
  };
  t.same(await json('/healthz'), { status: 'ok', domain: 'a.example' });
  t.match(parseDomainInfo(await json('/.well-known/protofly')), { domain: 'a.example', messageNode: { websocket: `ws://${host}/ws`, rest: `http://${host}/rest` }, iceServers: ['stun:127.0.0.1:3478'] });
  t.same(await json('/.well-known/protocolstub'), ['default', 'msg-node-websocket', 'p2p-handler']);
  t.same(await json('/.well-known/hyperty'), []);
  const stub = parseDescriptor(await json('/.well-known/protocolstub/p2p-handler'));
  t.match(stub, { objectName: 'p2p-handler', constraints: { webrtc: true }, sourcePackageURL: /^hyperty-catalogue:\/\/catalogue\.a\.example\/\.well-known\/protocolstub\/p2p-handler\/sourcePackage\/sha256-/ });
  t.equal(stub.sourcePackage, undefined);
  t.match(parseSourcePackage(await json('/.well-known/protocolstub/p2p-handler/sourcePackage')), { sourceCode: 'export default "p2p-handler";', encoding: 'utf-8' });
  t.match(parseDescriptor(await json('/.well-known/protocolstub/default')), { objectName: 'default', configuration: { known: 1, url: `ws://${host}/ws` } });
  t.match(parseSourcePackage(await json('/.well-known/protocolstub/default/sourcePackage')), { sourceCode: /msg-node-websocket/ });
  t.match(parseDescriptor(await json('/.well-known/runtime/default')), {
    p2pHandlerStub: 'hyperty-catalogue://catalogue.a.example/.well-known/protocolstub/p2p-handler',
    p2pRequesterStub: 'hyperty-catalogue://catalogue.a.example/.well-known/protocolstub/p2p-requester',
  });
  t.match(parseDescriptor(await json('/.well-known/dataschema/Connection')), { type: 'dataschema', objectName: 'Connection' });
  t.match(JSON.parse(parseSourcePackage(await json('/.well-known/dataschema/Connection/sourcePackage')).sourceCode), { title: 'Connection' });
});

void t.test('a strong ETag saves the second transfer; HEAD sends no body', async (t) => {
  const { url } = await startServer(t, { catalogueDir: stubFolder(temporaryFolder(t)) });
  const path = `${url}/.well-known/protocolstub/p2p-handler/sourcePackage`;
  const first = await fetch(path);
  const etag = first.headers.get('etag') ?? '';
  t.match(etag, /^"[\w-]{43}"$/);
  const length = (await first.text()).length;
  for (const tag of [etag, `"x", W/${etag}`, '*']) {
    const again = await fetch(path, { headers: { 'if-none-match': tag } });
    t.equal(again.status, 304, tag);
    t.equal(await again.text(), '');
  }
  t.equal((await fetch(path, { headers: { 'if-none-match': '"other"' } })).status, 200);
  const head = await fetch(path, { method: 'HEAD' });
  t.equal(head.headers.get('content-length'), String(length));
  t.equal(head.headers.get('etag'), etag);
  t.equal(await head.text(), '');
});

void t.test('what is not there is answered in JSON: 404, 405, 414, 426', async (t) => {
  const { url } = await startServer(t, { catalogueDir: temporaryFolder(t) });
  for (const path of ['/nothing', '/.well-known', '/.well-known/nothing', '/.well-known/hyperty/x', '/.well-known/hyperty/x/sourcePackage', '/.well-known/protocolstub/default', '/.well-known/runtime/default/sourcePackage', '/.well-known/runtime/default/x', '/.well-known/runtime/..%2f..%2fetc', '/.well-known/runtime/__proto__', '/.well-known/protofly/x', '/%']) {
    const response = await fetch(url + path);
    t.equal(response.status, 404, path);
    t.match(await response.json(), { error: 'E_NOT_FOUND', description: String }, path);
  }
  for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']) t.equal(await statusOf(url, '/healthz', method), 405, method);
  t.equal(await statusOf(url, `/${'x'.repeat(5000)}`, 'GET'), 414);
  t.equal(await statusOf(url, '/ws', 'GET'), 426);
  t.equal((await fetch(`${url}/healthz`, { method: 'POST', body: 'x'.repeat(100_000) })).status, 405, 'a body is read and thrown away');
});

void t.test('bad HTTP is answered or cut off, and the server goes on', async (t) => {
  const { url } = await startServer(t);
  t.match(await raw(url, 'nonsense\r\n\r\n'), /^HTTP\/1\.1 400 /);
  t.match(await raw(url, `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(40_000)}\r\n\r\n`), /^HTTP\/1\.1 431 /);
  t.match(await raw(url, 'GET /other HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'), /^HTTP\/1\.1 404 /);
  t.match(await raw(url, 'GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'), /^HTTP\/1\.1 400 /);
  t.match(await raw(url, 'GET /.well-known/protofly HTTP/1.1\r\nHost: a"b\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 421 /, 'a host that is none');
  t.equal((await fetch(`${url}/healthz`)).status, 200);
});

void t.test('a published entry replaces a built-in one and survives a restart', async (t) => {
  const path = temporaryFolder(t);
  const catalogueDir = stubFolder(path);
  let store = openLmdbStore({ path: join(path, 'db') });
  const first = await startServer(t, { catalogueDir }, store);
  await first.server.catalogue.publish({ descriptor: { cguid: 'h', type: 'hyperty', version: '2', objectName: 'Chat' }, source: { sourceCodeClassname: 'Chat', sourceCode: 'new' } });
  await first.server.catalogue.publish({ descriptor: { cguid: 'p', type: 'protocolstub', version: '2', objectName: 'p2p-handler', sourcePackage: { sourceCodeClassname: 'x', sourceCode: 'newer' } } });
  await t.rejects(first.server.catalogue.publish({ descriptor: { cguid: 'p', type: 'protocolstub', version: '2', objectName: '../x' } }), { code: 'E_DESCRIPTOR' });
  await t.rejects(first.server.catalogue.publish({ descriptor: { cguid: 'p', type: 'protocolstub', version: '2', objectName: 'codeless' } }), { code: 'E_DESCRIPTOR' });
  await first.server.close();
  await store.close();
  store = openLmdbStore({ path: join(path, 'db') });
  t.teardown(() => store.close());
  const { url } = await startServer(t, { catalogueDir }, store);
  t.same(await (await fetch(`${url}/.well-known/hyperty`)).json(), ['Chat']);
  t.match(await (await fetch(`${url}/.well-known/hyperty/Chat/sourcePackage`)).json(), { sourceCode: 'new' });
  t.match(await (await fetch(`${url}/.well-known/protocolstub/p2p-handler`)).json(), { version: '2' });
  t.match(await (await fetch(`${url}/.well-known/protocolstub/p2p-handler/sourcePackage`)).json(), { sourceCode: 'newer' });
  t.match(await (await fetch(`${url}/.well-known/protocolstub/msg-node-websocket`)).json(), { version: '1' });
});
