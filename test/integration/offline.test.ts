import t, { type Test } from 'tap';
import type { DomainServer } from '../../src/domain-server/index.js';
import type { Hyperty, Receipt } from '../../src/library/index.js';
import type { ProtoflyError } from '../../src/protocol/index.js';
import { openLmdbStore } from '../../src/store/lmdb/index.js';
import type { Store } from '../../src/store/index.js';
import { memoryStore } from '../../src/store/index.js';
import { DomainClient } from '../support/domain-client.js';
import { temporaryFolder } from '../support/domain-server.js';
import { startDomain, startTestRuntime, type TestRuntime } from '../support/nodes.js';
import { until } from '../support/until.js';

interface Scene {
  server: DomainServer;
  readonly url: string;
  readonly domainStore: Store;
  readonly chat: Hyperty;
  readonly alice: TestRuntime;
  readonly bobStore: Store;
  readonly startBob: () => Promise<TestRuntime>;
}

const mailOf = (server: DomainServer): { messages: number; bytes: number; delivered: number; expired: number; refused: number } => server.status()['mailbox'] as never;
const outboxOf = ({ runtime }: TestRuntime): { messages: number; bytes: number } => runtime.status()['outbox'] as never;

/** A domain with short sessions; alice with the hyperty `chat`, bob with `in`. Bob is gone. */
const withBobAway = async (t: Test, { p2p = false, domainStore = memoryStore() }: { p2p?: boolean; domainStore?: Store } = {}): Promise<Scene> => {
  const { server, url } = await startDomain(t, 'localhost', { sessionTtlMs: 500 }, domainStore);
  const bobStore = memoryStore();
  const startBob = (): Promise<TestRuntime> => startTestRuntime(t, { domainUrl: url, user: 'bob', p2p }, bobStore);
  const [alice, bob] = await Promise.all([startTestRuntime(t, { domainUrl: url, user: 'alice', p2p }), startBob()]);
  const chat = await alice.node.register('chat');
  await bob.node.register('in');
  await chat.send('bob/in', 'known');
  await bob.runtime.stop();
  return { server, url, domainStore, chat, alice, bobStore, startBob };
};

/** Reads bob's messages from now on, beginning with the waiting ones. */
const read = async ({ node }: TestRuntime): Promise<unknown[]> => {
  const got: unknown[] = [];
  const inbox = await node.register('in');
  await inbox.receive(({ value }) => { got.push(value); });
  return got;
};

const sendAll = (chat: Hyperty, values: readonly number[]): Promise<Receipt[]> => Promise.all(values.map((value) => chat.send('bob/in', value, { store: true })));
const upTo = (last: number, first = 1): number[] => Array.from({ length: last - first + 1 }, (_, index) => first + index);

t.test('MAL-1 MAL-3 mail for a runtime that is away is on the domain\'s disk, and comes in order, once, before what is new', async (t) => {
  const { server, chat, startBob } = await withBobAway(t);
  const receipts = await sendAll(chat, upTo(50));
  t.ok(receipts.every(({ state, stored }) => state === 'queued' && stored === 'domain'));
  t.match(mailOf(server), { messages: 50 });
  const refused = await Promise.allSettled(upTo(20).map(() => chat.send('bob/in', 'not to be kept')));
  t.ok(refused.every((result) => result.status === 'rejected' && (result.reason as ProtoflyError).code === 'E_UNAVAILABLE'), 'each of what travelled as one hears of it');
  const bob = await startBob();
  t.match(await chat.send('bob/in', 51, { store: true }), { state: 'delivered' });
  const got = await read(bob);
  await until('all of it', () => got.length >= 52);
  t.same(got, ['known', ...upTo(51)]);
  await until('the receipts have emptied the mailbox', () => mailOf(server).messages === 0);
  t.match(mailOf(server), { bytes: 0, delivered: 50, expired: 0, refused: 0 });
});

t.test('MAL-2 the node restarts at any moment: what it said it has it still has', async (t) => {
  const path = temporaryFolder(t);
  const first = openLmdbStore({ path });
  const { server, url, chat, alice, startBob } = await withBobAway(t, { domainStore: first });
  const sent = sendAll(chat, upTo(200));
  await until('some of it is kept', () => mailOf(server).messages > 20);
  await server.close();
  await first.close();
  const again = openLmdbStore({ path });
  const second = await startDomain(t, 'localhost', { sessionTtlMs: 500, listen: { host: '127.0.0.1', port: Number(new URL(url).port) } }, again);
  t.teardown(() => again.close());
  const receipts = await sent;
  t.ok(receipts.every(({ state }) => state === 'queued'), 'here or there');
  await until('what the runtime kept is the domain\'s now', () => outboxOf(alice).messages === 0);
  t.match(mailOf(second.server), { messages: 200 });
  const got = await read(await startBob());
  await until('all of it', () => got.length >= 201);
  t.same(got, ['known', ...upTo(200)]);
});

