import t from 'tap';
import type { Frame } from '../support/domain-client.js';
import { startServer } from '../support/domain-server.js';
import { forEachProtocol, SOON_AWAY } from '../support/protocols.js';
import { until } from '../support/until.js';

const A = 'hyperty-runtime://a.example/ra';
const B = 'hyperty-runtime://a.example/rb';
const SM = 'domain://msg-node.a.example/sm';
const REGISTRY = 'domain://registry.a.example';
const BOB = 'user://a.example/bob';

const isStatus = (frame: Frame): boolean => frame.type === 'update' && frame.from === REGISTRY;

forEachProtocol(t, 'a record is registered, read, found, changed, and only its runtime may change it', async (t, { open }) => {
  const { url } = await startServer(t);
  const a = await open(url, A);
  const b = await open(url, B);
  const [chat = '', photos = ''] = await a.allocate(2);
  const record = {
    url: chat, descriptor: 'hyperty-catalogue://catalogue.a.example/.well-known/hyperty/Chat', user: BOB, guid: 'user-guid://Gg', name: 'chat', runtime: A,
    p2pHandler: `${A}/p2phandler/1`, p2pRequester: 'hyperty-catalogue://catalogue.a.example/.well-known/protocolstub/p2p-requester',
    dataSchemes: ['comm'], resources: ['chat', 'text'], status: 'live', expires: 100, extra: { kept: true }, lastModified: 'never', startingTime: 'never',
  };
  t.match(await a.ask('create', REGISTRY, { value: record }), { from: REGISTRY, to: A, body: { code: 200 } });
  const registered = (await b.ask('read', REGISTRY, { resource: chat })).body;
  t.match(registered, { code: 200, value: { ...record, lastModified: /^\d{4}-.*Z$/, startingTime: /^\d{4}-.*Z$/ } });

  await t.test('reading by address, however it is written', async (t) => {
    const id = chat.slice('hyperty://a.example/'.length);
    for (const resource of [chat, chat.replace('hyperty://a.example', 'HYPERTY://A.Example'), `/hyperty/${chat}`, `/hyperty/${id}`]) {
      t.match((await b.ask('read', REGISTRY, { resource })).body, { code: 200, value: { url: chat } }, resource);
    }
    for (const resource of [photos, '/hyperty/nobody', '/comm/nobody', BOB.replace('bob', 'eve'), '/hyperty/name/nobody']) t.equal(await b.code('read', REGISTRY, { resource }), 404, resource);
    for (const body of [undefined, {}, { resource: 5 }, { resource: 'nonsense' }, { resource: '' }, { resource: BOB, criteria: 'x' }]) t.equal(await b.code('read', REGISTRY, body), 400, JSON.stringify(body));
    t.equal(await b.code('execute', REGISTRY, { resource: chat }), 400);
  });

  await t.test('searching by user, guid, name and runtime, with criteria: an object keyed by url', async (t) => {
    t.equal(await a.code('create', REGISTRY, { value: { url: photos, user: BOB, name: 'photos', resources: ['photo'], dataSchemes: ['comm', 'ctxt'] } }), 200, 'the runtime is the session\'s where none is given');
    const [object = ''] = await a.allocate(1, 'comm');
    await a.ask('create', REGISTRY, { value: { url: object, runtime: A, user: BOB, name: 'room' } });
    const found = async (resource: string, criteria?: unknown): Promise<string[]> => {
      const { body } = await b.ask('read', REGISTRY, { resource, ...(criteria === undefined ? {} : { criteria }) });
      return body?.code === 200 ? Object.entries(body['value'] as Record<string, { url: string }>).map(([key, { url }]) => (key === url ? key : '?')).sort() : [`${String(body?.code)}`];
    };
    t.same(await found(BOB), [chat, photos, object].sort());
    t.same(await found('user-guid://Gg'), [chat]);
    t.same(await found(`/hyperty/user/${BOB}`), [chat, photos].sort());
    t.same(await found(`/comm/user/${BOB}`), [object]);
    t.same(await found('/hyperty/name/chat'), [chat]);
    t.same(await found('/hyperty/name/room'), ['404'], 'of another scheme');
    t.same(await found(`/hyperty/user/${BOB}`, { resources: ['photo'] }), [photos]);
    t.same(await found(`/hyperty/user/${BOB}`, { resources: ['text', 'chat'] }), [chat]);
    t.same(await found(BOB, { dataSchemes: ['comm'] }), [chat, photos].sort());
    t.same(await found(BOB, { name: 'photos', dataSchemes: ['ctxt'] }), [photos]);
    t.same(await found(BOB, { resources: ['nothing'] }), ['404']);
    t.same(await found(A), [chat, photos, object].sort());
    t.equal(await a.code('delete', REGISTRY, { resource: object }), 200);
    t.same(await found(`/comm/user/${BOB}`), ['404']);
  });

  await t.test('only the runtime that registered may replace or change: 409, 403', async (t) => {
    t.equal(await b.code('create', REGISTRY, { value: { ...record, runtime: B } }), 409);
    t.equal(await b.code('create', REGISTRY, { value: record }), 403, 'for another runtime');
    t.equal(await b.code('update', REGISTRY, { resource: chat, attribute: 'status', value: 'disconnected' }), 403);
    t.equal(await b.code('update', REGISTRY, { resource: chat }), 403);
    t.equal(await b.code('delete', REGISTRY, { resource: chat }), 403);
    t.equal(await a.code('update', REGISTRY, { resource: 'hyperty://a.example/nobody' }), 404);
    t.equal(await a.code('create', REGISTRY, { value: { ...record, name: 'talk' } }), 200);
    const { value } = (await b.ask('read', REGISTRY, { resource: chat })).body as { value: { name: string; startingTime: string } };
    t.equal(value.name, 'talk');
    t.equal(value.startingTime, (registered?.['value'] as { startingTime: string }).startingTime);
    t.equal(await b.code('read', REGISTRY, { resource: '/hyperty/name/chat' }), 404, 'the old name finds nothing');
  });

  await t.test('bad records are answered 400, huge ones 413, addresses of others 403 or 409', async (t) => {
    const [free = ''] = await a.allocate();
    const [others = ''] = await b.allocate();
    for (const value of [undefined, 5, [], {}, { url: 'x' }, { url: free, status: 'asleep' }, { url: free, expires: -1 }, { url: free, resources: 'all' }, { url: free, user: 'bob' }, { url: 'hyperty://other.example/x' }, { url: REGISTRY }]) {
      t.equal(await a.code('create', REGISTRY, { value }), 400, JSON.stringify(value));
    }
    t.equal(await a.code('create', REGISTRY, { value: { url: free, extra: 'x'.repeat(100_000) } }), 413);
    t.equal(await a.code('create', REGISTRY, { value: { url: others } }), 409, 'allocated to another');
    t.equal(await a.code('create', REGISTRY, { value: { url: `${B}/x` } }), 403);
    t.equal(await a.code('create', REGISTRY, { value: { url: 'hyperty://a.example/of-old' } }), 200, 'one that nobody has is allocated with it');
    b.send({ id: 1, type: 'create', from: B, to: 'hyperty://a.example/of-old' });
    t.match(await a.next(() => true), { id: 1 });
    for (const body of [{ resource: chat, attribute: 'status', value: 'asleep' }, { resource: chat, attribute: 'runtime', value: B }, { resource: chat, value: 5 }, { resource: chat, attribute: 5 }]) {
      t.equal(await a.code('update', REGISTRY, body), 400, JSON.stringify(body));
    }
    t.equal(await a.code('update', REGISTRY, { resource: chat, value: { runtime: B, url: others, name: 'chat' } }), 200, 'what never changes is left out');
    t.match((await b.ask('read', REGISTRY, { resource: chat })).body, { value: { url: chat, runtime: A, name: 'chat' } });
  });
});

