import t, { type Test } from 'tap';
import { askUser } from '../../src/cli/identity.js';
import { parseAddress, ProtoflyError, type Address, type RegistryRecord } from '../../src/protocol/index.js';
import { AcceptPolicy, Contacts, Knocks, Senders, type Contact, type Knock } from '../../src/runtime/contacts/index.js';
import type { RuntimeInit } from '../../src/runtime/index.js';
import { parseDeviceCode, type DeviceCode } from '../../src/security/invite.js';
import { signRecord, type IdentityKey } from '../../src/security/index.js';
import { memoryStore, type Store } from '../../src/store/index.js';
import { DomainClient } from '../support/domain-client.js';
import { EvilNode } from '../support/evil-node.js';
import { certify, makeKey } from '../support/identity-key.js';
import { ManualClock } from '../support/manual-clock.js';
import { startDomain, startTestRuntime, type TestRuntime } from '../support/nodes.js';
import { until } from '../support/until.js';

const userOf = (name: string): Address => parseAddress(`user://localhost/${name}`);
const ask = (runtime: TestRuntime, type: 'read' | 'create' | 'update' | 'delete', resource: string, value: Record<string, unknown> = {}): Promise<unknown> => askUser(runtime.view, type, resource, value, 10_000);
const decide = (runtime: TestRuntime, user: string, decision: string, newKey?: string): Promise<unknown> => ask(runtime, 'update', '/contacts', { user: userOf(user), decision, ...(newKey === undefined ? {} : { newKey }) });
const codeOf = async (runtime: TestRuntime): Promise<DeviceCode> => parseDeviceCode(((await ask(runtime, 'create', '/device-code', { ttlMs: 60_000 })) as { code: string }).code);

/** Sends to bob as a program without a hyperty. */
const sends = async ({ view }: TestRuntime): Promise<unknown> => {
  const [record] = await view.lookup('bob/in');
  return view.client.ask(record!.url, 'create', { value: 'hello', expect: 'receipt' });
};

const strict = (t: Test): ReturnType<typeof startDomain> => startDomain(t, 'localhost', { allowUnauthenticated: false });
const starts = (t: Test, url: string, user: string, init: Partial<RuntimeInit> = {}, store?: Store): Promise<TestRuntime> => startTestRuntime(t, { domainUrl: url, user, ...init }, store);

await t.test('IDN-9 others see whose a message is, also that of a program without a hyperty', async (t) => {
  const { url } = await strict(t);
  const [alice, bob] = await Promise.all([starts(t, url, 'alice'), starts(t, url, 'bob')]);
  const from: Address[] = [];
  const inbox = await bob.node.register('in');
  await inbox.receive((message) => { from.push(message.from); });
  const out = await alice.node.register('out');
  await out.send('bob/in', 'hello');
  await sends(alice);
  await until('both have come', () => Promise.resolve(from.length === 2));
  t.match(await bob.view.sender(from[0]!), { user: userOf('alice'), name: 'out', verified: true });
  t.match(await bob.view.sender(from[1]!), { user: userOf('alice'), verified: true });
  t.match(await bob.view.sender(inbox.address), { user: userOf('bob'), name: 'in', verified: true }, 'its own');
  t.match(await bob.view.sender(parseAddress('hyperty://localhost/nobody')), { verified: false });
  t.match(await alice.view.lookup('bob/in'), [{ verified: true, user: userOf('bob') }]);
});

await t.test('IDN-9 a client without a key is shown as unverified, and is nobody who was met', async (t) => {
  const { url } = await startDomain(t);
  const bob = await starts(t, url, 'bob');
  await bob.node.register('in');
  const plain = await (await DomainClient.connect(url, 'hyperty-runtime://localhost/plain')).openSession();
  t.teardown(() => plain.vanish());
  const [address = ''] = await plain.allocate();
  t.equal(await plain.code('create', 'domain://registry.localhost', { value: { url: address, user: 'user://localhost/carol', name: 'out' } }), 200);
  t.match(await bob.view.sender(parseAddress(address)), { claimed: 'user://localhost/carol', name: 'out', verified: false });
  t.match(await bob.view.lookup('carol'), [{ verified: false }]);
  t.match(await ask(bob, 'read', '/contacts'), { contacts: [] });
});

