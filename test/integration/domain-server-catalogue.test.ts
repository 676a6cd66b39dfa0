import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import t, { type Test } from 'tap';
import { Client } from '../../src/client/client.js';
import { createContext, type Context } from '../../src/cli/context.js';
import { domainStatus, parseDays, parseProtocols, rotateKey } from '../../src/cli/daemons/domain.js';
import { EXIT_OF } from '../../src/cli/exit-codes.js';
import { domainPlaces } from '../../src/client/paths.js';
import { publish, type Publication } from '../../src/cli/publish.js';
import { DomainServer, type DomainServerInit } from '../../src/domain-server/index.js';
import { fileKeeper } from '../../src/security/file-keeper.js';
import type { KeyKeeper } from '../../src/security/key-keeper.js';
import { messageCodec } from '../../src/link/index.js';
import { streamLink } from '../../src/link/stream/index.js';
import { MAX_SOURCE, parseDomainInfo, type Descriptor, type PublicKey } from '../../src/protocol/descriptor.js';
import { ProtoflyError, systemClock, type Address, type Clock } from '../../src/protocol/index.js';
import { checkDescriptor, checkPublicKey, checkSource, contentHash, isEndorsed, verify } from '../../src/security/index.js';
import { memoryStore } from '../../src/store/index.js';
import { openLmdbStore } from '../../src/store/lmdb/index.js';
import type { Store } from '../../src/store/store.js';
import { startServer, temporaryFolder } from '../support/domain-server.js';

const STUB = { type: 'protocolstub', objectName: 'chat-stub', constraints: { tcp: true, anything: { at: ['all'] } } };
const codeOf = (text: string): { sourceCodeClassname: string; sourceCode: string } => ({ sourceCodeClassname: 'x', sourceCode: text });

const stubFolder = (path: string): string => {
  const folder = join(path, 'stubs');
  mkdirSync(folder, { recursive: true });
  for (const name of ['msg-node-websocket', 'msg-node-rest']) {
    writeFileSync(join(folder, `${name}.descriptor.json`), JSON.stringify({ cguid: `sha256-${name}`, type: 'protocolstub', version: '1', objectName: name, configuration: { known: 1 } }));
    writeFileSync(join(folder, `${name}.js`), `export default "${name}";`);
  }
  return folder;
};

const json = async (url: string): Promise<unknown> => {
  const response = await fetch(url);
  if (response.status !== 200) throw new Error(`${url} answers ${String(response.status)}`);
  return response.json();
};

interface Shown {
  readonly keys: readonly PublicKey[];
  readonly endorsements: readonly (string | undefined)[];
}

const keysOf = async (t: Test, url: string): Promise<Shown> => {
  const { publisherKey, publisherKeys = [] } = parseDomainInfo(await json(`${url}/.well-known/protofly`));
  t.same(publisherKey, publisherKeys[0]?.key, 'the current key comes first');
  return { keys: await Promise.all(publisherKeys.map(({ key }) => checkPublicKey(key))), endorsements: publisherKeys.map(({ endorsement }) => endorsement) };
};

/** Fetches an entry as a runtime does, and checks every signature. */
const fetched = async (url: string, path: string, keys: readonly PublicKey[]): Promise<{ descriptor: Descriptor; code: string; keyId: string; codePath: string }> => {
  const { value: descriptor, keyId } = await checkDescriptor(await json(`${url}/.well-known/${path}`), keys, path);
  const codePath = descriptor.sourcePackageURL.replace('hyperty-catalogue://catalogue.a.example', '');
  const code = await checkSource(await json(url + codePath), descriptor, keys, codePath);
  return { descriptor, code: code.value, keyId, codePath };
};

/** Creates a clock that the test can set ahead. */
const aheadClock = (): { clock: Clock; ahead: (ms: number) => void } => {
  let offset = 0;
  return { clock: { now: () => systemClock.now() + offset, date: () => systemClock.date() + offset, setTimeout: systemClock.setTimeout }, ahead: (ms) => { offset += ms; } };
};

const DAY = 24 * 3600 * 1000;

