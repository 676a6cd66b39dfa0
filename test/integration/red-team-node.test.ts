import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { DomainClient } from '../support/domain-client.js';
import { startServer } from '../support/domain-server.js';
import { until } from '../support/until.js';

const A = 'hyperty-runtime://a.example/a';
const B = 'hyperty-runtime://a.example/b';
const MIB = 1024 * 1024;

/** Returns the CPU time that this process, server included, uses while something is done, in milliseconds. */
const cpuOf = async (act: () => Promise<void>): Promise<number> => {
  const before = process.cpuUsage();
  await act();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
};

/** Asks for an answer once the server has handled all that came before. */
const rest = (url: string, token: string | undefined, body: string): Promise<Response> =>
  fetch(`${url}/rest/${token === undefined ? 'session' : 'messages'}`, { method: 'POST', body, ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }) });

const restSession = async (url: string, runtime: string): Promise<string> => {
  const answer = await (await rest(url, undefined, JSON.stringify({ id: 1, type: 'open', from: runtime, to: 'mn:/session' }))).json() as { body: { runtimeToken: string } };
  return answer.body.runtimeToken;
};

const HEADER = `"id":7,"type":"create","from":"${A}","to":"${B}"`;
const TRAPS: readonly (readonly [string, string])[] = [
  ['16 MB of [', '['.repeat(16e6)],
  ['a body that nests 4 million deep', `{${HEADER},"body":{"value":${'['.repeat(4e6)}${']'.repeat(4e6)}}}`],
  ['a body with 1.3 million keys', `{${HEADER},"body":{${Array.from({ length: 1.3e6 }, (_, i) => `"k${String(i)}":1`).join(',')}}}`],
  ['a body with 5 million objects', `{${HEADER},"body":{"value":[${'{},'.repeat(5e6)}1]}}`],
];

for (const [title, trap] of TRAPS) {
  t.test(`MSG-9: ${title} costs a member little, over WebSocket`, async (t) => {
    const { url } = await startServer(t);
    const client = await DomainClient.open(url, A);
    const used = await cpuOf(async () => {
      client.send(trap);
      const answer = await client.next(({ type }) => type === 'response');
      t.ok([400, 413].includes(Number(answer.body?.code)), String(answer.body?.code));
    });
    t.ok(used < 1500, `${String(Math.round(used))} ms of CPU`);
    t.equal(await client.code('ping', 'mn:/session'), 200);
  });

  t.test(`MSG-9: ${title} costs a member little, over REST`, async (t) => {
    const { url } = await startServer(t);
    const token = await restSession(url, A);
    const used = await cpuOf(async () => {
      const { status } = await rest(url, token, trap);
      t.ok([400, 413].includes(status), String(status));
    });
    t.ok(used < 1500, `${String(Math.round(used))} ms of CPU`);
  });
}

t.test('MSG-9: a message that is refused unread is answered by its header', async (t) => {
  const { url } = await startServer(t);
  const client = await DomainClient.open(url, A);
  client.send(`{${HEADER},"body":{"value":${'['.repeat(1e6)}${']'.repeat(1e6)}}}`);
  t.match(await client.next(({ type }) => type === 'response'), { id: 7, to: A, body: { code: 400 } });
});

t.test('SES-14: before a session is open, frames are small', async (t) => {
  const { url } = await startServer(t);
  const stranger = await DomainClient.connect(url, A);
  stranger.send(`{"id":1,"type":"open","from":"${A}","to":"mn:/session","body":{"value":"${'x'.repeat(20_000)}"}}`);
  t.match(await stranger.next(() => true), { body: { code: 413, error: 'E_TOO_LARGE' } });
  t.equal(await stranger.code('open', 'mn:/session'), 200);
  t.equal(await stranger.code('create', 'domain://registry.a.example/', { value: { url: A, note: 'x'.repeat(20_000) } }), 200);
});

