import t, { type Test } from 'tap';
import { parseDescriptor, type DomainInfo } from '../../src/protocol/descriptor.js';
import { ProtoflyError } from '../../src/protocol/index.js';
import { DeploymentPolicy, Publishers, wantedBy, type KeptPublisher } from '../../src/runtime/stubs/policy/index.js';
import { generatePublisherKey, publicHalf, type PublisherKey } from '../../src/security/index.js';
import { memoryStore, type Store } from '../../src/store/index.js';
import { DOMAIN, infoOf } from '../support/packages.js';
import { ManualClock } from '../support/manual-clock.js';

const keys = (count: number): Promise<PublisherKey[]> => Promise.all(Array.from({ length: count }, generatePublisherKey));
const idsOf = (found: readonly { readonly kid: string }[]): string[] => found.map(({ kid }) => kid).sort();

/** Publishers over a store, and a domain with scripted answers. */
const setUp = (_t: Test, store: Store = memoryStore()): { publishers: Publishers; clock: ManualClock; store: Store; says: { info: DomainInfo | undefined } } => {
  const clock = new ManualClock();
  const says: { info: DomainInfo | undefined } = { info: undefined };
  const domains = {
    info: async (domain: string): Promise<DomainInfo> => {
      if (says.info === undefined) throw new ProtoflyError('E_UNREACHABLE', `${domain} is away`);
      return says.info;
    },
  };
  return { publishers: new Publishers({ kept: store.collection<KeptPublisher>('publishers'), domains, clock, log: () => undefined }), clock, store, says };
};

t.test('the keys that a domain shows first are believed, and remembered across a restart', async (t) => {
  const [one, two] = await keys(2);
  const { publishers, store } = setUp(t);
  t.same(publishers.believed(DOMAIN), []);
  t.same(idsOf(await publishers.keysFor(await infoOf([two!, one!]))), idsOf([one!, two!]));
  t.match(publishers.trustIn(DOMAIN, two!.kid), { domain: DOMAIN, how: 'first-use', byHand: false });
  const again = setUp(t, store).publishers;
  t.same(again.believed(DOMAIN), [publicHalf(two!), publicHalf(one!)]);
  t.equal(again.list().length, 2);
});

t.test('a new key that none of those believed endorses is refused, by name, and changes nothing', async (t) => {
  const [one, two, three] = await keys(3);
  const { publishers } = setUp(t);
  await publishers.keysFor(await infoOf([one!]));
  const refusal = { code: 'E_PUBLISHER', message: new RegExp(`${DOMAIN}.*${two!.kid}.*${one!.kid}`), hint: new RegExp(`trust add ${DOMAIN} ${two!.kid}`) };
  await t.rejects(publishers.keysFor(await infoOf([two!])), refusal);
  await t.rejects(publishers.keysFor(await infoOf([two!, one!], { endorsed: false })), refusal, 'though the old one is still there');
  await t.rejects(publishers.keysFor(await infoOf([two!, three!])), refusal, 'endorsed by a stranger');
  const endorsedElsewhere = { ...(await infoOf([two!, one!], { domain: 'b.example' })), domain: DOMAIN };
  await t.rejects(publishers.keysFor(endorsedElsewhere), refusal, 'endorsed for another domain');
  t.same(publishers.believed(DOMAIN), [publicHalf(one!)]);
  t.same(await publishers.keysFor(await infoOf([one!])), [publicHalf(one!)]);
});

t.test('an endorsed key is added; the older one counts while its domain lists it', async (t) => {
  const [one, two, three] = await keys(3);
  const { publishers } = setUp(t);
  await publishers.keysFor(await infoOf([one!]));
  t.same(idsOf(await publishers.keysFor(await infoOf([two!, one!]))), idsOf([one!, two!]));
  t.match(publishers.trustIn(DOMAIN, two!.kid), { how: 'endorsed', byHand: false });
  const [current] = (await infoOf([two!, one!])).publisherKeys!;
  t.same(await publishers.keysFor({ ...(await infoOf([two!])), publisherKeys: [current!] }), [publicHalf(two!)]);
  t.throws(() => publishers.trustIn(DOMAIN, one!.kid), { code: 'E_PUBLISHER' });
  await t.rejects(publishers.keysFor(await infoOf([three!, one!])), { code: 'E_PUBLISHER' }, 'what is forgotten endorses nothing any more');
});

t.test('a chain of endorsements is followed from whatever is known of it, in whatever order it stands', async (t) => {
  const [one, two, three, four] = await keys(4);
  const info = await infoOf([four!, three!, two!, one!]);
  const whole = setUp(t).publishers;
  await whole.keysFor(await infoOf([one!]));
  t.equal((await whole.keysFor(info)).length, 4);
  const mixed = setUp(t).publishers;
  await mixed.keysFor(await infoOf([one!]));
  // The first key is known, though it isn't listed any more.
  const listed = [...info.publisherKeys!].filter(({ key }) => key.kid !== one!.kid).reverse();
  t.same(idsOf(await mixed.keysFor({ ...info, publisherKeys: listed })), idsOf([two!, three!, four!]));
  const broken = setUp(t).publishers;
  await broken.keysFor(await infoOf([one!]));
  await t.rejects(broken.keysFor({ ...info, publisherKeys: info.publisherKeys!.filter(({ key }) => key.kid !== three!.kid && key.kid !== two!.kid) }), { code: 'E_PUBLISHER' });
});

t.test('a domain without a key is unsigned, all the more when it had one', async (t) => {
  const [one] = await keys(1);
  const { publishers } = setUp(t);
  await t.rejects(publishers.keysFor(await infoOf([])), { code: 'E_UNSIGNED' });
  await publishers.keysFor(await infoOf([one!]));
  await t.rejects(publishers.keysFor(await infoOf([])), { code: 'E_UNSIGNED', message: new RegExp(one!.kid) });
  t.same(publishers.believed(DOMAIN), [publicHalf(one!)]);
});