/** Starts a server with an admin socket, at the path where the command line looks for it. */
const commanded = async (t: Test, init: DomainServerInit = {}, { store = memoryStore(), clock = systemClock, keys }: { store?: Store; clock?: Clock; keys?: KeyKeeper } = {}): Promise<{ context: Context; url: string; server: DomainServer; folder: string }> => {
  const folder = mkdtempSync(join(tmpdir(), 'pf-'));
  t.teardown(() => { rmSync(folder, { recursive: true, force: true }); });
  const env = { PROTOFLY_HOME: folder };
  const { socket } = domainPlaces('a.example', env);
  mkdirSync(dirname(socket), { recursive: true });
  const server = new DomainServer({ store, clock, ...(keys === undefined ? {} : { publisherKeys: keys }) }, { name: 'a.example', adminSocket: socket, ...init });
  const url = await server.start();
  t.teardown(() => server.close());
  const around = { env, stdin: process.stdin, stdout: process.stdout, stderr: process.stderr, on: () => undefined, exit: () => { throw new Error('interrupted'); } };
  return { context: createContext({ profile: 'default', json: true, 'no-input': true, verbose: false }, around), url, server, folder };
};

void t.test('CAT-3 every descriptor and every code is signed by the key that the domain shows', async (t) => {
  const { url, server } = await startServer(t, { catalogueDir: stubFolder(temporaryFolder(t)) });
  await server.catalogue.publish({ descriptor: { ...STUB, signature: 'forged' }, source: { ...codeOf('1'), signature: 'forged' } });
  const { keys } = await keysOf(t, url);
  t.equal(keys.length, 1);
  const paths: string[] = [];
  for (const type of ['hyperty', 'protocolstub', 'runtime', 'dataschema', 'idp-proxy']) {
    for (const name of (await json(`${url}/.well-known/${type}`)) as string[]) paths.push(`${type}/${name}`);
  }
  t.same(paths, ['protocolstub/chat-stub', 'protocolstub/default', 'protocolstub/msg-node-rest', 'protocolstub/msg-node-websocket', 'runtime/default', 'dataschema/Connection']);
  for (const path of paths) {
    const { value, keyId } = await checkDescriptor(await json(`${url}/.well-known/${path}`), keys, path);
    t.equal(keyId, keys[0]?.kid, path);
    if (path === 'runtime/default') continue;
    const { descriptor, code } = await fetched(url, path, keys);
    t.equal(descriptor.sourceHash, contentHash(code), path);
    t.equal(value.sourcePackageURL, `hyperty-catalogue://catalogue.a.example/.well-known/${path}/sourcePackage/${contentHash(code)}`);
    await checkSource(await json(`${url}/.well-known/${path}/sourcePackage`), descriptor, keys, path);
  }
  t.same((await fetched(url, 'protocolstub/chat-stub', keys)).descriptor.constraints, STUB.constraints, 'whatever the constraints say');
});

