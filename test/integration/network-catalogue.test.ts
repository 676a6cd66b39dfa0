import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { DomainServer } from '../../src/domain-server/index.js';
import { catalogueAddress, systemClock, type Address } from '../../src/protocol/index.js';
import type { DomainInfo } from '../../src/protocol/descriptor.js';
import { makeCatalogue, type CheckedCatalogue } from '../../src/runtime/stubs/loader/index.js';
import { PackageCache } from '../../src/runtime/stubs/loader/package-cache.js';
import { PublicWeb } from '../../src/link/web/index.js';
import { Publishers, type KeptPublisher, type StubPolicy } from '../../src/runtime/stubs/policy/index.js';
import { Domains } from '../../src/runtime/directory/domains.js';
import { generatePublisherKey, publicHalf } from '../../src/security/index.js';
import { memoryStore, type Store } from '../../src/store/index.js';
import { openLmdbStore } from '../../src/store/lmdb/index.js';
import { temporaryFolder } from '../support/domain-server.js';
import { ManualClock } from '../support/manual-clock.js';
import { DOMAIN, infoOf, openShop, signedPackage, stubAddress, type Shop } from '../support/packages.js';
import { until } from '../support/until.js';

interface Party {
  readonly catalogue: CheckedCatalogue;
  readonly publishers: Publishers;
  readonly log: readonly string[];
  /** Addresses reported as changed behind the cache. */
  readonly news: readonly Address[];
  readonly store: Store;
}

interface PartyInit {
  readonly policy?: StubPolicy;
  readonly store?: Store;
  readonly ownDomain?: string;
}

const DEFAULT = stubAddress();
const PACKAGE = 'protocolstub/default';

/** The catalogue parts of a runtime, for domains at the given URLs; closed after the test. */
const partyAt = (t: Test, urls: Readonly<Record<string, string>>, { policy = {}, store = memoryStore(), ownDomain = 'own.example' }: PartyInit = {}): Party => {
  const entries: string[] = [];
  const news: Address[] = [];
  const log = (level: string, text: string): void => { entries.push(`${level} ${text}`); };
  const domains = new Domains({ known: store.collection<DomainInfo>('domains'), fetch, web: new PublicWeb(), log: () => undefined }, { urls });
  const publishers = new Publishers({ kept: store.collection<KeptPublisher>('publishers'), domains, clock: systemClock, log });
  const catalogue = makeCatalogue({ store, clock: systemClock, log, domains, publishers, ownDomain }, policy);
  catalogue.onNews((origin) => { news.push(origin); });
  t.teardown(() => catalogue.close());
  return { catalogue, publishers, log: entries, news, store };
};

const partyOf = (t: Test, shop: Shop, init?: PartyInit): Party => partyAt(t, { [DOMAIN]: shop.url }, init);
const isCached = ({ store }: Party): boolean => store.collection('packages').count() > 0 || store.collection('package-sources').count() > 0;
const count = ({ asked }: Shop, path: string): number => asked.filter((one) => one === path).length;

t.test('a package is fetched once, checked, and serves without the network after a restart', async (t) => {
  const shop = await openShop(t);
  const made = await signedPackage(shop.key, { source: 'export default "one";' });
  shop.offer(made);
  const path = temporaryFolder(t);
  const first = openLmdbStore({ path });
  const party = partyOf(t, shop, { store: first });
  t.match(await party.catalogue.find(DEFAULT), { source: 'export default "one";', hash: made.hash, from: 'catalogue', keyId: shop.key.kid, descriptor: { version: '1' } });
  await party.catalogue.close();
  await first.close();
  await shop.shut();
  const second = openLmdbStore({ path });
  t.teardown(() => second.close());
  const later = partyOf(t, shop, { store: second });
  t.match(await later.catalogue.find(DEFAULT), { source: 'export default "one";', from: 'cache', keyId: shop.key.kid });
  t.match(await later.catalogue.describe(DEFAULT), { version: '1' });
  await t.rejects(later.catalogue.find(stubAddress('other')), { code: 'E_UNREACHABLE', message: /protocolstub\/other/ });
  await later.catalogue.close();
  t.notOk(later.log.some((entry) => entry.startsWith('warn')), later.log.join('\n'));
});

