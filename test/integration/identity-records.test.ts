import t, { type Test } from 'tap';
import { DEFAULT_EXPIRES, parseAddress, type RegistryRecord } from '../../src/protocol/index.js';
import type { Hyperty } from '../../src/library/index.js';
import { RecordChecks } from '../../src/runtime/directory/record-checks.js';
import { RecordSigner, type KeptSerials } from '../../src/runtime/hyperties/record-signer.js';
import { signRecord, type IdentityKey } from '../../src/security/index.js';
import { memoryStore } from '../../src/store/index.js';
import { DomainClient, type Frame } from '../support/domain-client.js';
import { startServer } from '../support/domain-server.js';
import { EvilNode } from '../support/evil-node.js';
import { failingStore } from '../support/failing-store.js';
import { ManualClock } from '../support/manual-clock.js';
import { startDomain, startTestRuntime, type TestRuntime } from '../support/nodes.js';
import { certify, makeKey } from '../support/identity-key.js';

/** Judges no users. */
const users = { check: () => Promise.resolve() };

const later = (clock = Date.now()): string => new Date(clock + 60_000).toISOString();

const recordOf = (key: IdentityKey, url: string, domain = 'a.example'): RegistryRecord => ({
  url: parseAddress(url), runtime: parseAddress(`hyperty-runtime://${domain}/${key.id}`), name: 'in', user: parseAddress(`user://${domain}/bob`), dataSchemes: [], resources: [], status: 'live', expires: DEFAULT_EXPIRES,
});

type Records = Record<string, RegistryRecord>;

/** Has a message node change the records in what the registry answers. */
const changing = (change: (record: RegistryRecord) => RegistryRecord | Promise<RegistryRecord>) => (frame: Frame): readonly Frame[] => {
  const { value } = frame.body ?? {};
  if (frame.type !== 'response' || !frame.from.startsWith('domain://registry.') || typeof value !== 'object' || value === null || 'resource' in value) return [frame];
  const changed = 'url' in value ? change(value as unknown as RegistryRecord) : Object.fromEntries(Object.entries(value as Records).map(([url, record]) => [url, change(record)]));
  return [{ ...frame, body: { ...frame.body, value: changed } }];
};

const between = async (t: Test): Promise<{ readonly evil: EvilNode; readonly alice: TestRuntime; readonly bob: TestRuntime; readonly inbox: Hyperty; readonly restart: () => Promise<TestRuntime> }> => {
  const evil = await EvilNode.listen(t);
  const { url } = await startDomain(t, 'localhost', { publicUrl: evil.url, allowUnauthenticated: false });
  evil.standBefore(url);
  const store = memoryStore();
  const start = (user: string): Promise<TestRuntime> => startTestRuntime(t, { domainUrl: evil.url, user, p2p: false }, user === 'bob' ? store : memoryStore());
  const [alice, bob] = await Promise.all([start('alice'), start('bob')]);
  const inbox = await bob.node.register('in');
  return { evil, alice, bob, inbox, restart: async () => { await bob.runtime.stop(); return start('bob'); } };
};

await t.test('REG-10 a message node that changes a record is found out, and nothing is sent by it', async (t) => {
  const { evil, alice, inbox } = await between(t);
  const out = await alice.node.register('out');
  const got: unknown[] = [];
  const mallory = makeKey();
  const signed = async (record: RegistryRecord, key = mallory): Promise<unknown> => (await signRecord(record, key, { serial: Date.now() + 1e9, until: later() })).signature;
  const honest = (await alice.view.discover({ name: 'in' }))[0]!;
  const forged = await signed(honest);
  const moved = { ...honest, runtime: parseAddress(`hyperty-runtime://localhost/${mallory.id}`) };
  const movedSignature = await signed(moved);
  const tricks: readonly (readonly [string, (record: RegistryRecord) => RegistryRecord, string])[] = [
    ['another handler', (record) => ({ ...record, p2pHandler: parseAddress(`hyperty-runtime://localhost/${mallory.id}/p2phandler/1`) }), 'E_SIGNATURE'],
    ['another user', (record) => ({ ...record, user: parseAddress('user://localhost/carol') }), 'E_SIGNATURE'],
    ['no signature', ({ signature: _, ...record }) => record as RegistryRecord, 'E_UNSIGNED'],
    ['a signature by another key', (record) => ({ ...record, signature: forged }), 'E_IDENTITY'],
    ['another runtime, which has signed it', () => ({ ...moved, signature: movedSignature }), 'E_IDENTITY'],
    ['a runtime that has no key', (record) => ({ ...record, runtime: parseAddress('hyperty-runtime://localhost/plain') }), 'E_CERTIFICATE'],
  ];
  for (const [what, trick, code] of tricks) {
    evil.tamper = changing((record) => (record.name === 'in' ? trick(record) : record));
    await t.rejects(alice.view.discover({ name: 'in' }), { code }, what);
  }
  t.equal(alice.log.filter((line) => line.includes('is not believed')).length, tricks.length, 'each is in the log');
  evil.tamper = (frame) => [frame];
  await inbox.receive(({ value }) => { got.push(value); });
  await out.send(inbox.address, 'hello');
  t.same(got, ['hello']);
});