void t.test('CAT-4 code at a content address never changes; the plain address and descriptors are asked for again', async (t) => {
  const { url, server } = await startServer(t);
  const hashes: string[] = [];
  const { keys } = await keysOf(t, url);
  for (let n = 1; n <= 7; n += 1) {
    const { hash = '', version } = await server.catalogue.publish({ descriptor: STUB, source: codeOf(`code ${String(n)}`) });
    t.equal(version, String(n), 'a version that isn\'t said goes up');
    hashes.push(hash);
    t.equal((await fetched(url, 'protocolstub/chat-stub', keys)).code, `code ${String(n)}`);
  }
  const base = `${url}/.well-known/protocolstub/chat-stub`;
  const statuses = await Promise.all(hashes.map(async (hash) => (await fetch(`${base}/sourcePackage/${hash}`)).status));
  t.same(statuses, [404, 404, 200, 200, 200, 200, 200], 'four versions before this one are kept');
  t.match(await json(`${base}/sourcePackage/${hashes[3] ?? ''}`), { sourceCode: 'code 4' });
  await server.catalogue.publish({ descriptor: STUB, source: codeOf('code 4') });
  t.match(await json(`${base}/sourcePackage`), { sourceCode: 'code 4' }, 'an earlier one may come back');
  t.match(await json(`${base}/sourcePackage/${hashes[6] ?? ''}`), { sourceCode: 'code 7' });
  for (const [path, cache] of [['', 'no-cache'], ['/sourcePackage', 'no-cache'], [`/sourcePackage/${hashes[3] ?? ''}`, 'public, max-age=31536000, immutable']] as const) {
    const first = await fetch(base + path);
    t.equal(first.headers.get('cache-control'), cache, path);
    const etag = first.headers.get('etag') ?? '';
    const again = await fetch(base + path, { headers: { 'if-none-match': etag } });
    t.same([again.status, again.headers.get('cache-control'), await again.text()], [304, cache, ''], path);
  }
  for (const path of [`/sourcePackage/${contentHash('other')}`, '/sourcePackage/x', `/sourcePackage/${hashes[3] ?? ''}/x`, '/sourcePackage/%2e%2e%2f', `/${hashes[3] ?? ''}`]) {
    const response = await fetch(base + path);
    t.match([response.status, response.headers.get('cache-control')], [404, null], path);
  }
  t.equal((await fetch(`${url}/.well-known/protocolstub/other/sourcePackage/${hashes[3] ?? ''}`)).status, 404, 'a hash counts under its own name alone');
});

void t.test('the domain\'s own stub is that of its first protocol, with the server\'s own address', async (t) => {
  const catalogueDir = stubFolder(temporaryFolder(t));
  const { url, server } = await startServer(t, { catalogueDir, protocols: ['rest', 'websocket'] });
  const { keys } = await keysOf(t, url);
  const { port, host } = new URL(url);
  const first = await fetched(url, 'protocolstub/default', keys);
  t.match(first, { code: /msg-node-rest/, descriptor: { objectName: 'default', configuration: { known: 1, url: `http://${host}/rest` } } });
  const other = await fetched(`http://localhost:${port}`, 'protocolstub/default', keys);
  t.equal(other.descriptor.configuration['url'], `http://${host}/rest`, 'not the one by which the asker came');
  t.equal(other.codePath, first.codePath);
  await server.catalogue.publish({ descriptor: { ...STUB, objectName: 'default', configuration: { url: 'tcp://a.example:7' } }, source: codeOf('mine') });
  const published = await fetched(url, 'protocolstub/default', keys);
  t.match(published, { code: 'mine', descriptor: { configuration: { url: 'tcp://a.example:7' } } }, 'a published default goes before');
  t.match(await json(url + first.codePath), { sourceCode: /msg-node-rest/ }, 'what was the default before stays at its content address');
  t.match(await json(`${url}/.well-known/protocolstub/msg-node-rest`), { objectName: 'msg-node-rest', configuration: { known: 1 } });
});