t.test('MAL-5 the domain is away: the runtime keeps messages over its restart, and sends them in order before what comes later', async (t) => {
  const domainStore = memoryStore();
  const { server, url } = await startDomain(t, 'localhost', {}, domainStore);
  const aliceStore = memoryStore();
  const startAlice = (): Promise<TestRuntime> => startTestRuntime(t, { domainUrl: url, user: 'alice', p2p: false }, aliceStore);
  const [alice, bob] = await Promise.all([startAlice(), startTestRuntime(t, { domainUrl: url, user: 'bob', p2p: false })]);
  const chat = await alice.node.register('chat');
  const got = await (async () => { await bob.node.register('in'); return read(bob); })();
  await chat.send('bob/in', 'known');
  await server.close();
  await until('alice notices', () => alice.runtime.status()['state'] === 'degraded');
  const receipts = await sendAll(chat, upTo(20));
  t.ok(receipts.every(({ state, stored }) => state === 'queued' && stored === 'runtime'));
  t.match(outboxOf(alice), { messages: 20 });
  await alice.runtime.stop();
  await startDomain(t, 'localhost', { listen: { host: '127.0.0.1', port: Number(new URL(url).port) } }, domainStore);
  const second = await startAlice();
  const later = await second.node.register('chat');
  await Promise.all([later.send('bob/in', 21, { store: true }), later.send('bob/in', 22, { store: true })]);
  await until('all of it', () => got.length >= 23);
  t.same(got, ['known', ...upTo(22)]);
  await until('the outbox is empty', () => outboxOf(second).messages === 0);
});

t.test('MAL-5 the domain is away and there is a connection: what may take it goes on, what may not is kept at once', async (t) => {
  const { server, url } = await startDomain(t);
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((user) => startTestRuntime(t, { domainUrl: url, user })));
  const chat = await alice!.node.register('chat');
  const relayed = await alice!.node.register('relayed', { p2p: false });
  await bob!.node.register('in');
  await read(bob!);
  await alice!.node.connect('bob/in');
  await Promise.all([chat.send('bob/in', 'known'), relayed.send('bob/in', 'known')]);
  await server.close();
  await until('alice notices', () => alice!.runtime.status()['state'] === 'degraded');
  const kept = { store: true, timeoutMs: 5000 };
  t.match(await chat.send('bob/in', 1, kept), { state: 'delivered', path: 'p2p' });
  const receipts = await Promise.all([chat.send('bob/in', 2, { ...kept, p2p: false }), relayed.send('bob/in', 3, kept)]);
  t.ok(receipts.every(({ state, stored }) => state === 'queued' && stored === 'runtime'));
});

t.test('EXP-1 EXP-5 a receipt tells the way and the connection; a receiver that acknowledges nothing is relayed to', async (t) => {
  const { url } = await startDomain(t);
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((user) => startTestRuntime(t, { domainUrl: url, user })));
  const chat = await alice!.node.register('chat');
  await bob!.node.register('in');
  const { generation } = await alice!.node.connect('bob/in');
  t.match(await chat.send('bob/in', 'direct', { store: true }), { state: 'delivered', path: 'p2p', generation });
  t.match(await chat.send('bob/in', 'not direct', { p2p: false }), { state: 'delivered', path: 'msg-node', generation: undefined });

  const plain = await DomainClient.open(url, 'hyperty-runtime://localhost/plain');
  t.teardown(() => { plain.ws.terminate(); });
  const [address = ''] = await plain.allocate();
  const record = { url: address, runtime: plain.runtime, user: 'user://localhost/plain', name: 'p', dataSchemes: [], resources: [], status: 'live' };
  t.equal(await plain.code('create', 'domain://registry.localhost', { value: record }), 200);
  t.match(await chat.send(address, 'to whom it may concern'), { state: 'relayed', path: 'msg-node' });
  const frame = await plain.next(({ body }) => body?.['value'] === 'to whom it may concern');
  t.equal(frame.body?.['expect'], undefined);
  t.equal(frame.body?.['flow'], undefined);
});