t.test('SES-14: before a session is open, few bytes are taken', async (t) => {
  const { url } = await startServer(t);
  const stranger = await DomainClient.connect(url, A);
  const used = await cpuOf(async () => {
    stranger.send('['.repeat(16e6));
    await stranger.closed;
  });
  t.ok(used < 1500, `${String(Math.round(used))} ms of CPU`);
  t.match(await (await rest(url, undefined, `{"id":1,"type":"open","from":"${A}","to":"mn:/session","body":{"value":"${'x'.repeat(20_000)}"}}`)).json(), { error: 'E_TOO_LARGE' });
});

/** The time until all messages have arrived, in milliseconds. */
const timeToPass = async (t: Test, count: number, bytesPerSecond: number): Promise<number> => {
  const { url } = await startServer(t, { limits: { bytesPerSecond } });
  const a = await DomainClient.open(url, A);
  const b = await DomainClient.open(url, B);
  const value = 'x'.repeat(MIB / 4);
  const start = performance.now();
  for (let i = 0; i < count; i += 1) a.send({ id: i, type: 'create', from: A, to: B, body: { value } });
  await until('all have arrived', () => b.received.length === count);
  return performance.now() - start;
};

t.test('SES-15: a connection is read no faster than its byte rate, and stays', async (t) => {
  // The first MiB passes at once. Each quarter after that waits for the one before: 750 ms in all.
  t.ok(await timeToPass(t, 8, MIB) > 700);
});

t.test('SES-15: invalid frames are slowed, too', async (t) => {
  const { url, server } = await startServer(t, { limits: { bytesPerSecond: MIB } });
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  t.teardown(() => socket.destroy());
  const a = await DomainClient.open(url, A);
  const start = performance.now();
  for (let i = 0; i < 32; i += 1) a.send('{');
  await until('all were refused', () => (server.status()['messages'] as { refused: number }).refused === 32);
  t.ok(performance.now() - start > 500);
  t.equal(await a.code('ping', 'mn:/session'), 200);
});

t.test('NOD-3: a message costs what it weighs times its receivers, and more than 64 MiB is refused', async (t) => {
  const { url } = await startServer(t);
  const a = await DomainClient.open(url, A);
  const b = await DomainClient.open(url, B);
  const addresses = await b.allocate(1000);
  const used = await cpuOf(async () => {
    const answer = await a.ask('create', addresses, { value: 'x'.repeat(MIB) });
    t.match(answer.body, { code: 413, error: 'E_TOO_LARGE', hint: /fewer/ });
  });
  t.ok(used < 1000, `${String(Math.round(used))} ms of CPU`);
  t.equal(b.received.length, 0);
  a.send({ id: 1, type: 'create', from: A, to: addresses, body: { value: 'x'.repeat(MIB / 32) } });
  await until('each has its own', () => b.received.length === 1000);
  t.same(b.received.map(({ to }) => to), addresses);
  t.match(b.received[999], { id: 1, type: 'create', from: A, body: { value: /^x+$/ } });
});

t.test('NOD-3: so does a publication to many subscribers', async (t) => {
  const { url } = await startServer(t, { limits: { copiedBytes: MIB } });
  const a = await DomainClient.open(url, A);
  const changes = 'connection://a.example/object/changes';
  const readers = await Promise.all(Array.from({ length: 20 }, (_, i) => DomainClient.open(url, `${B}${String(i)}`)));
  for (const reader of readers) t.equal(await reader.code('subscribe', 'domain://msg-node.a.example/sm', { resources: [changes] }), 200);
  t.equal(await a.code('update', changes, { value: 'x'.repeat(100_000) }), 413);
  a.send({ id: 1, type: 'update', from: A, to: changes, body: { value: 'x'.repeat(10_000) } });
  for (const reader of readers) t.match(await reader.next(() => true), { id: 1 });
});

t.test('SES-15: copies count for the pace of their sender', async (t) => {
  const { url } = await startServer(t, { limits: { bytesPerSecond: MIB } });
  const a = await DomainClient.open(url, A);
  const b = await DomainClient.open(url, B);
  const addresses = await b.allocate(50);
  a.send({ id: 1, type: 'create', from: A, to: addresses, body: { value: 'x'.repeat(MIB / 20) } });
  const start = performance.now();
  t.equal(await a.code('ping', 'mn:/session'), 200);
  t.ok(performance.now() - start > 700);
});