void t.test('a protocol that isn\'t offered is neither served nor told of', async (t) => {
  const upgrade = async (url: string): Promise<string> => {
    const { hostname, port } = new URL(url);
    const socket = connect(Number(port), hostname);
    socket.write('GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
    const [line] = String(await new Promise((resolve) => { socket.once('data', resolve); })).split('\r\n');
    socket.destroy();
    return line ?? '';
  };
  const rest = await startServer(t, { protocols: ['rest'] });
  const { host } = new URL(rest.url);
  t.same(parseDomainInfo(await json(`${rest.url}/.well-known/protofly`)).messageNode, { rest: `http://${host}/rest` });
  t.match(await upgrade(rest.url), / 404 /);
  t.equal((await fetch(`${rest.url}/ws`)).status, 404);
  const websocket = await startServer(t, { protocols: ['websocket'] });
  t.same(Object.keys(parseDomainInfo(await json(`${websocket.url}/.well-known/protofly`)).messageNode), ['websocket']);
  t.match(await upgrade(websocket.url), / 101 /);
  const make = (protocols: readonly string[]): DomainServer => new DomainServer({ store: memoryStore(), clock: systemClock }, { protocols } as DomainServerInit);
  for (const bad of [[], ['rest', 'rest'], ['carrier-pigeon'], ['toString']]) t.throws(() => make(bad), { code: 'E_USAGE' }, bad.join());
  t.same(parseProtocols('rest, websocket'), ['rest', 'websocket']);
  for (const bad of ['', 'rest,', 'rest,rest', 'REST', 'toString']) t.throws(() => parseProtocols(bad), { code: 'E_USAGE' }, bad);
});

void t.test('CAT-5 the key stays over a restart, in the store or in a file that its owner alone can read', async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'deeper', 'publisher-key.json');
  const start = async (keys?: KeyKeeper, store: Store = memoryStore()): Promise<string> => {
    const server = new DomainServer({ store, clock: systemClock, ...(keys === undefined ? {} : { publisherKeys: keys }) }, { name: 'a.example' });
    t.teardown(() => server.close());
    const { keys: [key] } = await keysOf(t, await server.start());
    await server.close();
    return key?.kid ?? '';
  };
  const first = await start(fileKeeper(path));
  t.equal(await start(fileKeeper(path)), first);
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.same(readdirSync(dirname(path)), ['publisher-key.json'], 'nothing is left beside it');
  const store = memoryStore();
  const stored = await start(undefined, store);
  t.not(stored, first);
  t.equal(await start(undefined, store), stored);
  t.not(await start(), stored);
});

void t.test('a key that can\'t be used stops the server, and is left as it is', async (t) => {
  const folder = temporaryFolder(t);
  const path = join(folder, 'publisher-key.json');
  const start = async (name = 'a.example'): Promise<DomainServer> => {
    const server = new DomainServer({ store: memoryStore(), clock: systemClock, publisherKeys: fileKeeper(path) }, { name });
    await server.start();
    t.teardown(() => server.close());
    return server;
  };
  await (await start()).publisher.rotate();
  const good = readFileSync(path, 'utf8');
  const { secret, keys } = JSON.parse(good) as { secret: string; keys: { key: PublicKey; endorsement?: string; until?: string }[] };
  const [current, before] = keys;
  const { secret: foreign } = await (async () => {
    const other = join(folder, 'other.json');
    const server = new DomainServer({ store: memoryStore(), clock: systemClock, publisherKeys: fileKeeper(other) });
    await server.start();
    await server.close();
    return JSON.parse(readFileSync(other, 'utf8')) as { secret: string };
  })();
  const text = (change: object): string => JSON.stringify({ domain: 'a.example', secret, keys, ...change });
  const bad: Record<string, string> = {
    empty: '', cut: good.slice(0, -20), 'not an object': '[]', 'no keys': text({ keys: [] }), 'no secret': text({ secret: undefined }),
    'a secret of another key': text({ secret: foreign }), 'a secret that is none': text({ secret: 'x' }),
    'a kid that isn\'t the key\'s': text({ keys: [{ ...current, key: { ...current?.key, kid: before?.key.kid } }, before] }),
    'a key that wasn\'t endorsed': text({ keys: [{ ...current, endorsement: undefined }, before] }),
    'a time that is none': text({ keys: [current, { ...before, until: 'soon' }] }),
    'a current key with an end': text({ keys: [before] }),
  };
  for (const [what, damaged] of Object.entries(bad)) {
    writeFileSync(path, damaged);
    const error = await start().then(() => undefined, (thrown: unknown) => thrown as ProtoflyError);
    t.match(error, { code: 'E_STORE', hint: /backup/ }, what);
    t.ok(error?.message.includes(path) && !error.message.includes(secret), `${what}: the file is named, not what is in it`);
    t.equal(readFileSync(path, 'utf8'), damaged, what);
  }
  writeFileSync(path, good);
  await t.rejects(start('b.example'), { code: 'E_STORE', message: /a\.example/ }, 'the key of another domain');
  t.equal((await start()).publisher.keyId, current?.key.kid, 'put back, it goes on');
  rmSync(path);
  mkdirSync(path);
  await t.rejects(start(), { code: 'E_PLATFORM' }, 'a folder');
  rmSync(path, { recursive: true });
  symlinkSync(join(folder, 'away'), path);
  await t.rejects(start(), { code: 'E_PLATFORM' }, 'a link to what isn\'t there');
  const closed = join(folder, 'closed');
  mkdirSync(closed, { mode: 0o500 });
  if (process.getuid?.() === 0) return;
  const server = new DomainServer({ store: memoryStore(), clock: systemClock, publisherKeys: fileKeeper(join(closed, 'key')) });
  await t.rejects(server.start(), { code: 'E_PLATFORM' }, 'a folder that can\'t be written');
  chmodSync(closed, 0o700);
});