forEachProtocol(t, 'status changes are published to <url>/registration; disconnected records are answered 408', async (t, { open }) => {
  const { url, server } = await startServer(t, { ...SOON_AWAY, sessionTtlMs: 200 });
  const a = await open(url, A);
  const b = await open(url, B);
  const [chat = ''] = await a.allocate();
  t.equal(await b.code('subscribe', SM, { resources: [`${chat}/registration`] }), 200);
  t.equal(await a.code('create', REGISTRY, { value: { url: chat, user: BOB, name: 'chat' } }), 200);
  t.match(await b.next(isStatus), { to: `${chat}/registration`, body: { attribute: 'status', value: 'live' } });
  await a.ask('update', REGISTRY, { resource: chat });
  await a.ask('update', REGISTRY, { resource: chat, attribute: 'status', value: 'disconnected' });
  t.match(await b.next(isStatus), { body: { value: 'disconnected' } }, 'keeping alive was no change');
  t.match((await b.ask('read', REGISTRY, { resource: chat })).body, { code: 408, value: { url: chat, status: 'disconnected' } });
  t.match((await b.ask('read', REGISTRY, { resource: BOB })).body, { code: 408, value: { [chat]: { status: 'disconnected' } } });
  const [second = ''] = await a.allocate();
  await a.ask('create', REGISTRY, { value: { url: second, user: BOB } });
  t.same(Object.keys((await b.ask('read', REGISTRY, { resource: BOB })).body?.['value'] as object), [second], 'with live ones there, only those');
  t.equal(await a.code('update', REGISTRY, { resource: `/hyperty/${chat}`, value: { status: 'live' } }), 200);
  t.match(await b.next(isStatus), { body: { value: 'live' } });

  await a.vanish();
  t.match(await b.next(isStatus), { to: `${chat}/registration`, body: { value: 'disconnected' } }, 'when the session has waited for too long');
  t.equal(await b.code('read', REGISTRY, { resource: BOB }), 408);
  const back = await open(url, A);
  t.equal(await back.code('create', REGISTRY, { value: { url: chat, user: BOB } }), 200);
  t.match(await b.next(isStatus), { body: { value: 'live' } }, 'registering again makes it live');
  t.equal(await back.code('close', 'mn:/session'), 200);
  t.match(await b.next(isStatus), { body: { value: 'disconnected' } }, 'when the session is closed');
  const again = await open(url, A);
  await again.ask('create', REGISTRY, { value: { url: chat } });
  await b.next(isStatus);
  t.equal(await again.code('update', REGISTRY, { resource: chat, value: { status: 'dead' } }), 200);
  t.match(await b.next(isStatus), { body: { value: 'disconnected' } });
  t.equal(await b.code('read', REGISTRY, { resource: chat }), 404, 'a dead one is not there');
  t.equal(server.status()['hyperties'], 2);
});

