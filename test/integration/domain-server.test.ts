import t from 'tap';
import { openLmdbStore } from '../../src/store/lmdb/index.js';
import type { Frame } from '../support/domain-client.js';
import { startServer, temporaryFolder } from '../support/domain-server.js';
import { forEachProtocol, SOON_AWAY } from '../support/protocols.js';
import { until } from '../support/until.js';

const A = 'hyperty-runtime://a.example/ra';
const B = 'hyperty-runtime://a.example/rb';
const ALLOCATION = 'domain://msg-node.a.example/address-allocation';
const SM = 'domain://msg-node.a.example/sm';
const REGISTRY = 'domain://registry.a.example';

forEachProtocol(t, 'sessions', async (t, { connect, open, connected, ended }) => {
  await t.test('open answers 200 with a token, from mn:/session to the runtime', async (t) => {
    const { url } = await startServer(t);
    const client = await connect(url, A);
    client.send({ id: 1, type: 'OPEN', from: 'runtime://A.example/ra', to: 'mn:/session' });
    t.match(await client.next(() => true), { id: 1, type: 'response', from: 'mn:/session', to: A, body: { code: 200, runtimeToken: /^[\w-]{43}$/ } });
    await client.vanish();
  });


  await t.test('before open every other message is answered 401, a response is not answered', async (t) => {
    const { url } = await startServer(t);
    const client = await connect(url, A);
    client.send({ id: 9, type: 'response', from: A, to: B, body: { code: 200 } });
    for (const to of [ALLOCATION, SM, REGISTRY, B, 'hyperty://a.example/x']) t.equal(await client.code('create', to), 401, to);
    for (const type of ['close', 'ping', 'read']) t.equal(await client.code(type, 'mn:/session'), 401, type);
    t.equal(client.received.length, 0);
    await client.vanish();
  });

  await t.test('open from something that is no runtime URL is answered 400', async (t) => {
    const { url } = await startServer(t);
    const client = await connect(url, A);
    for (const from of [`${A}/ua`, 'hyperty://a.example/x', 'mn:/client', 'hyperty-runtime://a.example']) t.equal(await client.code('open', 'mn:/session', undefined, from), 400, from);
    await client.vanish();
  });

  await t.test('re-open: everything allocated and subscribed is there, what waited follows the answer in order', async (t) => {
    const { url, server } = await startServer(t, SOON_AWAY);
    const a = await open(url, A);
    const b = await open(url, B);
    const [address = ''] = await a.allocate();
    t.equal(await a.code('subscribe', SM, { resources: ['comm://a.example/o/changes'] }), 200);
    await a.vanish();
    await until('the condition holds', () => server.status()['connections'] === 1);
    for (let i = 0; i < 3; i += 1) b.send({ id: i, type: 'create', from: B, to: address, body: { value: i } });
    b.send({ id: 3, type: 'update', from: B, to: 'comm://a.example/o/changes', body: { value: 3 } });
    b.send({ id: 'r', type: 'response', from: B, to: `${A}/ua`, body: { code: 200 } });
    t.equal(await b.code('ping', 'mn:/session'), 200);
    const again = await connect(url, A);
    t.equal(await again.code('re-open', 'mn:/session', undefined, `${A}/${a.token}x`), 401, 'a wrong token');
    again.send({ id: 'again', type: 're-open', from: `${A}/${a.token}`, to: 'mn:/session' });
    // If clients acknowledge, the last answer may come again.
    const fresh = (): Frame[] => again.received.filter(({ id }) => !String(id).startsWith('q'));
    await until('the condition holds', () => fresh().length === 6);
    t.match(again.received[0], { id: 'again', from: 'mn:/session', to: `${A}/${a.token}`, body: { code: 200 } });
    t.same(fresh().slice(1).map(({ id }) => id), [0, 1, 2, 3, 'r']);
    t.equal(await again.code('delete', ALLOCATION, { childrenResources: [address] }), 200, 'the allocation is its own');
  });

  await t.test('a second connection of the same runtime takes over at once, the older one is closed with a reason', async (t) => {
    const { url } = await startServer(t);
    const old = await open(url, A);
    const b = await open(url, B);
    const [address = ''] = await old.allocate();
    await old.ask('subscribe', SM, { resources: ['comm://a.example/o/changes'] });
    const resumed = await connect(url, A);
    t.equal(await resumed.code('re-open', 'mn:/session', undefined, `${A}/${old.token}`), 200);
    if (connected) t.match(await old.closed, ended(/resumed/));
    else await old.vanish();
    const opened = await open(url, A);
    t.match(await resumed.closed, ended(/opened/));
    b.send({ id: 1, type: 'create', from: B, to: address });
    t.match(await opened.next(() => true), { id: 1, to: address }, 'allocations stay');
    t.equal(await b.code('update', 'comm://a.example/o/changes'), 404, 'subscriptions go with a new open');
    const third = await connect(url, A);
    t.equal(await third.code('re-open', 'mn:/session', undefined, `${A}/${old.token}`), 401, 'the old token is of no more use');
    t.equal(await third.code('re-open', 'mn:/session', undefined, `${A}/${opened.token}`), 200);
  });

  await t.test('close releases allocations, subscriptions and the token, and ends the connection', async (t) => {
    const { url, server, store } = await startServer(t);
    const a = await open(url, A);
    const b = await open(url, B);
    const [address = ''] = await a.allocate();
    await a.ask('subscribe', SM, { resources: ['comm://a.example/o/changes'] });
    t.equal(await a.code('close', 'mn:/session'), 200);
    await a.closed;
    t.equal(await b.code('create', address), 404);
    t.equal(await b.code('create', `${A}/ua`), 404);
    const again = await connect(url, A);
    t.equal(await again.code('re-open', 'mn:/session', undefined, `${A}/${a.token}`), 401);
    t.match(server.status(), { sessions: 1, addresses: 0, subscriptions: 0 });
    t.same(['sessions', 'allocations', 'subscriptions'].map((name) => store.collection(name).count()), [1, 0, 0]);
  });

  await t.test('a session that waits for too long ends; whoever still waits for an answer gets 408, registered addresses stay known', async (t) => {
    const { url, server } = await startServer(t, { ...SOON_AWAY, sessionTtlMs: 300 });
    const a = await open(url, A);
    const b = await open(url, B);
    const [registered = '', plain = ''] = await a.allocate(2);
    t.equal(await a.code('create', REGISTRY, { value: { url: registered, runtime: A } }), 200);
    await a.vanish();
    await until('the condition holds', () => server.status()['connections'] === 1);
    t.equal(await b.code('create', plain), 408, 'the one that waited');
    t.equal(await b.code('create', plain), 404);
    t.equal(await b.code('create', registered), 408);
    const again = await connect(url, A);
    t.equal(await again.code('re-open', 'mn:/session', undefined, `${A}/${a.token}`), 401);
    t.match(server.status(), { sessions: 1, addresses: 0 });
  });

  await t.test('what waits is bounded: beyond it the sender is told 503', async (t) => {
    const { url, server } = await startServer(t, { ...SOON_AWAY, limits: { waitingPerSession: 3, waitingBytesPerSession: 2000 } });
    const a = await open(url, A);
    const b = await open(url, B);
    await a.vanish();
    await until('the condition holds', () => server.status()['connections'] === 1);
    t.equal(await b.code('create', `${A}/ua`, { value: 'x'.repeat(3000) }), 503);
    for (let i = 0; i < 3; i += 1) b.send({ id: i, type: 'create', from: B, to: `${A}/ua` });
    t.equal(await b.code('create', `${A}/ua`), 503);
    b.send({ id: 'r', type: 'response', from: B, to: `${A}/ua`, body: { code: 200 } });
    t.equal(await b.code('ping', 'mn:/session'), 200);
    t.equal(b.received.length, 0, 'a response that finds no place is dropped');
  });

});