void t.test('CAT-6 a new key takes over, endorsed by the one before, which counts for the overlap', async (t) => {
  const { clock, ahead } = aheadClock();
  const store = memoryStore();
  const path = join(temporaryFolder(t), 'key.json');
  const { context, url, server } = await commanded(t, { catalogueDir: stubFolder(temporaryFolder(t)) }, { clock, store, keys: fileKeeper(path) });
  const old = await keysOf(t, url);
  const before = await fetched(url, 'protocolstub/default', old.keys);
  const rotated = await rotateKey(context, undefined, '30d', 5000);
  t.match(rotated, { domain: 'a.example', previousKeyId: old.keys[0]?.kid });
  const now = await keysOf(t, url);
  t.same(now.keys.map(({ kid }) => kid), [rotated.keyId, rotated.previousKeyId]);
  t.equal(await isEndorsed(now.endorsements[0] ?? '', 'a.example', now.keys[0]!, old.keys), true);
  t.equal(await isEndorsed(now.endorsements[0] ?? '', 'b.example', now.keys[0]!, old.keys), false);
  t.equal((await domainStatus(context, 'a.example')).publisherKey, rotated.keyId);
  const after = await fetched(url, 'protocolstub/default', now.keys.slice(0, 1));
  t.equal(after.keyId, rotated.keyId, 'all is signed anew, descriptor and code');
  t.same({ ...after.descriptor, signature: '' }, { ...before.descriptor, signature: '' });
  t.equal((await checkDescriptor(before.descriptor, now.keys, 'the one from before')).keyId, rotated.previousKeyId);
  t.notOk(readFileSync(path, 'utf8').includes('"d"'));
  ahead(29 * DAY);
  t.equal((await keysOf(t, url)).keys.length, 2);
  ahead(2 * DAY);
  t.same((await keysOf(t, url)).keys.map(({ kid }) => kid), [rotated.keyId], 'the one before has ceased to count');

  await Promise.all(Array.from({ length: 9 }, () => rotateKey(context, 'a.example', '90d', 5000)));
  const many = await keysOf(t, url);
  t.equal(many.keys.length, 8, 'eight at most');
  for (const [n, key] of many.keys.entries()) {
    const next = many.keys[n + 1];
    if (next !== undefined) t.equal(await isEndorsed(many.endorsements[n] ?? '', 'a.example', key, [next]), true, `${String(n)} is endorsed by the one before`);
  }
  await rotateKey(context, undefined, '1d', 5000);
  ahead(1.5 * DAY);
  t.equal((await keysOf(t, url)).keys.length, 1, 'no key outlives the one after it');
  await rotateKey(context, undefined, '0', 5000);
  const last = await keysOf(t, url);
  t.equal(last.keys.length, 1, 'without an overlap the one before is gone at once');
  await server.close();
  const again = new DomainServer({ store, clock, publisherKeys: fileKeeper(path) }, { name: 'a.example' });
  t.teardown(() => again.close());
  t.same(await keysOf(t, await again.start()), last, 'after a restart it is so too');
  t.equal(statSync(path).mode & 0o777, 0o600);
  for (const overlap of ['', 'x', '-1d', '30dd', '99999d']) t.throws(() => parseDays(overlap), { code: 'E_USAGE' }, overlap);
  t.same(['30d', '0', '90s'].map(parseDays), [30 * DAY, 0, 90_000]);
});

