import { connect } from 'node:net';
import t from 'tap';
import { DomainClient, type Frame } from '../support/domain-client.js';
import { startServer } from '../support/domain-server.js';
import { forEachProtocol } from '../support/protocols.js';
import { until } from '../support/until.js';

const A = 'hyperty-runtime://a.example/ra';
const B = 'hyperty-runtime://a.example/rb';
const ALLOCATION = 'domain://msg-node.a.example/address-allocation';
const SM = 'domain://msg-node.a.example/sm';
const REGISTRY = 'domain://registry.a.example';

const nested = (depth: number): string => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
const header = '"id":7,"type":"create","from":"hyperty-runtime://a.example/ra"';

/** Frames that are no messages. */
const BAD: readonly string[] = [
  '', ' ', '{', '{"id":7', 'null', '5', '"text"', '[]', '[{"id":7}]', '{}', '\u0000',
  `{${header}}`, `{${header},"to":5}`, `{${header},"to":[]}`, `{${header},"to":["x"]}`, `{${header},"to":"nonsense"}`, `{${header},"to":"${SM}","body":5}`, `{${header},"to":"${SM}","body":[]}`,
  `{${header},"to":"${SM}","body":{"__proto__":{"x":1}}}`,
  `{${header},"to":"${SM}","body":${nested(5000)}}`,
  `{${header},"to":"${SM}${'/x'.repeat(2000)}"}`,
  `{${header},"to":[${new Array(1001).fill(`"${SM}"`).join(',')}]}`,
  `{"id":{},"type":"create","from":"${A}","to":"${SM}"}`, `{"id":"${'x'.repeat(300)}","type":"create","from":"${A}","to":"${SM}"}`, `{"id":1e999,"type":"create","from":"${A}","to":"${SM}"}`,
  `{"id":7,"type":"explode","from":"${A}","to":"${SM}"}`, `{"id":7,"type":5,"from":"${A}","to":"${SM}"}`, `{"id":7,"type":"create","from":5,"to":"${SM}"}`, `{"id":7,"type":"create","to":"${SM}"}`,
];

void t.test('what is no message is answered 400, with the id where there is one, and the session goes on', async (t) => {
  const { url, server, logged } = await startServer(t);
  const a = await DomainClient.open(url, A);
  const refused = (): number => (server.status()['messages'] as { refused: number }).refused;
  for (const frame of BAD) {
    const before = refused();
    a.send(frame);
    const answer = await a.next(({ type }) => type === 'response');
    t.equal(answer.body?.code, 400, frame.slice(0, 60));
    if (frame.startsWith('{"id":7,')) t.equal(answer.id, 7);
    t.equal(refused(), before + 1);
  }
  a.send(Buffer.from([0xff, 0xfe, 0x00]));
  t.equal((await a.next(() => true)).body?.code, 400, 'bytes that are no text');
  a.send('{"id":7,"type":"response","from":"x"}');
  t.equal(await a.code('ping', SM), 200);
  t.equal(a.received.length, 0, 'a bad response is not answered');
  const unopened = await DomainClient.connect(url, B);
  unopened.send('{');
  t.match(await unopened.next(() => true), { type: 'response', body: { code: 400 } });
  t.same(logged, []);
});