forEachProtocol(t, 'after a restart of the server a session resumes with its token, with allocations, subscriptions and registrations', async (t, { connect, open }) => {
  const path = temporaryFolder(t);
  let store = openLmdbStore({ path });
  const first = await startServer(t, {}, store);
  const a = await open(first.url, A);
  const [address = ''] = await a.allocate();
  const keyed = (await a.ask('create', ALLOCATION, { scheme: 'connection', value: { number: 1, allocationKey: 'k' } })).body?.['value'];
  t.equal(await a.code('subscribe', SM, { subscribe: ['comm://a.example/o/changes'], source: `${A}/sm` }), 200);
  t.equal(await a.code('create', REGISTRY, { value: { url: address, runtime: A, name: 'chat' } }), 200);
  await first.server.close();
  await a.closed;
  await store.close();

  store = openLmdbStore({ path });
  t.teardown(() => store.close());
  const second = await startServer(t, {}, store);
  const b = await open(second.url, B);
  b.send({ id: 1, type: 'create', from: B, to: address });
  b.send({ id: 2, type: 'update', from: B, to: 'comm://a.example/o/changes' });
  t.equal(await b.code('read', REGISTRY, { resource: '/hyperty/name/chat' }), 200);
  const again = await connect(second.url, A);
  t.equal(await again.code('re-open', 'mn:/session', undefined, `${A}/${a.token}`), 200);
  t.match(await again.next(() => true), { id: 1, to: address });
  t.match(await again.next(() => true), { id: 2, to: 'comm://a.example/o/changes' });
  t.same((await again.ask('create', ALLOCATION, { scheme: 'connection', value: { number: 1, allocationKey: 'k' } })).body?.['value'], keyed);
  t.equal(await again.code('unsubscribe', SM, { unsubscribe: ['comm://a.example/o/changes'], source: `${A}/sm` }), 200);
  t.equal(await b.code('update', 'comm://a.example/o/changes'), 404);
});

