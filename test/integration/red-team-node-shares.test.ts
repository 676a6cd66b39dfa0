import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { DomainClient } from '../support/domain-client.js';
import { memoryStore } from '../../src/store/memory/index.js';
import { startServer } from '../support/domain-server.js';

const A = 'hyperty-runtime://a.example/a';
const B = 'hyperty-runtime://a.example/b';
const REGISTRY = 'domain://registry.a.example/';
/** Has loopback addresses treated as those of other machines are. */
const shares = { ofLoopback: 0.25 };

type Send = (type: string, to: string, body?: unknown) => Promise<number>;

/** Connects from a loopback address. @returns a function that sends a request and returns the code of its answer */
const connectFrom = async (t: Test, url: string, localAddress: string, runtime: string): Promise<Send> => {
  const ws = new WebSocket(url.replace(/^http/, 'ws'), { localAddress });
  t.teardown(() => { ws.terminate(); });
  await new Promise((resolve, reject) => { ws.once('open', resolve).once('error', reject); });
  let last = 0;
  return (type, to, body) => new Promise((resolve) => {
    ws.once('message', (data: Buffer) => { resolve((JSON.parse(data.toString()) as { body: { code: number } }).body.code); });
    ws.send(JSON.stringify({ id: (last += 1), type, from: runtime, to, body }));
  });
};

const enterFrom = async (t: Test, url: string, localAddress: string, runtime: string): Promise<Send> => {
  const send = await connectFrom(t, url, localAddress, runtime);
  t.equal(await send('open', 'mn:/session'), 200);
  return send;
};

t.test('SES-18: one remote address can\'t take all sessions or addresses', async (t) => {
  const { url, server } = await startServer(t, { shares, limits: { sessions: 20, allocations: 100 } });
  const codes: number[] = [];
  for (let i = 0; i < 8; i += 1) codes.push(await (await connectFrom(t, url, '127.0.0.2', `${A}${String(i)}`))('open', 'mn:/session'));
  t.same(codes, [200, 200, 200, 200, 200, 429, 429, 429]);
  const other = await connectFrom(t, url, '127.0.0.3', B);
  t.equal(await other('open', 'mn:/session'), 200);
  const greedy = await connectFrom(t, url, '127.0.0.2', `${A}0`);
  t.equal(await greedy('open', 'mn:/session'), 200, 'its own session again');
  const allocate = (number: number): [string, string, unknown] => ['create', 'domain://msg-node.a.example/address-allocation', { value: { number } }];
  t.same([await greedy(...allocate(20)), await greedy(...allocate(20)), await greedy(...allocate(5))], [200, 429, 200]);
  t.equal(await other(...allocate(25)), 200);
  t.match(server.status(), { refused: { sessions: 3, addresses: 1 } });
  t.equal(await greedy('close', 'mn:/session'), 200);
  t.equal(await (await connectFrom(t, url, '127.0.0.2', `${A}9`))('open', 'mn:/session'), 200, 'there is room again');
});

t.test('SES-18: programs of this machine share the whole', async (t) => {
  const { url } = await startServer(t, { limits: { sessions: 8 } });
  for (let i = 0; i < 8; i += 1) await DomainClient.open(url, `${A}${String(i)}`);
});

t.test('REG-1: a record is live for a week at most', async (t) => {
  const { url } = await startServer(t);
  const a = await DomainClient.open(url, A);
  t.equal(await a.code('create', REGISTRY, { value: { url: A, expires: 1e9 } }), 200);
  t.match((await a.ask('read', REGISTRY, { resource: A })).body?.['value'], { [A]: { expires: 604_800 } });
});

t.test('REG-9: neither a runtime nor a remote address can fill the registry, also not over a restart', async (t) => {
  const store = memoryStore();
  const init = { shares, registry: { perRuntime: 20, records: 100 } };
  const { url, server } = await startServer(t, init, store);
  const register = (send: Send, runtime: string, i: number): Promise<number> => send('create', REGISTRY, { value: { url: `${runtime}/${String(i)}` } });
  const a = await enterFrom(t, url, '127.0.0.2', A);
  for (let i = 0; i < 20; i += 1) t.equal(await register(a, A, i), 200);
  t.equal(await register(a, A, 20), 429, 'a runtime has its limit');
  t.equal(await register(a, A, 3), 200, 'a record that is there can be written again');
  t.equal(await a('update', REGISTRY, { resource: `${A}/3`, value: { status: 'disconnected' } }), 200);
  t.equal(await register(a, A, 20), 200, 'a disconnected record gives way');
  const another = await enterFrom(t, url, '127.0.0.2', `${A}2`);
  for (let i = 0; i < 5; i += 1) t.equal(await register(another, `${A}2`, i), 200);
  t.equal(await register(another, `${A}2`, 5), 429, 'all runtimes of an address share its part');
  t.match(server.status(), { hyperties: 25, refused: { records: 2 } });
  await server.close();
  const next = await startServer(t, init, store);
  const again = await enterFrom(t, next.url, '127.0.0.2', `${A}3`);
  t.equal(await register(again, `${A}3`, 0), 429, 'a restart forgets nothing');
  t.equal(await register(await enterFrom(t, next.url, '127.0.0.3', B), B, 0), 200);
  const back = await enterFrom(t, next.url, '127.0.0.2', A);
  t.equal(await back('delete', REGISTRY, { resource: `${A}/0` }), 200);
  t.equal(await register(again, `${A}3`, 0), 200, 'there is room again');
});