t.test('EXP-2 a program\'s answer tells by which way its question came in; where the message node is gone by then it still arrives', async (t) => {
  const { url, server } = await startDomain(t);
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((user) => startTestRuntime(t, { domainUrl: url, user })));
  const inbox = await bob!.node.register('in');
  const waiting: (() => void)[] = [];
  await inbox.receive(async ({ value }) => {
    if (value === 'later') await new Promise<void>((resolve) => { waiting.push(resolve); });
    return value;
  });
  await alice!.node.register('chat');
  const { generation } = await alice!.node.connect('bob/in');
  const ask = async ({ view }: TestRuntime, value: string, p2p: boolean): Promise<unknown> => (await view.client.request(inbox.address, 'create', { value, expect: 'response', p2p })).body;
  t.same(await ask(alice!, 'a', true), { code: 200, value: 'a', path: 'p2p', generation });
  t.same(await ask(alice!, 'b', false), { code: 200, value: 'b', path: 'msg-node' });
  t.same(await ask(bob!, 'c', true), { code: 200, value: 'c', path: 'local' });
  const later = ask(alice!, 'later', false);
  await until('the question is there', () => waiting.length === 1);
  await server.close();
  await until('bob notices', () => bob!.runtime.status()['state'] === 'degraded');
  waiting[0]!();
  t.same(await later, { code: 200, value: 'later', path: 'msg-node' });
});

t.test('MAL-1 MAL-3 MAL-4 mail is given in each session until its receiver has it; what it answers goes on to the sender; quotas and sizes', async (t) => {
  const { server, url } = await startDomain(t, 'localhost', { sessionTtlMs: 60_000, mail: { messageBytes: 2000, perReceiver: 3, sharePerAddress: 1, retryMs: 60_000 } });
  const alice = await DomainClient.open(url, 'hyperty-runtime://localhost/a');
  t.teardown(() => { alice.ws.terminate(); });
  let bob = await DomainClient.open(url, 'hyperty-runtime://localhost/b');
  t.teardown(() => { bob.ws.terminate(); });
  const [address = ''] = await bob.allocate();
  const record = { url: address, runtime: bob.runtime, user: 'user://localhost/b', name: 'p', dataSchemes: [], resources: [], status: 'live', delivery: 'flow/1' };
  t.equal(await bob.code('create', 'domain://registry.localhost', { value: record }), 200);
  await bob.vanish();
  await until('the node notices that bob has gone', () => server.status()['connections'] === 1);
  const from = `${alice.runtime}/x`;
  const body = { store: true, expect: 'receipt' };
  t.equal(await alice.code('create', address, { ...body, value: 'x'.repeat(2000) }, from), 413);
  for (const value of [1, 2]) t.match(await alice.ask('create', address, { ...body, value }, from), { body: { code: 202, stored: 'domain' }, from: address, to: from });
  alice.send({ id: 'silent', type: 'create', from, to: address, body: { store: true, value: 3 } });
  await until('three are kept', () => mailOf(server).messages === 3);
  t.match(await alice.ask('create', address, { ...body, value: 4 }, from), { body: { code: 507, error: 'E_QUOTA' } });
  t.equal(await alice.code('create', `${address}x`, body, from), 404, 'nobody\'s mail isn\'t kept');

  bob = await DomainClient.open(url, bob.runtime);
  const first = await bob.next(({ body: got }) => got?.['value'] === 1);
  await bob.next(({ body: got }) => got?.['value'] === 3);
  await bob.vanish();
  await until('the node notices again', () => server.status()['connections'] === 1);
  bob = await DomainClient.open(url, bob.runtime);
  t.same(await bob.next(({ body: got }) => got?.['value'] === 1), first, 'the same again: nobody had acknowledged it');
  const mail = [first, await bob.next(({ body: got }) => got?.['value'] === 2), await bob.next(({ body: got }) => got?.['value'] === 3)];
  for (const { id, body: got } of mail) {
    t.equal(got?.['expect'], 'receipt');
    bob.send({ id, type: 'response', from: address, to: from, body: { code: 200, path: 'msg-node' } });
  }
  await until('acknowledged', () => mailOf(server).messages === 0);
  await alice.next(({ id, body: got }) => id === first.id && got?.code === 200);
  t.notOk(alice.received.some(({ id }) => id === 'silent'), 'who didn\'t ask isn\'t told');
  t.match(mailOf(server), { messages: 0, bytes: 0, delivered: 3 });
});
