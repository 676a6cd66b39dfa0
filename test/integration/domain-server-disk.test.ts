import t, { type Test } from 'tap';
import type { Client } from '../support/domain-client.js';
import { startServer } from '../support/domain-server.js';
import { failingStore, type FailingStore } from '../support/failing-store.js';
import { forEachProtocol, SOON_AWAY, type Protocol } from '../support/protocols.js';
import { until } from '../support/until.js';

const A = 'hyperty-runtime://a.example/ra';
const B = 'hyperty-runtime://a.example/rb';
const NODE = 'domain://msg-node.a.example';
const REGISTRY = 'domain://registry.a.example';
const CHAT = 'hyperty://a.example/chat';
const ROOM = 'comm://a.example/room';

/** Starts a server whose disk can be full, with the sessions of two runtimes. */
const setUp = async (t: Test, { open }: Protocol): Promise<{ url: string; store: FailingStore; logged: string[]; a: Client; b: Client }> => {
  const store = failingStore();
  const { url, logged } = await startServer(t, { sessionTtlMs: 300, ...SOON_AWAY }, store);
  return { url, store, logged, a: await open(url, A), b: await open(url, B) };
};

const claim = (client: Client, ...addresses: string[]): Promise<number | undefined> => client.code('create', `${NODE}/address-allocation`, { value: { addresses } });
const release = (client: Client, ...addresses: string[]): Promise<number | undefined> => client.code('delete', `${NODE}/address-allocation`, { childrenResources: addresses });
const subscribe = (client: Client, type: 'subscribe' | 'unsubscribe', ...resources: string[]): Promise<number | undefined> => client.code(type, `${NODE}/sm`, { resources });
const arrives = async (from: Client, to: string, receiver: Client): Promise<void> => {
  const value = String(Math.random());
  from.send({ id: `m${value}`, type: 'create', from: from.runtime, to, body: { value } });
  await receiver.next(({ body }) => body?.['value'] === value);
};

forEachProtocol(t, 'an allocation that can\'t be written leaves the addresses free, one that can\'t be released leaves them where they are', async (t, protocol) => {
  const { store, a, b } = await setUp(t, protocol);
  store.isFull = true;
  t.equal(await claim(a, CHAT, ROOM), 500);
  t.equal(await a.code('create', REGISTRY, { value: { url: CHAT } }), 500, 'nor by a registration');
  store.isFull = false;
  t.equal(await claim(b, CHAT), 200, 'another runtime may have it');
  store.isFull = true;
  t.equal(await release(b, CHAT), 500);
  store.isFull = false;
  t.equal(await claim(a, CHAT), 409);
  await arrives(a, CHAT, b);
  t.equal(await release(b, CHAT), 200);
  t.equal(await claim(a, CHAT), 200);
  await arrives(b, CHAT, a);
});

forEachProtocol(t, 'subscriptions change only as far as they can be written', async (t, protocol) => {
  const { store, a, b } = await setUp(t, protocol);
  store.isFull = true;
  t.equal(await subscribe(a, 'subscribe', ROOM), 500);
  t.equal(await b.code('create', ROOM, {}), 404, 'nobody hears it');
  store.isFull = false;
  t.equal(await subscribe(a, 'subscribe', ROOM, CHAT), 200);
  store.isFull = true;
  t.equal(await subscribe(a, 'unsubscribe', ROOM), 500);
  t.equal(await claim(b, CHAT), 500, 'this would end the subscription of another');
  await arrives(b, CHAT, a);
  await arrives(b, ROOM, a);
});

forEachProtocol(t, 'a session that can\'t be written is not opened, and the one before goes on', async (t, protocol) => {
  const { url, store, a, b } = await setUp(t, protocol);
  t.equal(await subscribe(a, 'subscribe', ROOM), 200);
  store.isFull = true;
  const other = await protocol.connect(url, A);
  t.equal(await other.code('open', 'mn:/session'), 500);
  await arrives(b, ROOM, a);
  t.equal(await a.code('ping', 'mn:/session'), 200);
  t.not(await (await protocol.connect(url, 'hyperty-runtime://a.example/rc')).code('open', 'mn:/session'), 200);
  store.isFull = false;
  await (await protocol.open(url, A)).ask('ping', 'mn:/session');
});

forEachProtocol(t, 'a session whose end can\'t be written goes on, and expires once it can', async (t, protocol) => {
  const { store, logged, a, b } = await setUp(t, protocol);
  t.equal(await a.code('create', REGISTRY, { value: { url: CHAT } }), 200);
  store.isFull = true;
  t.equal(await a.code('close', 'mn:/session'), 500);
  await arrives(b, CHAT, a);
  await a.vanish();
  await until('the end is tried', () => logged.some((line) => line.startsWith('ending a session failed')));
  t.equal(store.collection('sessions').count(), 2);
  store.isFull = false;
  await until('the session has ended', () => store.collection('sessions').count() === 1);
  await until('its record is disconnected', async () => (await b.code('read', REGISTRY, { resource: CHAT })) === 408);
});