t.test('MAL-4: one remote address can fill neither somebody\'s mail nor the domain\'s', async (t) => {
  const { url, server } = await startServer(t, { shares, mail: { perReceiver: 8, messages: 20 } });
  const receivers = ['x', 'y', 'z'].map((name) => `hyperty://a.example/${name}`);
  const away = await enterFrom(t, url, '127.0.0.9', `${B}away`);
  for (const receiver of receivers) t.equal(await away('create', REGISTRY, { value: { url: receiver } }), 200);
  t.equal(await away('close', 'mn:/session'), 200);
  const mail = (send: Send, to: string): Promise<number> => send('create', to, { value: 'x', expect: 'receipt', store: true });
  const [one, two] = [await enterFrom(t, url, '127.0.0.2', A), await enterFrom(t, url, '127.0.0.2', `${A}2`)];
  t.same([await mail(one, receivers[0]!), await mail(two, receivers[0]!), await mail(two, receivers[0]!)], [202, 202, 507]);
  const other = await enterFrom(t, url, '127.0.0.3', B);
  t.equal(await mail(other, receivers[0]!), 202);
  t.same([await mail(one, receivers[1]!), await mail(two, receivers[1]!), await mail(two, receivers[2]!), await mail(two, receivers[2]!)], [202, 202, 202, 507]);
  t.equal(await mail(other, receivers[2]!), 202);
  t.match(server.status(), { refused: { mail: 2 }, mailbox: { messages: 7 } });
});

t.test('SES-18: one remote address can\'t take all subscriptions', async (t) => {
  const { url, server } = await startServer(t, { shares, limits: { subscriptions: 8 } });
  const subscribe = (send: Send, name: string): Promise<number> => send('subscribe', 'domain://msg-node.a.example/sm', { resources: [`connection://a.example/${name}/changes`] });
  const [one, two] = [await enterFrom(t, url, '127.0.0.2', A), await enterFrom(t, url, '127.0.0.2', `${A}2`)];
  t.same([await subscribe(one, '1'), await subscribe(two, '2'), await subscribe(two, '3')], [200, 200, 429]);
  t.equal(await subscribe(await enterFrom(t, url, '127.0.0.3', B), '4'), 200);
  t.match(server.status(), { refused: { subscriptions: 1 } });
});

t.test('SES-18: an address that is released many times at once is released once', async (t) => {
  const { url } = await startServer(t, { shares, limits: { allocations: 40 } });
  const one = await enterFrom(t, url, '127.0.0.2', A);
  const allocation = 'domain://msg-node.a.example/address-allocation';
  const own = 'hyperty://a.example/own';
  t.equal(await one('create', REGISTRY, { value: { url: own } }), 200);
  t.equal(await one('create', allocation, { value: { number: 9 } }), 200);
  t.equal(await one('delete', allocation, { resource: own, childrenResources: Array.from({ length: 100 }, () => own) }), 200);
  t.equal(await one('create', allocation, { value: { number: 1 } }), 200);
  t.equal(await one('create', allocation, { value: { number: 1 } }), 429);
});

t.test('SES-18: a session that moves to an address without room counts where it was', async (t) => {
  const { url } = await startServer(t, { shares, limits: { sessions: 8 } });
  for (let i = 0; i < 2; i += 1) await enterFrom(t, url, '127.0.0.2', `${A}${String(i)}`);
  for (let i = 0; i < 2; i += 1) await enterFrom(t, url, '127.0.0.3', `${B}${String(i)}`);
  t.equal(await (await connectFrom(t, url, '127.0.0.3', `${A}0`))('open', 'mn:/session'), 200, 'the session of another address');
  t.equal(await (await connectFrom(t, url, '127.0.0.2', `${A}2`))('open', 'mn:/session'), 429);
});