t.test('what is cached serves at once, and is looked behind: the next deployment takes what is newer', async (t) => {
  const shop = await openShop(t);
  shop.offer(await signedPackage(shop.key, { source: '1' }));
  const { catalogue, log, news } = partyOf(t, shop);
  await catalogue.find(DEFAULT);
  shop.offer(await signedPackage(shop.key, { source: '2', version: '2' }));
  t.match(await catalogue.find(DEFAULT), { from: 'cache', source: '1' });
  await until('the condition holds', () => news.length === 1);
  t.ok(log.some((entry) => entry.includes('new version: 2')));
  t.match(await catalogue.find(DEFAULT), { from: 'cache', source: '2', descriptor: { version: '2' } });
  t.equal(shop.asked.filter((path) => path.includes('sourcePackage')).length, 2, 'code that hasn\'t changed isn\'t fetched again');
});

t.test('an unchanged descriptor isn\'t sent again', async (t) => {
  const shop = await openShop(t);
  shop.offer(await signedPackage(shop.key));
  const party = partyOf(t, shop);
  await party.catalogue.find(DEFAULT);
  let tag: string | undefined;
  shop.answer = (path, request) => {
    if (path === PACKAGE) tag = request.headers['if-none-match'];
    return false;
  };
  await party.catalogue.find(DEFAULT);
  await until('the condition holds', () => tag !== undefined);
  await party.catalogue.close();
  t.match(tag, /^"sha256-/);
  t.notOk(party.log.some((entry) => entry.startsWith('warn')), party.log.join('\n'));
});

t.test('what was tampered with on its way is refused, and neither kept nor handed on', async (t) => {
  const shop = await openShop(t);
  const { descriptor, source, hash } = await signedPackage(shop.key, { source: 'good' });
  const party = partyOf(t, shop);
  const refused = async (what: string): Promise<void> => {
    await t.rejects(party.catalogue.find(DEFAULT), { code: 'E_SIGNATURE', message: new RegExp(`${DEFAULT.replaceAll('.', '\\.')}.*${shop.key.kid}`) }, what);
    t.notOk(isCached(party), 'nothing is kept');
  };
  shop.offer({ descriptor: { ...descriptor, constraints: { websocket: true, webrtc: true } }, source, hash });
  await refused('a descriptor');
  shop.offer({ descriptor, source: { ...source, sourceCode: 'evil' }, hash });
  await refused('code');
  const other = await signedPackage(shop.key, { source: 'older' });
  shop.offer({ descriptor, source: other.source, hash });
  await refused('other code of the same publisher');
  shop.offer({ descriptor, source, hash });
  t.match(await party.catalogue.find(DEFAULT), { source: 'good' });
});

t.test('one byte that is changed in the cache is found: the copy is dropped, and fetched anew where that can be', async (t) => {
  const shop = await openShop(t);
  shop.offer(await signedPackage(shop.key, { source: 'export default "a stub";' }));
  const party = partyOf(t, shop);
  const packages = party.store.collection<{ descriptor: Record<string, unknown> }>('packages');
  const sources = party.store.collection<string>('package-sources');
  const flipped = (text: string): string => `${text.slice(0, 5)}${String.fromCharCode(text.charCodeAt(5) ^ 1)}${text.slice(6)}`;
  const damages: Record<string, () => Promise<void>> = {
    'code': async () => { for (const [key, code] of sources.entries()) await sources.put(key, flipped(code)); },
    'what the stub is granted': async () => { const kept = packages.get(DEFAULT)!; await packages.put(DEFAULT, { ...kept, descriptor: { ...kept.descriptor, constraints: { tcp: true } } }); },
    'version': async () => { const kept = packages.get(DEFAULT)!; await packages.put(DEFAULT, { ...kept, descriptor: { ...kept.descriptor, version: '0' } }); },
    'signature': async () => { const kept = packages.get(DEFAULT)!; await packages.put(DEFAULT, { ...kept, descriptor: { ...kept.descriptor, signature: flipped(kept.descriptor['signature'] as string) } }); },
    'shape': async () => { await packages.put(DEFAULT, { descriptor: { type: 'what?' } }); },
  };
  for (const [what, damage] of Object.entries(damages)) {
    await party.catalogue.find(DEFAULT);
    await until('the condition holds', () => party.store.collection('packages').count() === 1);
    await damage();
    await shop.shut();
    await t.rejects(party.catalogue.find(DEFAULT), { code: 'E_SIGNATURE', message: /cached copy/ }, `${what}, without the network`);
    t.equal(packages.count(), 0, 'it is dropped');
    await shop.open();
    t.match(await party.catalogue.find(DEFAULT), { from: 'catalogue', source: 'export default "a stub";' });
    await damage();
    t.match(await party.catalogue.find(DEFAULT), { from: 'catalogue', source: 'export default "a stub";' }, `${what}, with the network`);
  }
});

t.test('what isn\'t signed, or by somebody else, is refused', async (t) => {
  const shop = await openShop(t);
  const stranger = await generatePublisherKey();
  const party = partyOf(t, shop);
  const { descriptor, source, hash } = await signedPackage(shop.key);
  shop.offer({ descriptor: { ...descriptor, signature: '' }, source, hash });
  await t.rejects(party.catalogue.find(DEFAULT), { code: 'E_UNSIGNED', message: /a\.example.*default/ });
  shop.offer({ descriptor, source: { ...source, signature: '' }, hash });
  await t.rejects(party.catalogue.find(DEFAULT), { code: 'E_UNSIGNED' });
  shop.offer(await signedPackage(stranger));
  await t.rejects(party.catalogue.find(DEFAULT), { code: 'E_PUBLISHER', message: new RegExp(stranger.kid) });
  shop.offer({ descriptor, source: (await signedPackage(stranger)).source, hash });
  await t.rejects(party.catalogue.find(DEFAULT), { code: 'E_PUBLISHER', message: new RegExp(stranger.kid) });
  shop.info = await infoOf([]);
  await t.rejects(party.catalogue.find(DEFAULT), { code: 'E_UNSIGNED' });
  t.notOk(isCached(party));
});

t.test('a domain whose key has changed is refused until a person says that it is right; what is cached serves on', async (t) => {
  const shop = await openShop(t);
  shop.offer(await signedPackage(shop.key, { source: 'old' }));
  const { catalogue, publishers, log } = partyOf(t, shop);
  await catalogue.find(DEFAULT);
  const stranger = await generatePublisherKey();
  shop.info = await infoOf([stranger]);
  shop.offer(await signedPackage(stranger, { source: 'new' }));
  shop.offer(await signedPackage(stranger, { name: 'second' }));
  const refusal = { code: 'E_PUBLISHER', message: new RegExp(`${stranger.kid}.*${shop.key.kid}`), hint: /trust add a\.example/ };
  await t.rejects(catalogue.find(stubAddress('second')), refusal);
  t.match(await catalogue.find(DEFAULT), { from: 'cache', source: 'old' });
  await until('the condition holds', () => log.some((entry) => entry.startsWith('warn') && entry.includes('serves on') && entry.includes(stranger.kid)));
  await t.rejects(catalogue.verify(DEFAULT), refusal);
  await publishers.add(DOMAIN, stranger.kid);
  await catalogue.find(stubAddress('second'));
  t.match(await catalogue.find(DEFAULT), { from: 'catalogue', source: 'new', keyId: stranger.kid });
});

t.test('a rotation that the earlier key endorses goes unnoticed; when the earlier key ends, so does what it signed', async (t) => {
  const shop = await openShop(t);
  shop.offer(await signedPackage(shop.key, { source: '1' }));
  const { catalogue, log } = partyOf(t, shop);
  await catalogue.find(DEFAULT);
  const next = await generatePublisherKey();
  shop.info = await infoOf([next, shop.key]);
  t.match(await catalogue.find(DEFAULT), { from: 'cache', source: '1', keyId: shop.key.kid });
  await until('the condition holds', () => log.some((entry) => entry.includes(`new key, endorsed by one that is believed: ${next.kid}`)));
  const [current] = shop.info.publisherKeys!;
  shop.info = { ...shop.info, publisherKeys: [current!] };
  shop.offer(await signedPackage(next, { source: '1' }));
  // A lookup in progress may not see the change; the first one that begins later does.
  for (let look = 0; look < 100 && !log.some((entry) => entry.includes('it is dropped') && entry.includes(shop.key.kid)); look += 1) await catalogue.find(DEFAULT);
  t.match(await catalogue.find(DEFAULT), { source: '1', keyId: next.kid });
});

t.test('what is too large is refused, and not read to its end', async (t) => {
  const shop = await openShop(t);
  const party = partyOf(t, shop);
  const large = await signedPackage(shop.key, { source: 'x'.repeat(1000), change: { description: 'y' } });
  for (const [what, path, prefix] of [['a descriptor', PACKAGE, '{"a":"'], ['code', `${PACKAGE}/sourcePackage/${large.hash}`, '{"sourceCode":"']] as const) {
    shop.offer(large);
    shop.answer = (asked, _request, response) => {
      if (asked !== path) return false;
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': String(1024 ** 3) }).write(prefix);
      return true;
    };
    await t.rejects(party.catalogue.find(DEFAULT), { code: 'E_PACKAGE_SIZE', message: /a\.example/ }, `${what} that says how large it is`);
    let sent = 0;
    let left: Promise<unknown> | undefined;
    shop.answer = (asked, _request, response) => {
      if (asked !== path) return false;
      response.writeHead(200, { 'content-type': 'application/json' }).write(prefix);
      left = once(response, 'close');
      const piece = 'z'.repeat(64 * 1024);
      const more = (): void => {
        if (response.closed) return;
        if (sent > 32 * 1024 * 1024) { response.end('"}'); return; }
        sent += piece.length;
        response.write(piece, (error) => { if (error === undefined || error === null) setImmediate(more); });
      };
      more();
      return true;
    };
    await t.rejects(party.catalogue.find(DEFAULT), { code: 'E_PACKAGE_SIZE' }, `${what} without an end`);
    await left;
    t.ok(sent < 32 * 1024 * 1024, `the transfer was ended after ${String(sent)} bytes`);
  }
  shop.answer = undefined;
  const { sourceCode } = { sourceCode: 'x'.repeat(4 * 1024 * 1024 + 1) };
  shop.files.set(`${PACKAGE}/sourcePackage/${large.hash}`, { ...large.source, sourceCode });
  await t.rejects(party.catalogue.find(DEFAULT), { code: 'E_PACKAGE_SIZE' }, 'code above the limit in a document below it');
  t.notOk(isCached(party));
});

t.test('what isn\'t what was asked for is refused', async (t) => {
  const shop = await openShop(t);
  const party = partyOf(t, shop);
  const offer = async (change: Parameters<typeof signedPackage>[1]): Promise<void> => {
    const made = await signedPackage(shop.key, change);
    shop.files.set(PACKAGE, made.descriptor);
    shop.files.set(`${PACKAGE}/sourcePackage/${made.hash}`, made.source);
  };
  await offer({ name: 'other' });
  await t.rejects(party.catalogue.find(DEFAULT), { code: 'E_PACKAGE_TYPE', message: /other/ }, 'another stub of the same publisher');
  await offer({ change: { type: 'hyperty' } });
  await t.rejects(party.catalogue.find(DEFAULT), { code: 'E_PACKAGE_TYPE' }, 'a hyperty');
  await offer({ change: { language: 'python' } });
  await t.rejects(party.catalogue.find(DEFAULT), { code: 'E_PACKAGE_TYPE', message: /python/ });
  await offer({ change: { sourcePackageURL: catalogueAddress('b.example', 'protocolstub', 'default') } });
  await t.rejects(party.catalogue.find(DEFAULT), { code: 'E_DESCRIPTOR', message: /b\.example/ }, 'code of another domain');
  await offer({ change: { sourcePackageURL: 'http://127.0.0.1:1/x' } });
  await t.rejects(party.catalogue.find(DEFAULT), { code: 'E_DESCRIPTOR' }, 'code from wherever');
  await offer({ change: { sourceHash: undefined } as never });
  await t.rejects(party.catalogue.find(DEFAULT), { code: 'E_DESCRIPTOR', message: /hash/ });
  await t.rejects(party.catalogue.find(catalogueAddress(DOMAIN, 'runtime', 'default')), { code: 'E_PACKAGE_TYPE' });
  await t.rejects(party.catalogue.find(catalogueAddress(DOMAIN, 'nonsense', 'default')), { code: 'E_NOT_FOUND' });
  await t.rejects(party.catalogue.find(catalogueAddress(DOMAIN, 'protocolstub', '../x')), { code: 'E_NOT_FOUND' });
  t.notOk(isCached(party));
});

t.test('answers that are no catalogue\'s are refused, and no redirection is followed', async (t) => {
  const shop = await openShop(t);
  const party = partyOf(t, shop);
  const answers: [string, number, Record<string, string>, string, string][] = [
    ['not there', 404, {}, '', 'E_NOT_FOUND'],
    ['not now', 503, {}, '', 'E_UNREACHABLE'],
    ['elsewhere', 302, { location: `${shop.url}/.well-known/secret` }, '', 'E_DESCRIPTOR'],
    ['a page', 200, { 'content-type': 'text/html' }, '{}', 'E_PACKAGE_TYPE'],
    ['no JSON', 200, { 'content-type': 'application/json' }, '{', 'E_DESCRIPTOR'],
    ['a list', 200, { 'content-type': 'application/json' }, '[]', 'E_DESCRIPTOR'],
    ['unchanged, unasked', 304, {}, '', 'E_DESCRIPTOR'],
  ];
  for (const [what, status, headers, body, code] of answers) {
    shop.answer = (path, _request, response) => {
      if (path !== PACKAGE) return false;
      response.writeHead(status, headers).end(body);
      return true;
    };
    await t.rejects(party.catalogue.find(DEFAULT), { code, message: /a\.example/ }, what);
  }
  t.equal(count(shop, 'secret'), 0);
  t.notOk(isCached(party));
});

t.test('many that ask at the same time make one request', async (t) => {
  const shop = await openShop(t);
  const { hash } = await signedPackage(shop.key);
  shop.offer(await signedPackage(shop.key));
  const { catalogue } = partyOf(t, shop);
  const found = await Promise.all(Array.from({ length: 20 }, () => catalogue.find(DEFAULT)));
  t.ok(found.every((one) => one.hash === hash));
  t.equal(count(shop, PACKAGE), 1);
  t.equal(count(shop, `${PACKAGE}/sourcePackage/${hash}`), 1);
});

t.test('the same code of two domains is kept once, each with its own signature', async (t) => {
  const [one, other] = await Promise.all([openShop(t), openShop(t)]);
  one.offer(await signedPackage(one.key, { source: 'same' }));
  other.offer(await signedPackage(other.key, { source: 'same', domain: 'b.example' }));
  other.info = await infoOf([other.key], { domain: 'b.example' });
  const { catalogue, store } = partyAt(t, { [DOMAIN]: one.url, 'b.example': other.url });
  const there = stubAddress('default', 'b.example');
  await catalogue.find(DEFAULT);
  await catalogue.find(there);
  t.equal(store.collection('package-sources').count(), 1);
  t.match(await catalogue.find(DEFAULT), { from: 'cache', keyId: one.key.kid });
  t.match(await catalogue.find(there), { from: 'cache', keyId: other.key.kid });
});

t.test('the packages that were not used for longest leave the cache, and their code with them', async (t) => {
  const key = await generatePublisherKey();
  const clock = new ManualClock();
  const store = memoryStore();
  const cache = new PackageCache({ store, clock }, { size: 3 });
  const put = async (name: string, source = name): Promise<void> => {
    clock.advance(1);
    const made = await signedPackage(key, { name, source });
    await cache.put(stubAddress(name), { descriptor: made.descriptor, keyId: key.kid }, { package: made.source, text: source });
  };
  for (const name of ['a', 'b', 'c']) await put(name);
  clock.advance(1);
  await cache.touch(stubAddress('a'));
  await put('d');
  const names = (): string[] => [...store.collection('packages').entries()].map(([name]) => name.split('/').at(-1)!);
  t.same(names(), ['a', 'c', 'd']);
  t.equal(store.collection('package-sources').count(), 3);
  await put('c', 'c, newer');
  t.equal(store.collection('package-sources').count(), 3, 'code that was replaced goes');
  await put('a', 'd');
  t.equal(store.collection('package-sources').count(), 2);
  await put('a', 'a, newer');
  t.equal(store.collection('package-sources').count(), 3, 'but not while another has the same');
});

t.test('the policy decides: publishers, capabilities, or only what comes with the installation', async (t) => {
  const shop = await openShop(t);
  shop.offer(await signedPackage(shop.key));
  const trusted = partyOf(t, shop, { policy: { allow: 'trusted' } });
  await t.rejects(trusted.catalogue.find(DEFAULT), { code: 'E_POLICY', message: new RegExp(shop.key.kid) });
  t.notOk(isCached(trusted));
  t.match(await trusted.catalogue.verify(DEFAULT), { allowed: false, refusal: { code: 'E_POLICY' }, trust: { how: 'first-use' }, capabilities: ['websocket'], version: '1', size: 26 });
  await trusted.publishers.add(DOMAIN);
  t.match(await trusted.catalogue.find(DEFAULT), { from: 'catalogue' });
  t.match(await trusted.catalogue.verify(DEFAULT), { allowed: true, trust: { how: 'added', byHand: true } });
  await trusted.publishers.remove(DOMAIN);
  await t.rejects(trusted.catalogue.find(DEFAULT), { code: 'E_POLICY' }, 'also what is cached');
  t.match(await partyOf(t, shop, { policy: { allow: 'trusted' }, ownDomain: DOMAIN }).catalogue.find(DEFAULT), { from: 'catalogue' }, 'the own domain');
  const narrow = partyOf(t, shop, { policy: { capabilities: ['webrtc'] } });
  await t.rejects(narrow.catalogue.find(DEFAULT), { code: 'E_POLICY', message: /websocket/ });
  const builtIn = partyOf(t, shop, { policy: { allow: 'built-in' } });
  t.match(await builtIn.catalogue.find(DEFAULT), { from: 'built-in', keyId: undefined, descriptor: { objectName: 'default', configuration: { url: 'ws://127.0.0.1:1/ws' } } });
  shop.info = { ...(await infoOf([shop.key])), messageNode: { 'carrier-pigeon': 'coo://x', '../x': 'y', 'rest': 'http://127.0.0.1:1/rest' } };
  t.match(await builtIn.catalogue.find(DEFAULT), { descriptor: { configuration: { url: 'http://127.0.0.1:1/rest' }, constraints: { http: true } } }, 'the first protocol that there is a stub for');
  t.match(await builtIn.catalogue.verify(DEFAULT), { allowed: false, refusal: { code: 'E_POLICY' } });
});

t.test('a catalogue that hangs holds nobody up who closes', async (t) => {
  const shop = await openShop(t);
  shop.offer(await signedPackage(shop.key));
  const { catalogue, log } = partyOf(t, shop);
  await catalogue.find(DEFAULT);
  shop.answer = () => true;
  t.match(await catalogue.find(DEFAULT), { from: 'cache' });
  const waiting = catalogue.find(stubAddress('other'));
  waiting.catch(() => undefined);
  await until('the condition holds', () => count(shop, 'protofly') >= 3);
  const closing = performance.now();
  await catalogue.close();
  t.ok(performance.now() - closing < 3000, 'nothing waits for a time-out');
  await t.rejects(waiting, { code: 'E_UNREACHABLE' });
  await catalogue.close();
  t.notOk(log.some((entry) => entry.startsWith('warn')), log.join('\n'));
});

t.test('a real domain server: its stubs, its rotation', async (t) => {
  const catalogueDir = fileURLToPath(new URL('../../dist/protostubs', import.meta.url));
  const server = new DomainServer({ store: memoryStore(), clock: systemClock }, { name: DOMAIN, catalogueDir });
  const url = await server.start();
  t.teardown(() => server.close());
  const { catalogue, publishers } = partyAt(t, { [DOMAIN]: url });
  const found = await catalogue.find(DEFAULT);
  t.match(found, { from: 'catalogue', descriptor: { objectName: 'default', configuration: { url: `${url.replace('http', 'ws')}/ws` } } });
  t.equal((await catalogue.describe(catalogueAddress(DOMAIN, 'runtime', 'default'))).p2pRequesterStub, stubAddress('p2p-requester'));
  t.match(await catalogue.find(stubAddress('p2p-requester')), { descriptor: { constraints: { webrtc: true } } });
  t.match(await catalogue.verify(DEFAULT), { allowed: true, hash: found.hash, size: Buffer.byteLength(found.source) });
  const before = publishers.list();
  t.equal(before.length, 1);
  await server.publisher.rotate();
  t.match(await catalogue.verify(DEFAULT), { allowed: true, trust: { how: 'endorsed' } });
  t.equal(publishers.list().length, 2);
  t.same(publishers.believed(DOMAIN).filter(({ kid }) => kid === before[0]?.keyId).length, 1);
  t.notOk(JSON.stringify(publishers.list()).includes(publicHalf(await generatePublisherKey()).x));
});