await t.test('IDN-9 a registry that lies about a user is found out, once he was met', async (t) => {
  const evil = await EvilNode.listen(t);
  const { url } = await startDomain(t, 'localhost', { publicUrl: evil.url, allowUnauthenticated: false });
  evil.standBefore(url);
  const [alice, bob] = await Promise.all([starts(t, evil.url, 'alice'), starts(t, evil.url, 'bob')]);
  await bob.node.register('in');
  t.match(await alice.view.discover({ user: 'bob' }), [{ name: 'in', verified: true }]);
  const [mallory, userKey] = [makeKey(), makeKey()];
  const runtime = parseAddress(`hyperty-runtime://localhost/${mallory.id}`);
  const url2 = parseAddress('hyperty://localhost/mallory');
  const lie = async (fields: Partial<RegistryRecord>): Promise<RegistryRecord> =>
    signRecord({ url: url2, runtime, user: userOf('bob'), name: 'in', dataSchemes: [], resources: [], status: 'live', expires: 3600, ...fields }, mallory, { serial: 1e15, until: new Date(Date.now() + 60_000).toISOString() });
  const answer = (record: RegistryRecord): void => {
    evil.tamper = (frame, toServer) => (!toServer && frame.type === 'response' && frame.body !== undefined && 'value' in frame.body && String(frame.from).includes('registry') ? [{ ...frame, body: { ...frame.body, code: 200, value: { [record.url]: record } } }] : [frame]);
  };
  const lies: readonly (readonly [string, Partial<RegistryRecord>, string])[] = [
    ['another key', { certificate: await certify(userKey, userOf('bob'), runtime) }, 'E_USER_KEY'],
    ['no certificate: a downgrade', {}, 'E_CERTIFICATE'],
    ['the certificate of another user', { certificate: await certify(userKey, userOf('mallory'), runtime) }, 'E_CERTIFICATE'],
    ['the certificate of another runtime', { certificate: await certify(userKey, userOf('bob'), `hyperty-runtime://localhost/${makeKey().id}`) }, 'E_CERTIFICATE'],
    ['a certificate that has expired', { certificate: await certify(userKey, userOf('bob'), runtime, { expires: '2020-01-01T00:00:00Z' }) }, 'E_EXPIRED'],
    ['a user of another domain', { user: parseAddress('user://b.example/bob'), certificate: await certify(userKey, 'user://b.example/bob', runtime) }, 'E_CERTIFICATE'],
  ];
  for (const [what, fields, code] of lies) {
    answer(await lie(fields));
    await t.rejects(alice.view.discover({ user: 'bob' }), { code }, what);
  }
  t.match(await ask(alice, 'read', '/contacts'), { contacts: [{ user: userOf('bob'), state: 'seen', otherKey: userKey.fingerprint }] });
  t.equal(alice.log.filter((line) => line.includes('shows another key than before')).length > 0, true, 'it is in the log');
  await t.rejects(decide(alice, 'bob', 'accept'), { code: 'E_USER_KEY' }, 'not by the way');
  await t.rejects(decide(alice, 'bob', 'accept', makeKey().fingerprint.slice(0, 16)), { code: 'E_USER_KEY' }, 'nor a key that he hasn\'t named');
  await decide(alice, 'bob', 'accept', userKey.fingerprint.slice(0, 16));
  answer(await lie({ certificate: await certify(userKey, userOf('bob'), runtime) }));
  t.match(await alice.view.discover({ user: 'bob' }), [{ url: url2, verified: true }], 'she says that it is his new key');
});