t.test('a key whose id is made up is no key', async (t) => {
  const [one, two] = await keys(2);
  const { publishers } = setUp(t);
  await publishers.keysFor(await infoOf([one!]));
  const forged = { ...publicHalf(two!), kid: one!.kid };
  await t.rejects(publishers.keysFor({ ...(await infoOf([one!])), publisherKey: forged, publisherKeys: [{ key: forged }] }), { code: 'E_DESCRIPTOR' });
});

t.test('a person\'s word: for what the domain shows, for one of its keys, for a key beforehand', async (t) => {
  const [one, two, three, four] = await keys(4);
  const { publishers, says } = setUp(t);
  await t.rejects(publishers.add(DOMAIN), { code: 'E_UNREACHABLE' });
  says.info = await infoOf([one!]);
  await publishers.keysFor(says.info);
  says.info = await infoOf([two!]);
  await t.rejects(publishers.keysFor(says.info), { code: 'E_PUBLISHER' });
  t.match(await publishers.add(DOMAIN), [{ keyId: two!.kid, how: 'added', byHand: true }]);
  t.same(publishers.believed(DOMAIN), [publicHalf(two!)]);
  t.same(await publishers.keysFor(says.info), [publicHalf(two!)], 'what was believed before is not any more');
  await t.rejects(publishers.add(DOMAIN, three!.kid), { code: 'E_NOT_FOUND', message: new RegExp(two!.kid) });
  await publishers.add(DOMAIN, publicHalf(three!));
  t.same(idsOf(await publishers.keysFor(says.info)), idsOf([two!, three!]), 'one that was added is kept though it isn\'t listed yet');
  await t.rejects(publishers.add(DOMAIN, { ...publicHalf(three!), kid: 'made-up' }), { code: 'E_DESCRIPTOR' });
  says.info = await infoOf([four!, three!]);
  const trusted = await publishers.keysFor(says.info);
  t.ok(trusted.some(({ kid }) => kid === four!.kid));
  t.match(publishers.trustIn(DOMAIN, four!.kid), { how: 'endorsed', byHand: true }, 'a successor inherits a person\'s word');
  t.same(idsOf(trusted), idsOf([three!, four!]), 'once there is a successor, what isn\'t listed any more is forgotten');
});

t.test('what is removed is believed again at first sight', async (t) => {
  const [one, two] = await keys(2);
  const { publishers } = setUp(t);
  await t.rejects(publishers.remove(DOMAIN), { code: 'E_NOT_FOUND' });
  await publishers.keysFor(await infoOf([one!]));
  t.match(await publishers.remove(DOMAIN), [{ keyId: one!.kid }]);
  t.same(publishers.believed(DOMAIN), []);
  t.same(await publishers.keysFor(await infoOf([two!])), [publicHalf(two!)]);
});

t.test('what happens to a domain\'s keys at the same time happens in turn', async (t) => {
  const [one, two, three] = await keys(3);
  const { publishers } = setUp(t);
  const infos = [await infoOf([one!]), await infoOf([three!])];
  const [first, second] = await Promise.allSettled(infos.map((info) => publishers.keysFor(info)));
  t.equal(first?.status, 'fulfilled');
  t.match(second, { status: 'rejected', reason: { code: 'E_PUBLISHER' } }, 'there is one first use');
  const rotated = await infoOf([two!, one!]);
  await Promise.all([publishers.keysFor(rotated), publishers.add(DOMAIN, publicHalf(three!))]);
  t.same(idsOf(publishers.believed(DOMAIN)), idsOf([one!, two!, three!]), 'neither is lost');
});

t.test('whose packages may be deployed', (t) => {
  const by = (domain: string, byHand: boolean) => ({ domain, keyId: 'k', since: '', how: 'endorsed' as const, byHand });
  const check = (allow: 'any' | 'trusted' | 'built-in', domain: string, byHand: boolean) => () => { new DeploymentPolicy({ allow }, { ownDomain: DOMAIN }).checkPublisher(by(domain, byHand), 'it'); };
  t.doesNotThrow(check('any', 'b.example', false));
  t.throws(check('trusted', 'b.example', false), { code: 'E_POLICY', hint: /trust add b.example k/ });
  t.doesNotThrow(check('trusted', 'b.example', true));
  t.doesNotThrow(check('trusted', DOMAIN, false), 'the own domain');
  t.throws(check('built-in', DOMAIN, true), { code: 'E_POLICY' });
  t.end();
});

t.test('what a descriptor asks for and isn\'t granted is named', (t) => {
  const descriptor = parseDescriptor({ cguid: 'x', type: 'protocolstub', version: '1', objectName: 'x', constraints: { webrtc: true, tcp: true, http: 'true', other: true } });
  t.same(wantedBy(descriptor), ['webrtc', 'tcp'], 'only what is exactly true, and known');
  const policy = (capabilities?: ('webrtc' | 'tcp')[]) => new DeploymentPolicy(capabilities === undefined ? {} : { capabilities }, { ownDomain: DOMAIN });
  t.doesNotThrow(() => { policy().checkCapabilities(descriptor, 'it'); });
  t.throws(() => { policy(['webrtc']).checkCapabilities(descriptor, 'the stub'); }, { code: 'E_POLICY', message: /the stub asks for tcp/ });
  t.throws(() => { policy([]).checkCapabilities(descriptor, 'it'); }, { code: 'E_POLICY', message: /webrtc and tcp/ });
  t.end();
});