forEachProtocol(t, 'a record that is not kept alive turns disconnected, and is removed later', async (t, { open }) => {
  const { url, server } = await startServer(t, { keepDisconnectedMs: 150 });
  const a = await open(url, A);
  const b = await open(url, B);
  const [short = '', kept = ''] = await a.allocate(2);
  await b.ask('subscribe', SM, { resources: [`${short}/registration`, `${kept}/registration`] });
  await a.ask('create', REGISTRY, { value: { url: short, expires: 0.25 } });
  await a.ask('create', REGISTRY, { value: { url: kept, expires: 1000 } });
  t.match(await b.next((frame) => isStatus(frame) && frame.body?.['value'] === 'disconnected'), { to: `${short}/registration` });
  await until('the condition holds', () => server.status()['hyperties'] === 1);
  t.equal(await b.code('read', REGISTRY, { resource: short }), 404);
  t.equal(await b.code('read', REGISTRY, { resource: kept }), 200);
});

forEachProtocol(t, 'REG-6: a search with many results is answered in pages', async (t, { open }) => {
  const { url } = await startServer(t);
  const a = await open(url, A);
  const urls = Array.from({ length: 1050 }, (_, i) => `${A}/${String(i)}`);
  for (const record of urls) await a.ask('create', REGISTRY, { value: { url: record, name: record.endsWith('7') ? 'seven' : 'other' } });
  for (const [resource, criteria, wanted] of [[A, {}, urls], ['/hyperty-runtime', {}, urls], [A, { name: 'seven' }, urls.filter((record) => record.endsWith('7'))]] as const) {
    const found: string[] = [];
    let pages = 0;
    for (let after: unknown; pages === 0 || after !== undefined; pages += 1) {
      const { body } = await a.ask('read', REGISTRY, { resource, criteria, ...(after === undefined ? {} : { after }) });
      t.equal(body?.code, 200);
      found.push(...Object.keys(body?.['value'] as object));
      t.equal(body?.['more'], body?.['next'] === undefined ? undefined : true);
      after = body?.['next'];
    }
    t.equal(pages, wanted.length > 1000 ? 2 : 1);
    t.same(found.sort(), [...wanted].sort(), 'each once');
  }
  t.equal(await a.code('read', REGISTRY, { resource: A, after: 5 }), 400);
  t.equal(await a.code('read', REGISTRY, { resource: A, after: 'nonsense' }), 400);
});