forEachProtocol(t, 'address allocation', async (t, { open }) => {
  const { url } = await startServer(t, { limits: { allocationsPerSession: 20, allocationsPerRequest: 15 } });

  await t.test('gives addresses of the scheme that nobody can guess', async (t) => {
    const a = await open(url, A);
    const answer = await a.ask('create', ALLOCATION, { value: { number: 3 } });
    const { allocated } = answer.body?.['value'] as { allocated: string[] };
    t.equal(new Set(allocated).size, 3);
    for (const address of allocated) t.match(address, /^hyperty:\/\/a\.example\/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    t.match((await a.allocate(1, 'connection'))[0], /^connection:\/\/a\.example\//);
    t.equal(await a.code('delete', ALLOCATION, { childrenResources: allocated }), 200);
    t.equal(await a.code('delete', ALLOCATION, { childrenResources: allocated }), 200, 'again: they are gone');
    t.equal(await a.code('close', 'mn:/session'), 200);
  });

  await t.test('refuses what makes no sense, and too much', async (t) => {
    const a = await open(url, A);
    for (const body of [{ value: { number: 0 } }, { value: { number: 1.5 } }, { value: { number: 'many' } }, { value: 7 }, { scheme: 'domain', value: { number: 1 } }, { scheme: 'hyperty-runtime' }, { scheme: 'no scheme' }, { scheme: 5 }, { value: { allocationKey: 5 } }, { value: { addresses: ['nonsense'] } }, { value: { addresses: [5] } }]) {
      t.equal(await a.code('create', ALLOCATION, body), 400, JSON.stringify(body));
    }
    t.equal(await a.code('read', ALLOCATION), 400);
    t.equal(await a.code('delete', ALLOCATION), 400);
    t.equal(await a.code('create', ALLOCATION, { value: { number: 1e9 } }), 429);
    t.equal(await a.code('create', ALLOCATION, { value: { number: 15 } }), 200);
    t.equal(await a.code('create', ALLOCATION, { value: { number: 6 } }), 429);
    t.equal(await a.code('create', ALLOCATION), 200, 'without a body it is one hyperty address');
    t.equal(await a.code('close', 'mn:/session'), 200);
  });

  await t.test('addresses from before a new open make room when there are too many; those in use stay', async (t) => {
    const before = await open(url, A);
    const old = await before.allocate(15);
    const a = await open(url, A);
    const b = await open(url, B);
    b.send({ id: 1, type: 'create', from: B, to: old[0] });
    await a.next(({ id }) => id === 1);
    a.send({ id: 1, type: 'response', from: old[0], to: B, body: { code: 200 } });
    await b.next(({ id }) => id === 1);
    t.equal((await a.allocate(15)).length, 15);
    t.equal(await b.code('create', old[1] ?? ''), 404);
    b.send({ id: 2, type: 'create', from: B, to: old[0] });
    t.match(await a.next(({ id }) => id === 2), { to: old[0] });
    t.equal(await a.code('close', 'mn:/session'), 200);
  });

  await t.test('a key gives the same addresses again, and releases them', async (t) => {
    const a = await open(url, A);
    const create = async (number: number): Promise<string[]> => ((await a.ask('create', ALLOCATION, { value: { number, allocationKey: 'k' } })).body?.['value'] as { allocated: string[] }).allocated;
    const first = await create(2);
    t.same(await create(2), first);
    t.same((await create(3)).slice(0, 2), first);
    t.equal(await a.code('delete', ALLOCATION, { resource: 'k' }), 200);
    t.equal(await a.code('delete', ALLOCATION, { resource: 'k' }), 404);
    t.equal(await a.code('create', first[0] ?? ''), 404);
    t.equal(await a.code('close', 'mn:/session'), 200);
  });

  await t.test('exact addresses can be claimed again, unless somebody else has them or registered them', async (t) => {
    const a = await open(url, A);
    const b = await open(url, B);
    const [registered = '', free = ''] = await a.allocate(2);
    t.equal(await a.code('create', REGISTRY, { value: { url: registered } }), 200);
    t.equal(await b.code('create', ALLOCATION, { value: { addresses: [free] } }), 409, 'it is allocated');
    t.equal(await b.code('delete', ALLOCATION, { childrenResources: [free] }), 403);
    t.equal(await a.code('create', ALLOCATION, { value: { addresses: [free, registered] } }), 200, 'its own already');
    t.equal(await a.code('close', 'mn:/session'), 200);
    t.equal(await b.code('create', ALLOCATION, { value: { addresses: [registered] } }), 409, 'it is registered');
    t.equal(await b.code('create', ALLOCATION, { value: { addresses: [free, registered] } }), 409);
    const again = await open(url, A);
    t.same((await again.ask('create', ALLOCATION, { value: { addresses: [registered, free] } })).body, { code: 200, value: { allocated: [registered, free] } });
    b.send({ id: 1, type: 'create', from: B, to: free });
    t.match(await again.next(() => true), { id: 1 });
    t.equal(await again.code('create', ALLOCATION, { value: { addresses: ['hyperty://other.example/x'] } }), 400);
    t.equal(await again.code('create', ALLOCATION, { value: { addresses: [`${B}/ua`] } }), 400);
  });
});

forEachProtocol(t, 'routing', async (t, { open }) => {
  const { url, server } = await startServer(t);
  const a = await open(url, A);
  const b = await open(url, B);
  const c = await open(url, 'hyperty-runtime://a.example/rc');
  const [ha = ''] = await a.allocate();
  const [hb = ''] = await b.allocate();

  await t.test('a message goes to the owner of its address, the response comes back', async (t) => {
    const asked = a.ask('create', hb, { value: { deep: ['ü'] } }, ha);
    const request = await b.next(() => true);
    t.match(request, { type: 'create', from: ha, to: hb, body: { value: { deep: ['ü'] } } });
    b.send({ id: request.id, type: 'response', from: hb, to: ha, body: { code: 200, value: 'yes' } });
    t.match(await asked, { from: hb, to: ha, body: { code: 200, value: 'yes' } });
  });

  await t.test('what is below a runtime URL goes to the runtime; unknown addresses are answered 404', async (t) => {
    a.send({ id: 1, type: 'subscribe', from: `${A}/sm`, to: `${B}/registry` });
    t.match(await b.next(() => true), { id: 1, to: `${B}/registry` });
    for (const to of ['hyperty://a.example/nobody', 'hyperty-runtime://a.example/rbb/ua', 'hyperty-runtime://a.example', 'user://a.example/bob', 'domain://msg-node.a.example/nothing', 'domain://a.example']) t.equal(await a.code('read', to), 404, to);
    for (const to of ['hyperty://other.example/x', 'domain://registry.other.example', 'domain://msg-node.other.example/sm']) {
      t.match((await a.ask('read', to)).body, { code: 404, description: /another domain/ }, to);
    }
  });

  await t.test('subscribers get what is sent to the address, except the session it came from', async (t) => {
    const o = 'comm://a.example/o1/changes';
    t.equal(await a.code('subscribe', SM, { resources: [o] }), 200);
    t.equal(await b.code('subscribe', SM, { subscribe: o, source: hb }), 200);
    t.equal(await c.code('subscribe', SM, { resource: o }), 200);
    a.send({ id: 'u', type: 'update', from: ha, to: o });
    t.match(await b.next(() => true), { id: 'u', to: o });
    t.match(await c.next(() => true), { id: 'u', to: o });
    t.equal(await a.code('ping', 'mn:/session'), 200);
    t.equal(a.received.length, 0);
    t.equal(await b.code('unsubscribe', SM, { unsubscribe: [o], source: hb }), 200);
    t.equal(await c.code('unsubscribe', SM, { resource: o }), 200);
    t.equal(await a.code('update', o), 404, 'nobody but the sender is left');
  });

  await t.test('two subscribers of one runtime are one delivery; the runtime stays subscribed until both are gone', async (t) => {
    const o = 'comm://a.example/o2/changes';
    for (const source of [hb, `${B}/sm`]) t.equal(await b.code('subscribe', SM, { resources: [o], source }), 200);
    a.send({ id: 1, type: 'update', from: A, to: o });
    await b.code('unsubscribe', SM, { resources: [o], source: hb });
    a.send({ id: 2, type: 'update', from: A, to: o });
    t.match(await b.next(() => true), { id: 1 });
    t.match(await b.next(() => true), { id: 2 });
    t.equal(await b.code('unsubscribe', SM, { resources: [o] }), 200, 'one that names no subscriber ends what there is');
    t.equal(await a.code('update', o), 404);
    t.equal(b.received.length, 0);
  });

  await t.test('children of a resource are subscribed by name', async (t) => {
    await b.ask('subscribe', SM, { resource: 'comm://a.example/o3', childrenResources: ['message'] });
    a.send({ id: 1, type: 'create', from: A, to: 'comm://a.example/o3/children/message' });
    t.match(await b.next(() => true), { id: 1 });
  });

  await t.test('a list of receivers is delivered to each, each gets its own address', async (t) => {
    a.send({ id: 'm', type: 'create', from: ha, to: [hb, 'hyperty-runtime://a.example/rc/ua', 'hyperty://a.example/nobody'] });
    t.match(await b.next(() => true), { id: 'm', to: hb });
    t.match(await c.next(() => true), { id: 'm', to: 'hyperty-runtime://a.example/rc/ua' });
    t.match(await a.next(() => true), { id: 'm', type: 'response', from: 'hyperty://a.example/nobody', body: { code: 404 } });
  });

  await t.test('what is private can not be listened to: addresses of others, and where their objects are subscribed', async (t) => {
    const [object = ''] = await a.allocate(1, 'connection');
    for (const address of [ha, `${object}/subscription`, `${A}/ua`, A, `${A}/registry/changes`, `${A}/p2prequester/status`]) t.equal(await b.code('subscribe', SM, { resources: [address] }), 403, address);
    for (const address of [`${object}/changes`, `${A}/registration`, `${ha}/registration`]) t.equal(await b.code('subscribe', SM, { resources: [address] }), 200, address);
    t.equal(await a.code('subscribe', SM, { resources: [object, `${object}/subscription`, `${A}/p2phandler/1`], source: `${A}/p2phandler/1` }, `${A}/ua`), 200);
    for (const address of [`${object}/changes`, `${object}/subscription`, `${ha}/x/y`]) t.equal(await b.code('create', ALLOCATION, { value: { addresses: [address] } }), 409, `${address} is below an address of another`);
    t.equal(await a.code('create', ALLOCATION, { value: { addresses: [`${object}/changes`] } }), 200, 'its own');
    t.equal(await b.code('create', REGISTRY, { value: { url: `${ha}/z` } }), 409);
    const [hc = ''] = await c.allocate();
    await c.code('delete', ALLOCATION, { childrenResources: [hc] });
    t.equal(await b.code('subscribe', SM, { resources: [hc] }), 200, 'nobody has it now');
    t.equal(await c.code('create', ALLOCATION, { value: { addresses: [hc] } }), 200);
    a.send({ id: 'p', type: 'create', from: A, to: hc });
    t.match(await c.next(() => true), { id: 'p' });
    t.equal(await b.code('ping', 'mn:/session'), 200);
    t.equal(b.received.length, 0, 'who listened before the owner came does not go on listening');
  });

  await t.test('a sender is its runtime, its addresses, and what is below them; nobody else: 403', async (t) => {
    const [object = ''] = await a.allocate(1, 'connection');
    for (const from of [A, `${A}/sm`, ha, `${ha}/x`, object, `${object}/subscription`]) t.equal(await a.code('ping', SM, undefined, from), 200, from);
    for (const from of [B, `${B}/sm`, hb, 'hyperty://a.example/free', `${A}x`, 'hyperty://other.example/x', 'domain://registry.a.example', 'mn:/session', 'mn:/client']) {
      t.match((await a.ask('create', hb, undefined, from)).body, { code: 403 }, from);
    }
    const dropped = (server.status()['messages'] as { dropped: number }).dropped;
    a.send({ id: 1, type: 'response', from: hb, to: hb, body: { code: 200 } });
    t.equal(await a.code('ping', 'mn:/session'), 200);
    t.equal((server.status()['messages'] as { dropped: number }).dropped, dropped + 1);
    t.equal(b.received.length, 0);
  });

  await t.test('a runtime of another domain sends from its own domain, and gets the answers; nobody takes its addresses', async (t) => {
    const foreign = 'hyperty-runtime://other.example/rf';
    const f = await open(url, foreign);
    const impostor = await open(url, 'hyperty-runtime://other.example/rg');
    const asked = f.ask('create', hb, undefined, 'hyperty://other.example/h');
    const { id } = await b.next(() => true);
    t.equal(await impostor.code('create', hb, undefined, 'hyperty://other.example/h'), 403);
    b.send({ id, type: 'response', from: hb, to: 'hyperty://other.example/h', body: { code: 200 } });
    t.equal((await asked).body?.code, 200);
    for (const from of [ha, 'hyperty://third.example/h', 'hyperty-runtime://other.example/rg', 'domain://registry.other.example']) t.equal(await f.code('create', hb, undefined, from), 403, from);
    t.equal(await f.code('close', 'mn:/session'), 200);
    t.equal(await b.code('create', 'hyperty://other.example/h'), 404);
    await impostor.vanish();
  });

  await t.test('ping to any function of the domain is answered 200', async (t) => {
    for (const to of [ALLOCATION, SM, REGISTRY, 'domain://msg-node.a.example', 'mn:/session']) t.equal(await a.code('ping', to), 200, to);
  });
});