void t.test('frames beyond the largest, and broken framing, cost that connection alone', async (t) => {
  const { url } = await startServer(t);
  const a = await DomainClient.open(url, A);
  const b = await DomainClient.open(url, B);
  a.send(`{${header},"to":"${SM}","body":{"value":"${'x'.repeat(17 * 1024 * 1024)}"}}`);
  t.equal((await a.closed).code, 1009);
  const { hostname, port } = new URL(url);
  for (const bytes of [[0xff, 0xff, 0xff, 0xff], [0x81, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [0x81, 0x05, 0x68], [0x83, 0x80, 0, 0, 0, 0]]) {
    const socket = connect(Number(port), hostname);
    socket.on('error', () => undefined);
    socket.write('GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
    socket.write(Buffer.from(bytes));
    await new Promise((resolve) => { socket.once('data', resolve); });
    socket.destroy();
  }
  t.equal(await b.code('ping', SM), 200);
  const again = await DomainClient.connect(url, A);
  t.equal(await again.code('re-open', 'mn:/session', undefined, `${A}/${a.token}`), 200);
});

forEachProtocol(t, 'functions of the domain answer whatever they are asked', async (t, { open }) => {
  const { url, logged } = await startServer(t);
  const a = await open(url, A);
  const junk: readonly unknown[] = [undefined, null, 0, -1, 1e308, '', 'x', '/', '/a/b', [], {}, [null], [[]], true, 'x'.repeat(5000), A, `${A}/x`, '\ud800', { url: {} }, { number: {} }, { addresses: {} }, { addresses: [null] }, { constructor: 1, toString: 2 }];
  const fields = ['value', 'resource', 'resources', 'subscribe', 'childrenResources', 'criteria', 'attribute', 'scheme', 'source'];
  const pending: Promise<Frame>[] = [];
  for (const to of [ALLOCATION, SM, REGISTRY, 'mn:/session', `${REGISTRY}/x`, `${SM}/x`]) {
    for (const type of ['create', 'read', 'update', 'delete', 'subscribe', 'unsubscribe', 'execute', 'forward']) {
      for (const field of fields) for (const value of junk) pending.push(a.ask(type, to, { [field]: value }));
    }
  }
  const codes = new Set((await Promise.all(pending)).map(({ body }) => body?.code));
  t.same([...codes].filter((code) => code === undefined || code >= 500), []);
  t.same(logged, []);
  t.equal(await a.code('ping', SM), 200);
});

forEachProtocol(t, 'tokens are not guessed', async (t, { connect, open }) => {
  const { url } = await startServer(t);
  const a = await open(url, A);
  const thief = await connect(url, A);
  const guesses = [A, `${A}/`, `${A}/x`, `${A}/${a.token.slice(1)}`, `${A}/${a.token.toLowerCase()}`, `${B}/${a.token}`, `${A}/x/${a.token}`, `hyperty://a.example/ra/${a.token}`, ...Array.from({ length: 200 }, (_, i) => `${A}/${Buffer.alloc(32, i).toString('base64url')}`)];
  for (const from of guesses) t.equal(await thief.code('re-open', 'mn:/session', undefined, from), 401, from);
  t.equal(await a.code('ping', SM), 200, 'the session is not disturbed');
});

void t.test('there is an end to what one session and all together may keep here: 429', async (t) => {
  const { url, server } = await startServer(t, { limits: { sessions: 3, connections: 6, subscriptionsPerSession: 50, subscriptions: 80, allocations: 30 } });
  const [a, b] = await Promise.all([DomainClient.open(url, A), DomainClient.open(url, B)]);
  const addresses = (n: number): string[] => Array.from({ length: n }, (_, i) => `comm://a.example/${String(i)}/changes`);
  t.equal(await a.code('subscribe', SM, { resources: addresses(51) }), 429);
  t.equal(await a.code('subscribe', SM, { resources: addresses(50) }), 200);
  t.equal(await a.code('subscribe', SM, { resources: addresses(50) }), 200, 'the same again is no more');
  t.equal(await b.code('subscribe', SM, { resources: addresses(31) }), 429);
  t.equal(await a.code('create', ALLOCATION, { value: { number: 20 } }), 200);
  t.equal(await b.code('create', ALLOCATION, { value: { number: 20 } }), 429);
  await DomainClient.open(url, `${A}3`);
  const fourth = await DomainClient.connect(url, `${A}4`);
  t.equal(await fourth.code('open', 'mn:/session'), 429);
  await until('the condition holds', () => server.status()['connections'] === 4);
  await DomainClient.connect(url, A);
  await DomainClient.connect(url, A);
  const seventh = await DomainClient.connect(url, A).catch(() => undefined);
  if (seventh !== undefined) t.equal((await seventh.closed).code, 1013);
  t.equal(await a.code('ping', SM), 200);
});

forEachProtocol(t, 'thousands of sessions that open and vanish are gone when their time is up, while others go on', async (t, { name, open }) => {
  // The clients live in the server's process: while a hundred connect, the steady one is slow.
  const { url, server, store } = await startServer(t, { rest: { idleMs: 3000 }, sessionTtlMs: 1500 });
  const steady = await open(url, B);
  let most = 0;
  for (let round = 0; round < (name === 'WebSocket' ? 50 : 10); round += 1) {
    const clients = await Promise.all(Array.from({ length: 100 }, (_, i) => open(url, `${A}-${String(round)}-${String(i)}`)));
    most = Math.max(most, Number(server.status()['sessions']));
    for (const client of clients) void client.vanish();
    if (round % 10 === 0) t.equal(await steady.code('ping', SM), 200);
  }
  t.ok(most > 100);
  await until('the condition holds', () => server.status()['sessions'] === 1, 60_000);
  await until('the condition holds', () => store.collection('sessions').count() === 1, 60_000);
  t.match(server.status(), { connections: 1, addresses: 0, subscriptions: 0 });
  t.equal(await steady.code('ping', SM), 200);
});
