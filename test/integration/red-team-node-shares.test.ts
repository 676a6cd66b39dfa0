import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { DomainClient } from '../support/domain-client.js';
import { startServer } from '../support/domain-server.js';

const A = 'hyperty-runtime://a.example/a';
const B = 'hyperty-runtime://a.example/b';
const REGISTRY = 'domain://registry.a.example/';
/** Has loopback addresses treated as those of other machines are. */
const shares = { ofLoopback: 0.25 };

/** Opens a session from a loopback address. @returns the code of the answer, and what sends further requests */
const openFrom = async (t: Test, url: string, localAddress: string, runtime: string): Promise<(type: string, to: string, body?: unknown) => Promise<number>> => {
  const ws = new WebSocket(url.replace(/^http/, 'ws'), { localAddress });
  t.teardown(() => { ws.terminate(); });
  await new Promise((resolve, reject) => { ws.once('open', resolve).once('error', reject); });
  return (type, to, body) => new Promise((resolve) => {
    ws.once('message', (data: Buffer) => { resolve((JSON.parse(data.toString()) as { body: { code: number } }).body.code); });
    ws.send(JSON.stringify({ id: 1, type, from: runtime, to, body }));
  });
};

t.test('SES-18: one remote address can\'t take all sessions or addresses', async (t) => {
  const { url, server } = await startServer(t, { shares, limits: { sessions: 20, allocations: 100 } });
  const codes: number[] = [];
  for (let i = 0; i < 8; i += 1) codes.push(await (await openFrom(t, url, '127.0.0.2', `${A}${String(i)}`))('open', 'mn:/session'));
  t.same(codes, [200, 200, 200, 200, 200, 429, 429, 429]);
  const other = await openFrom(t, url, '127.0.0.3', B);
  t.equal(await other('open', 'mn:/session'), 200);
  const greedy = await openFrom(t, url, '127.0.0.2', `${A}0`);
  t.equal(await greedy('open', 'mn:/session'), 200, 'its own session again');
  const allocate = (number: number): [string, string, unknown] => ['create', 'domain://msg-node.a.example/address-allocation', { value: { number } }];
  t.same([await greedy(...allocate(20)), await greedy(...allocate(20)), await greedy(...allocate(5))], [200, 429, 200]);
  t.equal(await other(...allocate(25)), 200);
  t.match(server.status(), { refused: { sessions: 3, addresses: 1 } });
  t.equal(await greedy('close', 'mn:/session'), 200);
  t.equal(await (await openFrom(t, url, '127.0.0.2', `${A}9`))('open', 'mn:/session'), 200, 'there is room again');
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
