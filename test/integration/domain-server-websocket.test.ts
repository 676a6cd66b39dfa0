import t from 'tap';
import { cableTo } from '../support/cable.js';
import { DomainClient } from '../support/domain-client.js';
import { startServer } from '../support/domain-server.js';
import { until } from '../support/until.js';

const A = 'hyperty-runtime://a.example/ra';
const B = 'hyperty-runtime://a.example/rb';
const SM = 'domain://msg-node.a.example/sm';

void t.test('open answers 200 with a token, from mn:/session to the runtime, at /ws and at /', async (t) => {
  const { url } = await startServer(t);
  for (const path of ['/ws', '/']) {
    const client = await DomainClient.connect(url, A, path);
    client.send({ id: 1, type: 'OPEN', from: 'runtime://A.example/ra', to: 'mn:/session' });
    const answer = await client.next(() => true);
    t.match(answer, { id: 1, type: 'response', from: 'mn:/session', to: A, body: { code: 200, runtimeToken: /^[\w-]{43}$/ } });
    await client.vanish();
  }
});

void t.test('a connection has one session: another runtime on it is answered 409, the same one again 200', async (t) => {
  const { url } = await startServer(t);
  const client = await DomainClient.open(url, A);
  t.equal(await client.code('open', 'mn:/session', undefined, B), 409);
  t.equal(await client.code('open', 'mn:/session'), 200);
  t.equal(await client.code('ping', 'mn:/session'), 200);
  await client.vanish();
});

void t.test('a connection that opens no session is closed after a while', async (t) => {
  const { url } = await startServer(t, { limits: { openMs: 100 } });
  const open = await DomainClient.open(url, B);
  const idle = await DomainClient.connect(url, A);
  t.match(await idle.closed, { reason: /no session/ });
  t.equal(await open.code('ping', 'mn:/session'), 200);
});

void t.test('a silent peer is dropped after two missed pongs; its session can be resumed', async (t) => {
  const { url, server } = await startServer(t, { keepAliveMs: 60 });
  const silent = await DomainClient.open(url, A);
  const alive = await DomainClient.open(url, B);
  silent.ws.pause();
  await until('the condition holds', () => server.status()['connections'] === 1);
  t.equal(await alive.code('ping', 'mn:/session'), 200, 'one that answers pings stays');
  silent.ws.resume();
  await silent.closed;
  const back = await DomainClient.connect(url, A);
  t.equal(await back.code('re-open', 'mn:/session', undefined, `${A}/${silent.token}`), 200);
});

void t.test('SES-7 MAL-1: a client that vanishes without a word is noticed within seconds while it is sent messages, and what is to be kept is; others stay', async (t) => {
  const { url, server } = await startServer(t);
  const cable = await cableTo(t, url);
  const gone = await DomainClient.open(cable.url, A);
  const [address = ''] = await gone.allocate();
  const [sender, idle, listener] = await Promise.all([B, 'hyperty-runtime://a.example/rc', 'hyperty-runtime://a.example/rd'].map((runtime) => DomainClient.open(url, runtime)));
  let pings = 0;
  idle!.ws.on('ping', () => { pings += 1; });
  cable.cut();
  const since = Date.now();
  const kept = { type: 'create', from: B, to: address, body: { value: 'x', expect: 'receipt', store: true } };
  sender!.send({ ...kept, id: 'lost' });
  let sent = 0;
  await until('the condition holds', () => {
    if (listener!.received.length === sent) sender!.send({ id: sent += 1, type: 'update', from: B, to: `${listener!.runtime}/x` });
    return server.status()['connections'] === 3;
  }, 30_000);
  t.ok(Date.now() - since >= 4900, 'it had its time');
  t.match(await sender!.ask('create', address, kept.body), { body: { code: 202, stored: 'domain' } });
  t.ok(pings <= 1, 'who is sent nothing isn\'t asked');
  for (const client of [idle!, listener!]) t.equal(await client.code('ping', SM), 200);

  const back = await DomainClient.connect(url, A);
  t.equal(await back.code('re-open', 'mn:/session', undefined, `${A}/${gone.token}`), 200);
  t.match(await back.next(() => true), { type: 'create', from: B, body: { value: 'x' } });
});

void t.test('a receiver that reads slowly slows its sender down; one that stops reading is dropped, and others go on', async (t) => {
  const { url, server } = await startServer(t, { limits: { stallMs: 400 } });
  const slow = await DomainClient.open(url, A);
  const sender = await DomainClient.open(url, B);
  const other = await DomainClient.open(url, 'hyperty-runtime://a.example/rc');
  slow.ws.pause();
  const body = { value: 'x'.repeat(512 * 1024) };
  for (let i = 0; i < 40; i += 1) sender.send({ id: i, type: 'create', from: B, to: `${A}/x`, body });
  sender.send({ id: 'end', type: 'ping', from: B, to: SM });
  t.equal(await other.code('ping', SM), 200, 'others are served meanwhile');
  t.ok((server.status()['messages'] as { received: number }).received < 40, 'the sender is not read on');
  await sender.next(({ id }) => id === 'end');
  t.equal(slow.received.length, 0);
  slow.ws.resume();
  await slow.closed;
  const again = await DomainClient.connect(url, A);
  t.equal(await again.code('re-open', 'mn:/session', undefined, `${A}/${slow.token}`), 200, 'its session waits for it');
  const late = await again.next(({ id }) => id === 39);
  t.equal((late.body?.['value'] as string).length, 512 * 1024, 'what came after that waited');
});