await t.test('REG-10 a record that was valid once is refused when a newer one was seen', async (t) => {
  const { evil, alice, restart } = await between(t);
  const [old] = await alice.view.discover({ name: 'in' });
  await restart();
  const [current] = await alice.view.discover({ name: 'in' });
  t.not(current?.signature, old?.signature, 'signed anew');
  evil.tamper = changing((record) => (record.name === 'in' ? old! : record));
  await t.rejects(alice.view.discover({ name: 'in' }), { code: 'E_ROLLBACK' });
});

await t.test('REG-10 the registry takes only what its runtime has signed, and keeps it as it is', async (t) => {
  const { url } = await startServer(t, { allowUnauthenticated: false });
  const key = makeKey();
  const runtime = `hyperty-runtime://a.example/${key.id}`;
  const client = await (await DomainClient.connect(url, runtime)).openSession(key, { certificate: await certify(makeKey(), 'user://a.example/bob', runtime) });
  t.teardown(() => client.vanish());
  const [address = ''] = await client.allocate();
  const registry = 'domain://registry.a.example';
  const record = recordOf(key, address);
  const sign = (serial: number, fields: Partial<RegistryRecord> = {}, by = key): Promise<RegistryRecord> => signRecord({ ...record, ...fields }, by, { serial, until: later() });
  const register = async (value: unknown): Promise<Frame['body']> => (await client.ask('create', registry, { value })).body;
  t.match(await register(record), { code: 403, error: 'E_UNSIGNED' });
  t.match(await register(await sign(5, {}, makeKey())), { code: 403, error: 'E_IDENTITY' });
  t.match(await register({ ...await sign(5), name: 'other' }), { code: 403, error: 'E_SIGNATURE' });
  t.match(await register({ ...await sign(5), url: `hyperty-runtime://a.example/${makeKey().id}/x` }), { code: 403 });
  t.match(await register(await signRecord(record, key, { serial: 5, until: '9999-01-01T00:00:00Z' })), { code: 403, error: 'E_EXPIRED' });
  t.match(await register(await sign(5, { guid: parseAddress('user-guid://abc') })), { code: 403, error: 'E_IDENTITY' });
  const signed = await sign(5);
  t.match(await register(signed), { code: 200 });
  t.match(await register(await sign(4)), { code: 403, error: 'E_ROLLBACK' });
  t.match((await client.ask('update', registry, { resource: address, attribute: 'name', value: 'other' })).body, { code: 403, error: 'E_UNSIGNED' });
  t.match((await client.ask('update', registry, { resource: address, attribute: 'signature', value: 'x' })).body, { code: 403, error: 'E_UNSIGNED' });
  t.match((await client.ask('update', registry, { resource: address, attribute: 'status', value: 'disconnected' })).body, { code: 200 }, 'the status isn\'t signed');
  t.match((await client.ask('update', registry, { resource: address })).body, { code: 200 });
  t.match((await client.ask('read', registry, { resource: address })).body?.['value'], { signature: signed.signature, name: 'in', status: 'live' });
});