void t.test('a rotation whose key can\'t be kept leaves the one before', async (t) => {
  let text: string | undefined;
  let full = false;
  const keys: KeyKeeper = {
    where: 'a disk',
    read: () => Promise.resolve(text),
    write: (written) => {
      if (full) return Promise.reject(new ProtoflyError('E_PLATFORM', 'the disk is full'));
      text = written;
      return Promise.resolve();
    },
  };
  const { context, url } = await commanded(t, {}, { keys });
  const before = await keysOf(t, url);
  full = true;
  await t.rejects(rotateKey(context, undefined, '30d', 5000), { code: 'E_PLATFORM', message: 'the disk is full' });
  t.same(await keysOf(t, url), before);
  full = false;
  await rotateKey(context, undefined, '30d', 5000);
  t.equal((await keysOf(t, url)).keys.length, 2);
});

void t.test('a server that is closed while it still reads its key never serves', async (t) => {
  let give: () => void = () => undefined;
  const slow: KeyKeeper = { where: 'far away', read: () => new Promise((resolve) => { give = () => { resolve(undefined); }; }), write: () => Promise.resolve() };
  const folder = temporaryFolder(t);
  const server = new DomainServer({ store: memoryStore(), clock: systemClock, publisherKeys: slow }, { adminSocket: join(folder, 's') });
  const started = server.start();
  const asked = await Client.connect(join(folder, 's'));
  await t.rejects(asked.client.ask('domain://msg-node.localhost/admin' as Address, 'create', { resource: 'catalogue', value: {} }), { code: 'E_UNAVAILABLE' }, 'and says so as long as it starts');
  const closed = server.close();
  give();
  await t.rejects(started, { code: 'E_ABORTED' });
  await closed;
  await asked.client.closed;
  t.same(readdirSync(folder), []);
  t.equal(server.url, undefined);
});

void t.test('catalogue publish: the code is beside the descriptor, in it, or given; the same again is fine; it survives a restart', async (t) => {
  const path = temporaryFolder(t);
  const open = (): Store => openLmdbStore({ path: join(path, 'db') });
  let store = open();
  const first = await commanded(t, {}, { store });
  const file = (name: string, content: unknown): string => {
    const at = join(path, name);
    writeFileSync(at, Buffer.isBuffer(content) || typeof content === 'string' ? content : JSON.stringify(content));
    return at;
  };
  const run = (name: string, source?: string): Promise<Publication> => publish(first.context, { file: name, source, timeoutMs: 5000 });
  const { keys } = await keysOf(t, first.url);
  const code = file('code.js', 'export default "ü";');
  const hash = contentHash('export default "ü";');
  const expected = { domain: 'a.example', type: 'protocolstub', name: 'chat-stub', version: '1', cguid: hash, hash, keyId: keys[0]?.kid };
  t.same(await run(file('a.json', { ...STUB, sourcePackageURL: './code.js' })), expected);
  t.same(await run(file('a.json', { ...STUB, sourcePackageURL: 'code.js' })), expected, 'the same again');
  t.same(await run(file('b.json', STUB), code), expected);
  t.same(await run(file('c.json', { ...STUB, sourcePackage: { sourceCodeClassname: 'chat-stub', sourceCode: 'export default "ü";' } })), expected);
  t.match(await run(file('d.json', { ...STUB, constraints: {} }), code), { version: '2', hash }, 'another descriptor is another version');
  t.match(await run(file('e.json', { ...STUB, version: '2.9-beta', cguid: 'mine' }), code), { version: '2.9-beta', cguid: 'mine' });
  t.match(await run(file('f.json', STUB), code), { version: '2.10-beta' });
  const bytes = Buffer.from([0, 0xff, 0xfe, 0x80]);
  t.match(await run(file('g.json', { ...STUB, type: 'hyperty', objectName: 'Bytes' }), file('bytes', bytes)), { hash: contentHash(bytes) });
  t.match(await run(file('h.json', { type: 'hyperty', objectName: 'Elsewhere', sourcePackageURL: 'https://b.example/code', sourceHash: contentHash('x') })), { version: '1', hash: contentHash('x') });
  const { type: _, ...codeless } = await run(file('i.json', { type: 'runtime', objectName: 'default', p2pHandlerStub: 'x' }));
  t.match(codeless, { name: 'default', version: '2', cguid: /^sha256-/, hash: undefined }, 'after the built-in one');
  const large = 'x'.repeat(MAX_SOURCE);
  t.match(await run(file('j.json', { ...STUB, objectName: 'large' }), file('large.js', large)), { hash: contentHash(large) });
  t.match(await fetched(first.url, 'protocolstub/chat-stub', keys), { descriptor: { version: '2.10-beta' }, code: 'export default "ü";' });
  t.match(await checkDescriptor(await json(`${first.url}/.well-known/hyperty/Elsewhere`), keys, 'it'), { value: { sourcePackageURL: 'https://b.example/code', sourceHash: contentHash('x') } });
  t.match(await json(`${first.url}/.well-known/hyperty/Bytes/sourcePackage`), { encoding: 'base64', sourceCode: bytes.toString('base64') });

  await first.server.close();
  await store.close();
  store = open();
  t.teardown(() => store.close());
  const second = await startServer(t, {}, store);
  t.same((await keysOf(t, second.url)).keys, keys);
  t.match(await fetched(second.url, 'protocolstub/chat-stub', keys), { descriptor: { version: '2.10-beta' }, code: 'export default "ü";' });
  t.equal((await fetched(second.url, 'protocolstub/large', keys)).code.length, MAX_SOURCE);
  t.same(await json(`${second.url}/.well-known/hyperty`), ['Bytes', 'Elsewhere']);
});