await t.test('IDN-7 a second machine becomes its user\'s by a code, which is good for one', async (t) => {
  const { url } = await strict(t);
  const [alice, bob] = await Promise.all([starts(t, url, 'alice'), starts(t, url, 'bob', { device: 'laptop' })]);
  const code = await codeOf(bob);
  t.match(code, { url, user: userOf('bob'), runtime: bob.runtime.url });
  const phoneStore = memoryStore();
  const phone = await starts(t, url, 'bob', { device: 'phone', code }, phoneStore);
  t.match(await ask(phone, 'read', '/user'), { user: userOf('bob'), device: 'phone', userKey: code.userKey, issuer: bob.runtime.url });
  t.match(await ask(bob, 'read', '/devices'), [{ name: 'laptop' }, { name: 'phone', runtime: phone.runtime.url }]);
  await t.rejects(ask(phone, 'read', '/devices'), { code: 'E_REFUSED' }, 'the key stays where it was made');
  await t.rejects(ask(phone, 'create', '/device-code', { ttlMs: 60_000 }), { code: 'E_REFUSED' });

  const got: string[] = [];
  for (const [name, machine] of Object.entries({ laptop: bob, phone })) await (await machine.node.register('in')).receive(() => { got.push(name); });
  await sends(alice);
  t.same(got, ['phone'], 'the machine that came last gets what is sent to the name');
  t.equal((await alice.view.discover({ user: 'bob' })).length, 2, 'both are there');

  const thief = await starts(t, url, 'carol');
  const asks = (value: Record<string, unknown>): Promise<unknown> => thief.view.client.ask(parseAddress(`${bob.runtime.url}/devices`), 'create', { value });
  await t.rejects(asks({ name: 'thief', proof: 'x'.repeat(43) }), { code: /E_MESSAGE|E_REFUSED/ });

  await phone.runtime.stop();
  const again = await starts(t, url, 'bob', { device: 'phone' }, phoneStore);
  t.equal(again.runtime.url, phone.runtime.url);
  await alice.node.connect('bob/in');
  t.equal((await again.node.connections()).length, 1);
  await ask(bob, 'delete', '/devices', { device: 'phone' });
  await until('the domain lets it in no more', () => Promise.resolve((again.runtime.status()['refusal'] as { code?: string } | undefined)?.code === 'E_REMOVED'));
  t.match(await alice.view.discover({ user: 'bob' }), [{ runtime: bob.runtime.url }]);
  await until('who has read that ends the direct connection, too', async () => (await alice.node.connections()).every(({ status }) => status !== 'live'));
  t.match(await ask(bob, 'delete', '/devices', { device: 'phone' }), { runtime: phone.runtime.url }, 'it can be said again');
  await t.rejects(ask(bob, 'delete', '/devices', { device: 'tablet' }), { code: 'E_NOT_FOUND' });
  await t.rejects(ask(bob, 'delete', '/devices', { device: 'laptop' }), { code: 'E_USAGE' }, 'a machine doesn\'t remove itself');
});

await t.test('IDN-7 a device code is refused by who has another, used or no code', async (t) => {
  const { url } = await strict(t);
  const bob = await starts(t, url, 'bob');
  const code = await codeOf(bob);
  await starts(t, url, 'bob', { code });
  const fails = async (tried: DeviceCode): Promise<string | undefined> => {
    const store = memoryStore();
    const late = await startTestRuntime(t, { domainUrl: url, user: 'bob', code: tried }, store, undefined, {}, (status) => status['refusal'] !== undefined);
    return (late.runtime.status()['refusal'] as { code: string }).code;
  };
  t.equal(await fails(code), 'E_REFUSED', 'used before');
  t.equal(await fails({ ...code, secret: 'another' }), 'E_REFUSED');
  t.equal(await fails({ ...await codeOf(bob), userKey: 'f'.repeat(64) }), 'E_CERTIFICATE', 'it takes only a certificate by the key in the code');
});

await t.test('IDN-10 a stranger knocks, and comes in when he is accepted', async (t) => {
  const { url } = await strict(t);
  const [alice, carol, bob] = await Promise.all([starts(t, url, 'alice'), starts(t, url, 'carol'), starts(t, url, 'bob', { accept: { messages: 'contacts', p2p: 'contacts', presence: 'contacts' } })]);
  const got: unknown[] = [];
  await (await bob.node.register('in')).receive(({ value }) => { got.push(value); });
  const [out, other] = await Promise.all([alice.node.register('out'), carol.node.register('out')]);
  await t.rejects(out.send('bob/in', 'may I come in?'), { code: 'E_KNOCK' });
  await t.rejects(out.send('bob/in', 'hello?'), { code: 'E_KNOCK' });
  await t.rejects(other.send('bob/in', 'x'.repeat(600)), { code: 'E_KNOCK' });
  t.match(await ask(bob, 'read', '/contacts'), { knocks: [{ user: userOf('alice'), text: 'may I come in?' }, { user: userOf('carol'), text: /^x{500}$/ }] }, 'one of each, cut short');
  await t.rejects(alice.node.connect('bob/in'), { message: /takes direct connections of his contacts alone/ });
  await t.rejects(alice.view.p2p('ping', bob.runtime.url), { code: 'E_KNOCK' });
  t.same(got, []);
  await decide(bob, 'alice', 'accept');
  t.match(await ask(bob, 'read', '/contacts'), { knocks: [{ user: userOf('carol') }] });
  await out.send('bob/in', 'thank you');
  t.same(got, ['thank you'], 'a knock isn\'t delivered');
  t.equal((await alice.node.connect('bob/in')).status, 'live');
  await decide(bob, 'carol', 'block');
  await t.rejects(other.send('bob/in', 'again'), { code: 'E_BLOCKED' });
  t.match(await ask(bob, 'read', '/contacts'), { knocks: [] });
  await decide(bob, 'alice', 'remove');
  await t.rejects(out.send('bob/in', 'still there?'), { code: 'E_KNOCK' });
  await t.rejects(decide(bob, 'bob', 'block'), { code: 'E_USAGE' });
  await t.rejects(decide(bob, 'nobody', 'remove'), { code: 'E_NOT_FOUND' });
});