await t.test('REG-10 a signature is for one record, and expires', async (t) => {
  const clock = new ManualClock();
  const checks = new RecordChecks({ clock, users });
  const key = makeKey();
  const record = recordOf(key, 'hyperty://a.example/1');
  const sign = (serial: number, fields: Partial<RegistryRecord> = {}): Promise<RegistryRecord> => signRecord({ ...record, ...fields }, key, { serial, until: later(clock.date()) });
  const first = await sign(2);
  await checks.check(first, undefined);
  await checks.check({ ...first, status: 'disconnected', lastModified: 'now' }, undefined);
  await t.rejects(checks.check({ ...first, url: parseAddress('hyperty://a.example/2') }, undefined), { code: 'E_SIGNATURE' });
  await t.rejects(checks.check(await signRecord(record, key, { serial: 9, until: '9999-01-01T00:00:00Z' }), undefined), { code: 'E_EXPIRED' }, 'nobody signs for ever');
  const plain = { ...record, runtime: parseAddress('hyperty-runtime://a.example/plain'), signature: (await sign(1e9)).signature };
  await new RecordChecks({ clock, users }).check(first, plain);
  await t.rejects(checks.check(await sign(1), undefined), { code: 'E_ROLLBACK' });
  await t.rejects(new RecordChecks({ clock, users }).check(await sign(1), first), { code: 'E_ROLLBACK' }, 'also after a restart, by the record in the cache');
  for (const signature of ['', 'x', 'a.b.c', 7, {}, 'x'.repeat(20_000)]) await t.rejects(checks.check({ ...first, signature }, undefined), { code: /E_SIGNATURE|E_UNSIGNED/ });
  const other = makeKey();
  const moved = (): Promise<RegistryRecord> => signRecord({ ...record, runtime: recordOf(other, record.url).runtime }, other, { serial: 1, until: later(clock.date()) });
  await t.rejects(checks.check(await moved(), undefined), { code: 'E_IDENTITY' });
  clock.setBy(62 * 60_000);
  await t.rejects(checks.check(first, undefined), { code: 'E_EXPIRED', hint: /clock/ });
  await checks.check(await moved(), undefined);
});

await t.test('REG-10 of two records that are checked at once, the newer one is remembered', async (t) => {
  const clock = new ManualClock();
  const key = makeKey();
  const sign = (serial: number): Promise<RegistryRecord> => signRecord(recordOf(key, 'hyperty://a.example/1'), key, { serial, until: later(clock.date()) });
  const [older, newer] = [await sign(1), await sign(2)];
  for (const both of [[newer, older], [older, newer]]) {
    const checks = new RecordChecks({ clock, users });
    await Promise.allSettled(both.map((record) => checks.check(record, undefined)));
    await t.rejects(checks.check(older, undefined), { code: 'E_ROLLBACK' });
  }
});

await t.test('REG-10 a full disk keeps no record from being signed', async (t) => {
  const store = failingStore();
  const logged: string[] = [];
  const key = makeKey();
  const signer = new RecordSigner({ clock: new ManualClock(), key, kept: store.collection<KeptSerials>('serials'), log: (_level, text) => { logged.push(text); } });
  store.isFull = true;
  t.type((await signer.sign(recordOf(key, 'hyperty://a.example/1'))).signature, 'string');
  t.match(logged, [/no space left/]);
});

await t.test('REG-10 serials rise whatever happens to the clock, and a record is signed once', async (t) => {
  const clock = new ManualClock();
  const kept = memoryStore().collection<KeptSerials>('serials');
  const key = makeKey();
  const record = recordOf(key, 'hyperty://a.example/1');
  const make = (): RecordSigner => new RecordSigner({ clock, key, kept, log: () => undefined });
  const checks = new RecordChecks({ clock, users });
  let signer = make();
  const [one, other] = await Promise.all([signer.sign(record), signer.sign(record)]);
  t.equal(one.signature, other.signature, 'also when it is asked for twice at once');
  const first = await signer.sign(record);
  t.equal((await signer.sign(record)).signature, first.signature);
  await checks.check(first, undefined);
  await checks.check(await signer.sign({ ...record, name: 'other' }), undefined);
  clock.setBy(-1e9);
  signer = make();
  await checks.check(await signer.sign(record), undefined);
  for (const signed of await Promise.all(Array.from({ length: 100 }, (_, index) => signer.sign({ ...record, name: `n${String(index)}` })))) await checks.check(signed, undefined);
  t.equal(signer.isOld(record.url), false);
  clock.advance(25 * 3600 * 1000);
  t.equal(signer.isOld(record.url), true);
});