void t.test('catalogue publish says what is wrong, and publishes nothing of it', async (t) => {
  const path = temporaryFolder(t);
  const { context, url } = await commanded(t, { catalogueDir: temporaryFolder(t) });
  const file = (content: unknown, name = 'x.json'): string => {
    writeFileSync(join(path, name), typeof content === 'string' ? content : JSON.stringify(content));
    return join(path, name);
  };
  const refused = async (exit: number, message: RegExp, content: unknown, source?: string): Promise<void> => {
    const error = await publish(context, { file: file(content), source, timeoutMs: 5000 }).then(() => undefined, (thrown: unknown) => thrown as ProtoflyError);
    t.match(error?.message, message);
    t.equal(error === undefined ? 0 : EXIT_OF[error.code], exit, String(message));
  };
  const inline = (sourceCode: unknown): object => ({ ...STUB, sourcePackage: { sourceCodeClassname: 'x', sourceCode } });
  const code = file('code', 'code.js');
  await refused(6, /isn't JSON/, '{');
  await refused(6, /isn't an object/, '[]');
  await refused(6, /type/, { ...STUB, type: 'screensaver' });
  await refused(6, /objectName/, { ...STUB, objectName: '../x' });
  await refused(6, /objectName/, { type: 'hyperty' });
  await refused(6, /code is missing/, STUB);
  await refused(6, /code is missing/, { ...STUB, type: 'hyperty', sourceHash: contentHash('x') });
  await refused(6, /sourceCode/, inline(5));
  await refused(6, /sourceHash/, { ...inline('x'), sourceHash: contentHash('y') });
  await refused(6, /leads out of its folder/, { ...STUB, sourcePackageURL: '../../etc/passwd' });
  await refused(6, /leads out of its folder/, { ...STUB, sourcePackageURL: 'a/../../x' });
  await refused(6, /leads out of its folder/, { ...STUB, sourcePackageURL: '/etc/passwd' });
  await refused(6, /at most 4194304/, inline('x'.repeat(MAX_SOURCE + 1)));
  await refused(6, /at most 24576/, { ...inline('x'), messageSchemas: 'x'.repeat(25_000) });
  await refused(6, /more than a catalogue takes/, STUB, file('x'.repeat(17 * 1024 * 1024), 'huge.js'));
  await refused(3, /there is no file/, { ...STUB, sourcePackageURL: 'absent.js' });
  await refused(3, /there is no file/, STUB, join(path, 'absent.js'));
  await refused(2, /not a file/, STUB, path);
  await refused(2, /leave out --source/, inline('x'), code);
  await t.rejects(publish(context, { file: join(path, 'absent.json'), timeoutMs: 5000 }), { code: 'E_NOT_FOUND' });
  await t.rejects(publish(context, { file: file(inline('x')), domain: 'b.example', timeoutMs: 5000 }), { code: 'E_NOT_RUNNING' });
  t.same([await json(`${url}/.well-known/protocolstub`), await json(`${url}/.well-known/hyperty`)], [[], []]);
  await publish(context, { file: file(inline('x')), timeoutMs: 5000 });
  t.same(await json(`${url}/.well-known/protocolstub`), ['chat-stub'], 'the socket is as good as before');
});

void t.test('a program can serve clients over a protocol of its own: JSON lines over TCP', async (t) => {
  const { server } = await startServer(t);
  const tcp = createServer((socket) => {
    server.serve(streamLink({ readable: socket, writable: socket }, messageCodec), () => socket.bytesWritten - socket.writableLength);
  });
  await new Promise<void>((resolve) => { tcp.listen(0, '127.0.0.1', resolve); });
  t.teardown(() => { tcp.close(); });
  const dial = async (runtime: string): Promise<{ say: (message: object) => void; next: () => Promise<Record<string, unknown>>; end: Promise<unknown> }> => {
    const socket = connect((tcp.address() as AddressInfo).port, '127.0.0.1');
    t.teardown(() => { socket.destroy(); });
    const end = new Promise((resolve) => { socket.once('close', resolve).once('error', resolve); });
    const lines = socket.pipe(new PassThrough()).setEncoding('utf8');
    let text = '';
    const next = async (): Promise<Record<string, unknown>> => {
      for (;;) {
        const at = text.indexOf('\n');
        if (at >= 0) {
          const line = text.slice(0, at);
          text = text.slice(at + 1);
          return JSON.parse(line) as Record<string, unknown>;
        }
        const chunk = lines.read() as string | null;
        if (chunk === null) await new Promise((resolve) => { lines.once('readable', resolve); });
        else text += chunk;
      }
    };
    const say = (message: object): void => { socket.write(`${JSON.stringify({ from: runtime, ...message })}\n`); };
    say({ id: 1, type: 'open', to: 'mn:/session' });
    t.match(await next(), { id: 1, body: { code: 200, runtimeToken: /./ } });
    return { say, next, end };
  };
  const a = await dial('hyperty-runtime://a.example/ra');
  const b = await dial('hyperty-runtime://a.example/rb');
  a.say({ id: 2, type: 'create', to: 'hyperty-runtime://a.example/rb/ua', body: { value: 'hello' } });
  t.match(await b.next(), { id: 2, from: 'hyperty-runtime://a.example/ra', body: { value: 'hello' } });
  a.say({ id: 3, type: 'create', from: 'hyperty-runtime://a.example/rb', to: 'hyperty-runtime://a.example/rb' });
  t.match(await a.next(), { id: 3, body: { code: 403 } }, 'nobody speaks for another');
  t.match(server.status(), { connections: 2, sessions: 2 });
  await server.close();
  await Promise.all([a.end, b.end]);
  const late = connect((tcp.address() as AddressInfo).port, '127.0.0.1');
  await new Promise((resolve) => { late.once('close', resolve).resume().on('error', () => undefined); });
  t.pass('a closed server closes what it is given');
});

void t.test('what is signed for one thing counts for nothing else', async (t) => {
  const { url } = await startServer(t, { catalogueDir: stubFolder(temporaryFolder(t)) });
  const { keys } = await keysOf(t, url);
  const { descriptor } = await fetched(url, 'protocolstub/default', keys);
  await t.rejects(verify(descriptor.signature, 'protofly-source', keys, 'it'), { code: 'E_SIGNATURE' });
  await t.rejects(checkDescriptor({ ...descriptor, configuration: { url: 'ws://elsewhere/ws' } }, keys, 'it'), { code: 'E_SIGNATURE' });
  await t.rejects(checkDescriptor({ ...descriptor, constraints: { tcp: true } }, keys, 'it'), { code: 'E_SIGNATURE' });
});