await t.test('IDN-10 who is blocked is refused also where anyone may come', async (t) => {
  const { url } = await strict(t);
  const [alice, bob] = await Promise.all([starts(t, url, 'alice'), starts(t, url, 'bob')]);
  await (await bob.node.register('in')).receive(() => undefined);
  const out = await alice.node.register('out');
  await out.send('bob/in', 'hello');
  await decide(bob, 'alice', 'block');
  await t.rejects(out.send('bob/in', 'hello'), { code: 'E_BLOCKED' });
  await t.rejects(sends(alice), { code: 'E_BLOCKED' }, 'nor as a program without a hyperty');
});

await t.test('IDN-10 strangers don\'t take the last quarter of an inbox from contacts', async (t) => {
  const { url } = await strict(t);
  const [alice, carol, bob] = await Promise.all([starts(t, url, 'alice', { p2p: false }), starts(t, url, 'carol', { p2p: false }), starts(t, url, 'bob', { p2p: false })]);
  await bob.node.register('in');
  const [out, other] = await Promise.all([alice.node.register('out'), carol.node.register('out')]);
  await decide(bob, 'alice', 'accept');
  const sent = await Promise.allSettled(Array.from({ length: 800 }, (_, n) => other.send('bob/in', n)));
  t.equal(sent.filter(({ status }) => status === 'fulfilled').length, 750);
  t.match(sent.at(-1), { reason: { code: 'E_TOO_MANY' } });
  await Promise.all(Array.from({ length: 250 }, (_, n) => out.send('bob/in', n)));
  t.equal((await bob.view.hyperties())[0]?.inbox?.messages, 1000);
});

await t.test('IDN-9 a user speaks for his own runtimes, and a certificate alone makes nobody known', async (t) => {
  const clock = new ManualClock();
  const [own, b, m] = [makeKey(), makeKey(), makeKey()];
  const kept = memoryStore().collection<Contact>('contacts');
  const make = (): Contacts => new Contacts({ clock, kept, own: { user: userOf('alice'), userKey: own.fingerprint }, log: () => undefined });
  const contacts = make();
  const gone: string[] = [];
  contacts.onRemoved((id) => { gone.push(id); });
  const runtimeOf = (key: IdentityKey): Address => parseAddress(`hyperty-runtime://localhost/${key.id}`);
  const shows = async (userKey: IdentityKey, user: string, key: IdentityKey, removed: readonly string[] = []): Promise<[string, Address]> =>
    [await certify(userKey, userOf(user), runtimeOf(key), { removed, expires: new Date(clock.date() + 24 * 3600_000).toISOString() }), runtimeOf(key)];
  const meets = async (...args: Parameters<typeof shows>): Promise<void> => {
    const [certificate, runtime] = await shows(...args);
    await contacts.check({ url: parseAddress('hyperty://localhost/x'), runtime, user: userOf(args[1]), certificate, dataSchemes: [], resources: [], status: 'live', expires: 1 });
  };
  const [laptop, phone, other] = [makeKey(), makeKey(), makeKey()];
  t.equal(await contacts.recognise(...await shows(m, 'bob', other)), undefined, 'a set-up by somebody who says that he is bob');
  t.same(contacts.all(), [], 'leaves nothing');
  await meets(b, 'bob', laptop);
  t.equal(await contacts.recognise(...await shows(b, 'bob', phone)), userOf('bob'));
  await t.rejects(contacts.recognise(...await shows(m, 'bob', other)), { code: 'E_USER_KEY' });
  t.equal(contacts.get(userOf('bob'))?.otherKey, undefined, 'and offers no other key');
  await meets(m, 'mallory', other, [laptop.id, phone.id]);
  t.same(gone, [], 'mallory doesn\'t remove bob\'s machines');
  t.equal(await contacts.recognise(...await shows(b, 'bob', phone)), userOf('bob'));
  await meets(b, 'bob', laptop, [phone.id]);
  t.same(gone, [phone.id]);
  await t.rejects(contacts.recognise(...await shows(b, 'bob', phone)), { code: 'E_REMOVED' });
  t.equal(make().isRemoved(runtimeOf(phone)), true, 'also after a restart, and without a certificate');

  const tablet = makeKey();
  t.equal(await contacts.recognise(...await shows(own, 'alice', tablet)), userOf('alice'), 'another machine of her own');
  await meets(own, 'alice', makeKey(), [tablet.id]);
  await t.rejects(contacts.recognise(...await shows(own, 'alice', tablet)), { code: 'E_REMOVED' }, 'which the one with the key has removed');
  clock.advance(31 * 24 * 3600_000);
  t.equal(contacts.isRemoved(runtimeOf(phone)), false, 'no certificate of it can be valid any more');
});

