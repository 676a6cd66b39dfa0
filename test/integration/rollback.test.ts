import t, { type Test } from 'tap';
import { Domains } from '../../src/runtime/directory/domains.js';
import { makeCatalogue, type CheckedCatalogue } from '../../src/runtime/stubs/loader/index.js';
import { Publishers, type KeptPublisher } from '../../src/runtime/stubs/policy/index.js';
import { systemClock, type Clock } from '../../src/protocol/index.js';
import type { DomainInfo } from '../../src/protocol/descriptor.js';
import { memoryStore, type Store } from '../../src/store/index.js';
import { startDomain } from '../support/nodes.js';
import { DOMAIN, openShop, signedPackage, stubAddress } from '../support/packages.js';

const DAY_MS = 24 * 3600 * 1000;

/** The catalogue parts of a runtime whose calendar is `aheadMs` ahead. */
const partyAt = (t: Test, domain: string, url: string, store: Store, aheadMs = 0): CheckedCatalogue => {
  const clock: Clock = { now: () => systemClock.now(), date: () => Date.now() + aheadMs, setTimeout: (run, ms) => systemClock.setTimeout(run, ms) };
  const log = (): void => undefined;
  const domains = new Domains({ known: store.collection<DomainInfo>('domains'), fetch, web: { fetch, check: () => undefined }, log }, { urls: { [domain]: url } });
  const publishers = new Publishers({ kept: store.collection<KeptPublisher>('publishers'), domains, clock, log });
  const catalogue = makeCatalogue({ store, clock, log, domains, publishers, ownDomain: domain }, {});
  t.teardown(() => catalogue.close());
  return catalogue;
};

const in30Days = (): string => new Date(Date.now() + 30 * DAY_MS).toISOString();
const uncached = (store: Store): Promise<unknown> => store.collection('packages').delete(stubAddress());

await t.test('CAT-11 an older descriptor, rightly signed, is refused, after a restart, too', async (t) => {
  const shop = await openShop(t);
  const store = memoryStore();
  const offer = async (version: string, change: object): Promise<void> => { shop.offer(await signedPackage(shop.key, { version, change })); };
  const find = (): Promise<unknown> => partyAt(t, DOMAIN, shop.url, store).find(stubAddress());
  await offer('0', {});
  t.match(await find(), { descriptor: { version: '0' } }, 'domains without serials are taken');
  await uncached(store);
  await offer('2', { serial: 20, expires: in30Days() });
  t.match(await find(), { descriptor: { version: '2' } });
  await uncached(store);
  await offer('1', { serial: 10, expires: in30Days() });
  await t.rejects(find(), { code: 'E_ROLLBACK' });
  await t.rejects(partyAt(t, DOMAIN, shop.url, store).verify(stubAddress()), { code: 'E_ROLLBACK' });
  await offer('0', {});
  await t.rejects(find(), { code: 'E_ROLLBACK' }, 'nor one without a serial');
  shop.offer(await signedPackage(shop.key, { name: 'other' }));
  await t.rejects(partyAt(t, DOMAIN, shop.url, store).find(stubAddress('other')), { code: 'E_ROLLBACK' }, 'of another entry, either');
  await offer('2', { serial: 20, expires: in30Days() });
  t.match(await find(), { descriptor: { version: '2' } });
});

await t.test('CAT-11 an expired descriptor is refused; a cached one serves offline until then', async (t) => {
  const shop = await openShop(t);
  shop.offer(await signedPackage(shop.key, { change: { serial: 1, expires: new Date(Date.now() - DAY_MS).toISOString() } }));
  await t.rejects(partyAt(t, DOMAIN, shop.url, memoryStore()).find(stubAddress()), { code: 'E_EXPIRED' });
  shop.offer(await signedPackage(shop.key, { change: { serial: 2, expires: new Date(Date.now() - 60_000).toISOString() } }));
  t.ok(await partyAt(t, DOMAIN, shop.url, memoryStore()).find(stubAddress()), 'clocks differ a little');
  const store = memoryStore();
  shop.offer(await signedPackage(shop.key, { change: { serial: 3, expires: in30Days() } }));
  await partyAt(t, DOMAIN, shop.url, store).find(stubAddress());
  await shop.shut();
  t.match(await partyAt(t, DOMAIN, shop.url, store, 29 * DAY_MS).find(stubAddress()), { from: 'cache' });
  await t.rejects(partyAt(t, DOMAIN, shop.url, store, 31 * DAY_MS).find(stubAddress()), { code: 'E_EXPIRED' });
});

await t.test('CAT-11 a domain numbers its descriptors, and signs them anew before they expire', async (t) => {
  const { url, server } = await startDomain(t, DOMAIN);
  const catalogue = partyAt(t, DOMAIN, url, memoryStore());
  const first = await catalogue.describe(stubAddress());
  t.ok((first.serial ?? 0) > 0);
  t.ok(Date.parse(first.expires ?? '') > Date.now() + 20 * DAY_MS);
  await server.catalogue.publish({ descriptor: { type: 'protocolstub', objectName: 'default' }, source: { sourceCodeClassname: 'default', sourceCode: 'export default 1' } });
  const next = await partyAt(t, DOMAIN, url, memoryStore()).describe(stubAddress());
  t.ok(next.serial! > first.serial!, 'what is published is newer');
});