await t.test('IDN-10 who can\'t be found out now is told to come again', async (t) => {
  const clock = new ManualClock();
  let answer: () => Promise<RegistryRecord | undefined> = () => Promise.reject(new ProtoflyError('E_TIMEOUT', 'the registry doesn\'t answer'));
  const contacts = new Contacts({ clock, kept: memoryStore().collection<Contact>('contacts'), own: { user: userOf('bob'), userKey: 'k' }, log: () => undefined });
  const senders = new Senders({ clock, records: { find: () => answer() } });
  const knocks = new Knocks({ clock, kept: memoryStore().collection<Knock>('knocks'), log: () => undefined });
  const policy = new AcceptPolicy({ contacts, senders, knocks }, { user: userOf('bob'), domain: 'localhost', accept: { messages: 'contacts' } });
  const from = parseAddress('hyperty://localhost/1');
  await t.rejects(Promise.resolve(policy.check('messages', from, 'hello')), { code: 'E_UNREACHABLE' });
  answer = () => Promise.reject(new ProtoflyError('E_USER_KEY', 'another key'));
  await t.rejects(Promise.resolve(policy.check('messages', from, 'hello')), { code: 'E_KNOCK' });
  t.same(knocks.all().length, 1);
});

await t.test('two users compare one number, and it shows another key', async (t) => {
  const clock = new ManualClock();
  const [a, b, m] = [makeKey(), makeKey(), makeKey()];
  const contactsOf = async (own: string, ownKey: IdentityKey, other: string, otherKey: IdentityKey): Promise<Contacts> => {
    const contacts = new Contacts({ clock, kept: memoryStore().collection<Contact>('contacts'), own: { user: userOf(own), userKey: ownKey.fingerprint }, log: () => undefined });
    const runtime = parseAddress(`hyperty-runtime://localhost/${makeKey().id}`);
    await contacts.check({ url: parseAddress('hyperty://localhost/x'), runtime, user: userOf(other), certificate: await certify(otherKey, userOf(other), runtime, { expires: new Date(clock.date() + 1000).toISOString() }), dataSchemes: [], resources: [], status: 'live', expires: 1 });
    return contacts;
  };
  const alice = await contactsOf('alice', a, 'bob', b);
  const bob = await contactsOf('bob', b, 'alice', a);
  const fooled = await contactsOf('alice', a, 'bob', m);
  t.match(alice.safetyNumber(userOf('bob')), /^(?:\d{5} ){11}\d{5}$/);
  t.equal(alice.safetyNumber(userOf('bob')), bob.safetyNumber(userOf('alice')));
  t.not(fooled.safetyNumber(userOf('bob')), bob.safetyNumber(userOf('alice')));
  t.throws(() => alice.safetyNumber(userOf('carol')), { code: 'E_NOT_FOUND' });
});
