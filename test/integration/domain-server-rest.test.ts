import t, { type Test } from 'tap';
import { cableTo } from '../support/cable.js';
import { DomainClient, type Frame } from '../support/domain-client.js';
import { startServer } from '../support/domain-server.js';
import { eventsOf, RestClient } from '../support/rest-client.js';
import { until } from '../support/until.js';

const A = 'hyperty-runtime://a.example/ra';
const B = 'hyperty-runtime://a.example/rb';
const SM = 'domain://msg-node.a.example/sm';

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly cursor: number;
}

/** Sends single requests by hand. */
const restOf = (url: string): {
  request(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>;
  session(type: string, from: string, token?: string): Promise<{ status: number; body: Frame }>;
  open(runtime: string): Promise<string>;
} => {
  const request = async (method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> => {
    const response = await fetch(`${url}/rest${path}`, { method, headers, ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }) });
    const text = await response.text();
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text), cursor: Number(response.headers.get('protofly-cursor')) };
  };
  const session = async (type: string, from: string, token?: string): Promise<{ status: number; body: Frame }> => {
    const { status, body } = await request('POST', '/session', { id: 1, type, from, to: 'mn:/session' }, token === undefined ? {} : auth(token));
    return { status, body: body as Frame };
  };
  return { request, session, open: async (runtime) => String((await session('open', runtime)).body.body?.['runtimeToken']) };
};

const auth = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });
const idsOf = ({ body }: Answer): unknown[] => (body as Frame[]).map(({ id }) => id);
const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
const update = (id: number, from: string, to: string, value: unknown = null): unknown => ({ id, type: 'update', from, to, body: { value } });

/** Starts a server, a REST session of A by hand, and B over a WebSocket. */
const start = async (t: Test, init: Parameters<typeof startServer>[1] = {}) => {
  const started = await startServer(t, init);
  const rest = restOf(started.url);
  const token = await rest.open(A);
  const b = await DomainClient.open(started.url, B);
  const send = (from: number, to: number): void => { for (const id of range(from, to)) b.send(update(id, B, `${A}/x`)); };
  const get = (query = '', headers = {}): Promise<Answer> => rest.request('GET', `/messages${query}`, undefined, { ...auth(token), ...headers });
  const post = (body: unknown, headers: Record<string, string> = {}, query = ''): Promise<Answer> => rest.request('POST', `/messages${query}`, body, { ...auth(token), ...headers });
  return { ...started, ...rest, token, b, send, get, post };
};

/** The messages of an event stream, in order of arrival. */
interface Stream {
  readonly ids: unknown[];
  readonly numbers: number[];
  /** Number of chunks without a message. */
  beats: number;
  readonly ended: Promise<void>;
  abort(): void;
}

const stream = async (url: string, token: string, headers: Record<string, string> = {}, query = ''): Promise<Stream> => {
  const abort = new AbortController();
  const response = await fetch(`${url}/rest/messages${query}`, { headers: { ...auth(token), accept: 'text/event-stream', ...headers }, signal: abort.signal });
  if (response.status !== 200 || response.body === null) throw new Error(`stream: ${String(response.status)}`);
  const body = response.body as ReadableStream<Uint8Array>;
  const seen = { ids: [] as unknown[], numbers: [] as number[], beats: 0 };
  const ended = (async () => {
    for await (const events of eventsOf(body)) {
      if (events.length === 0) seen.beats += 1;
      for (const { id, data } of events) {
        seen.ids.push((JSON.parse(data) as Frame).id);
        seen.numbers.push(id);
      }
    }
  })();
  ended.catch(() => undefined);
  return Object.assign(seen, { ended, abort: () => { abort.abort(); } });
};

void t.test('RST-1: the session manager answers with its message, and its code as the status', async (t) => {
  const { request, session, open, url } = await start(t);
  t.match(await request('POST', '/session', { id: 'x', type: 'OPEN', from: 'runtime://A.example/rc', to: 'mn:/session' }), { status: 200, body: { id: 'x', type: 'response', from: 'mn:/session', to: 'hyperty-runtime://a.example/rc', body: { code: 200, runtimeToken: /^[\w-]{43}$/ } } });
  t.match(await session('open', 'hyperty://a.example/x'), { status: 400, body: { body: { code: 400 } } });
  t.match(await session('re-open', `${A}/nonsense`), { status: 401, body: { body: { code: 401 } } });
  t.match(await session('close', A), { status: 401, body: { type: 'response', body: { code: 401 } } });
  const first = await open(B);
  const second = await open(B);
  t.equal((await request('GET', '/messages', undefined, auth(first))).status, 401, 'a token that was superseded');
  t.match((await request('GET', '/messages', undefined, { authorization: `bearer ${second}` })), { status: 200, body: [] });
  t.equal((await session('close', B, second)).status, 200);
  t.equal((await session('close', B, second)).status, 401);
  const crowded = await startServer(t, { limits: { sessions: 1 } });
  const there = restOf(crowded.url);
  await there.open(A);
  t.match(await there.session('open', B), { status: 429, body: { body: { code: 429 } } });
  t.equal(crowded.server.status()['connections'], 1, 'what opened no session keeps no connection');
  t.ok(url);
});

void t.test('RST-2: messages of a POST are taken in order, and once, however often it is repeated', async (t) => {
  const { b, post, session, request, token, open } = await start(t);
  const batch = range(1, 1000).map((id) => update(id, A, `${B}/x`));
  t.match(await post(batch, { 'protofly-batch': '1' }), { status: 202, body: { accepted: 1000 } });
  t.match(await post(batch, { 'protofly-batch': '1' }), { status: 202, body: { accepted: 1000 } }, 'again');
  t.match(await post(update(1001, A, `${B}/x`), { 'protofly-batch': '2' }), { status: 202, body: { accepted: 1 } }, 'one message is one too');
  t.match(await post(batch, { 'protofly-batch': '1' }), { status: 202 }, 'one that comes late');
  t.match((await session('re-open', `${A}/${token}`)).body, { body: { code: 200, batch: 2 } });
  t.match(await post(update(1001, A, `${B}/x`), { 'protofly-batch': '2' }), { status: 202 }, 'after a re-open, still once');
  t.match(await post([update(1002, A, `${B}/x`), update(1003, A, `${B}/x`)], { 'protofly-batch': '3' }), { status: 202, body: { accepted: 2 } });
  const renewed = await open(A);
  t.match(await request('POST', '/messages', update(1004, A, `${B}/x`), { ...auth(renewed), 'protofly-batch': '1' }), { status: 202 }, 'with a new token it begins at 1');
  await b.next(({ id }) => id === 1004);
  t.same(b.received.map(({ id }) => id), range(1, 1003));
});

void t.test('RST-2: what is wrong with a message of a list costs that one; what is wrong with the list is its answer', async (t) => {
  const { b, post, get, request, token } = await start(t);
  const bad: readonly unknown[] = [
    null, 5, 'text', [], {}, [update(1, A, B)], { id: 7, type: 'explode', from: A, to: B }, { id: 8, type: 'create', from: A, to: 'nonsense' },
    JSON.parse(`{"id":9,"type":"create","from":"${A}","to":"${B}","body":{"__proto__":{"x":1}}}`),
    { id: 11, type: 'open', from: A, to: 'mn:/session' }, { id: 12, type: 'close', from: A, to: 'mn:/session' }, { id: 13, type: 'response', from: 'x' },
  ];
  const deep = `{"id":10,"type":"create","from":"${A}","to":${'['.repeat(900)}${']'.repeat(900)}}`;
  const list = [update(1, A, `${B}/x`), ...bad, update(2, A, `${B}/x`)].map((item) => JSON.stringify(item));
  t.match(await post(`[${list.join(',')},${deep}]`), { status: 202, body: { accepted: 2 } });
  t.same([(await b.next(() => true)).id, (await b.next(() => true)).id], [1, 2]);
  const refusals = (await get()).body as Frame[];
  t.same(refusals.map(({ id, body }) => [id, body?.code]), [0, 0, 0, 0, 0, 0, 7, 8, 9, 11, 12, 10].map((id) => [id, 400]), 'each is answered, in order, but no response');
  t.equal((await post({ id: 1, type: 'ping', from: B, to: SM })).status, 202);
  t.match((await get()).body, [{ id: 1, body: { code: 403 } }], 'so is somebody else\'s address');
  t.match((await post('{"id":14')).body, { error: 'E_MESSAGE', description: String });
  for (const body of ['', ' ', '{', 'null', '5', '"text"', '\u0000', `${'['.repeat(100_000)}`]) t.equal((await post(body)).status, 400, body.slice(0, 20));
  t.equal((await post(range(1, 1001).map((id) => update(id, A, B)))).status, 413, 'too many');
  t.equal((await post(`[${' '.repeat(16 * 1024 * 1024)}]`)).status, 413, 'too large');
  for (const number of ['0', '-1', '1.5', 'x', '9'.repeat(30)]) t.equal((await post([], { 'protofly-batch': number })).status, 400, number);
  const bytes = await fetch(new Request(`${(await start(t)).url}/rest/session`, { method: 'POST', body: new Uint8Array([0xff, 0xfe]) }));
  t.equal(bytes.status, 400, 'bytes that are no text');
  t.equal((await request('POST', '/messages', '[]', { ...auth(token), 'content-encoding': 'gzip' })).status, 400);
  t.match(await post([]), { status: 202, body: { accepted: 0 } });
});

void t.test('RST-3: a poll waits, and gives again what was not acknowledged', async (t) => {
  const { get, send } = await start(t);
  t.match(await get(), { status: 200, body: [], cursor: 0 });
  t.match(await get('?wait=0.05&after=0'), { body: [] }, 'when its time is up');
  const waiting = get('?wait=20&after=0');
  send(1, 3);
  const first = await waiting;
  t.equal(first.cursor, (first.body as unknown[]).length);
  let rest = await get('?after=0');
  while (rest.cursor < 3) rest = await get('?after=0');
  t.same(idsOf(rest), [1, 2, 3], 'nothing was acknowledged');
  t.same(idsOf(await get('?after=2')), [3]);
  t.same(idsOf(await get('?after=1')), [3], 'what was acknowledged is gone');
  t.same(idsOf(await get()), [3]);
  t.same(idsOf(await get('?after=4')), [3], 'a number that was never given says nothing');
  t.match(await get('?after=3'), { body: [], cursor: 3 });
  const older = get('?wait=20&after=3');
  t.match(await Promise.race([older, get('?wait=0.2&after=3')]), { status: 200, body: [] }, 'a newer one ends it');
  t.match(await older, { status: 200, body: [], cursor: 3 });
  for (const query of ['?wait=x', '?wait=-1', '?after=-1', '?after=1.5', '?after=x']) t.equal((await get(query)).status, 400, query);
});

void t.test('RST-3: to a client that never acknowledges, what has been written is taken', async (t) => {
  const { get, send, session, token } = await start(t);
  send(1, 2);
  const got: unknown[] = [];
  while (got.length < 2) got.push(...idsOf(await get('?wait=20')));
  t.same(got, [1, 2]);
  t.match(await get(), { body: [], cursor: 2 });
  t.equal((await session('re-open', `${A}/${token}`)).status, 200);
  t.match(await get(), { body: [] });
});

void t.test('RST-4: an event stream goes on where the last one was acknowledged', async (t) => {
  const { url, token, send, post, get, session } = await start(t, { rest: { heartbeatMs: 20 } });
  const one = await stream(url, token, {}, '?after=0');
  send(1, 5);
  await until('the condition holds', () => one.ids.length === 5);
  t.same(one.numbers, range(1, 5));
  one.abort();
  const two = await stream(url, token, { 'last-event-id': '2' });
  await until('the condition holds', () => two.ids.length === 3);
  t.same(two.ids, [3, 4, 5]);
  t.match(await post([], {}, '?after=4'), { status: 202, body: { accepted: 0 } });
  const three = await stream(url, token, { 'last-event-id': '3' });
  await two.ended;
  t.pass('a newer one ends it');
  await until('the condition holds', () => three.ids.length === 1);
  t.same(three.ids, [5], 'a POST acknowledges too');
  t.same(idsOf(await get('?after=4')), [5], 'a poll can take over from a stream');
  await three.ended;
  const raw = await fetch(`${url}/rest/messages?after=5`, { headers: { ...auth(token), accept: 'text/event-stream' } });
  t.match(raw.headers.get('content-type'), /^text\/event-stream/);
  let text = '';
  for await (const part of (raw.body as ReadableStream<Uint8Array>).pipeThrough(new TextDecoderStream())) if ((text += part).split('\n\n').length > 3) break;
  t.match(text, /^:[^\n]*\n\n:\n\n:\n\n/, 'a comment at once, and then ever so often');
  const last = await stream(url, token);
  t.equal((await session('close', A, token)).status, 200);
  await last.ended;
  t.pass('a closed session ends its stream');
});

void t.test('RST-4: a client that acknowledges, but nothing for long of what it was given, loses its stream; one without anything outstanding doesn\'t', async (t) => {
  const { url, token, send, post } = await start(t, { rest: { heartbeatMs: 30 } });
  const one = await stream(url, token, {}, '?after=0');
  send(1, 2);
  await until('the condition holds', () => one.ids.length === 2);
  await t.rejects(one.ended);
  const two = await stream(url, token, { 'last-event-id': '2' });
  await until('the condition holds', () => two.beats > 8);
  t.equal((await post([])).status, 202);
  two.abort();
});

void t.test('RST-4: a client that has acknowledged and then acknowledges nothing for some seconds is gone, its session away; others stay', async (t) => {
  const { url, server, token, b, send, post, get, session, open } = await start(t, { rest: { acknowledgeMs: 500 } });
  const cable = await cableTo(t, url);
  const [ended, others] = [[] as string[], ['rc', 'rd']];
  const [content = '', lazy = ''] = await Promise.all(others.map((id) => open(`hyperty-runtime://a.example/${id}`)));
  const gone = await stream(cable.url, token, {}, '?after=0');
  const streams = [await stream(url, content, {}, '?after=0'), await stream(url, lazy, { 'last-event-id': '0' })];
  for (const one of streams) one.ended.then(() => ended.push('stream'), () => ended.push('stream'));
  send(1, 2);
  for (const id of others) b.send(update(1, B, `hyperty-runtime://a.example/${id}/x`));
  await until('the condition holds', () => [gone, ...streams].every(({ ids }) => ids.length > 0) && gone.ids.length === 2);
  t.equal((await post([], {}, '?after=2')).status, 202);
  t.equal((await fetch(`${url}/rest/messages?after=1`, { method: 'POST', headers: auth(content), body: '[]' })).status, 202);
  cable.cut();
  send(3, 4);
  t.equal(server.status()['connections'], 4);
  await until('the condition holds', () => server.status()['connections'] === 3);
  t.equal((await get()).status, 401);
  t.same(ended, [], 'neither who owes nothing is gone, nor who may mean to acknowledge when it comes again');
  for (const one of streams) one.abort();
  t.equal((await session('re-open', `${A}/${token}`)).status, 200);
  const back = await stream(url, token, { 'last-event-id': '2' });
  await until('the condition holds', () => back.ids.length === 2);
  t.same([back.ids, back.numbers], [[3, 4], [3, 4]], 'nothing is lost');
  back.abort();
});

void t.test('RST-4 MAL-1: what is to be kept for a REST client that is gone without a word is', async (t) => {
  const { url, server } = await startServer(t, { rest: { acknowledgeMs: 500 } });
  const cable = await cableTo(t, url);
  const gone = await RestClient.connect(cable.url, A, 'stream').openSession();
  const [address = ''] = await gone.allocate();
  const b = await DomainClient.open(url, B);
  b.send(update(1, B, address));
  await gone.next(({ id }) => id === 1);
  cable.cut();
  b.send(update(2, B, address));
  await until('the condition holds', () => server.status()['connections'] === 1);
  t.match(await b.ask('create', address, { value: 'x', expect: 'receipt', store: true }), { body: { code: 202, stored: 'domain' } });
  await gone.vanish();
});

void t.test('RST-5: without requests the session is away; a re-open brings what was not acknowledged, in order and under its numbers', async (t) => {
  const { server, url, get, send, session, token, b } = await start(t, { rest: { idleMs: 300, heartbeatMs: 250 } });
  send(1, 4);
  let got = await get('?wait=20&after=0');
  while (got.cursor < 4) got = await get('?wait=20&after=0');
  t.equal((await get('?after=1')).cursor, 4);
  await until('the condition holds', () => server.status()['connections'] === 1);
  t.equal((await get()).status, 401);
  send(5, 6);
  t.equal(await b.code('ping', SM), 200);
  t.equal((await session('re-open', `${A}/${token}`)).status, 200);
  const again = await stream(url, token, { 'last-event-id': '2' });
  await until('the condition holds', () => again.ids.length === 4);
  t.same([again.ids, again.numbers], [[3, 4, 5, 6], [3, 4, 5, 6]]);
  await until('the condition holds', () => again.beats > 2);
  t.equal(server.status()['connections'], 2, 'an open stream keeps it');
  const resumed = await session('re-open', `${A}/${token}`);
  t.equal(resumed.status, 200);
  await again.ended;
  t.pass('the stream from before ends');
  t.same(idsOf(await get('?after=4')), [5, 6]);
  const ws = await DomainClient.connect(url, A);
  t.equal(await ws.code('re-open', 'mn:/session', undefined, `${A}/${token}`), 200);
  t.same([(await ws.next(() => true)).id, (await ws.next(() => true)).id], [5, 6], 'a WebSocket resumes it as well');
  t.equal((await get()).status, 401);
});

void t.test('RST-5: numbers only rise, over a restart of the server too', async (t) => {
  const first = await start(t);
  first.send(1, 3);
  let got = await first.get('?wait=20&after=0');
  while (got.cursor < 3) got = await first.get('?wait=20&after=0');
  await first.server.close();
  const { url } = await startServer(t, {}, first.store);
  const { session, request } = restOf(url);
  t.match((await session('re-open', `${A}/${first.token}`)).body, { body: { code: 200 } });
  t.equal((await request('POST', '/messages', { id: 1, type: 'ping', from: A, to: SM }, { ...auth(first.token), 'protofly-batch': '7' })).status, 202);
  const fresh = await request('GET', '/messages?wait=20&after=3', undefined, auth(first.token));
  t.same(idsOf(fresh), [1]);
  t.ok(fresh.cursor > 3);
});

void t.test('RST-2, RST-5: a POST that was cut off in its middle is taken up there', async (t) => {
  const { url, token, post, session, b, server } = await start(t, { limits: { stallMs: 60_000 } });
  const c = await DomainClient.open(url, 'hyperty-runtime://a.example/rc');
  c.ws.pause();
  const body = { value: 'x'.repeat(64 * 1024) };
  const batch = range(1, 200).map((id) => ({ id, type: 'update', from: A, to: 'hyperty-runtime://a.example/rc/x', body }));
  const cut = post(batch, { 'protofly-batch': '1' });
  await until('the condition holds', () => (server.status()['messages'] as { received: number }).received > 10);
  t.equal((await session('re-open', `${A}/${token}`)).status, 200);
  t.equal((await cut).status, 401, 'the session is another connection\'s');
  const whole = post(batch, { 'protofly-batch': '1' });
  c.ws.resume();
  t.match(await whole, { status: 202, body: { accepted: 200 } });
  await until('the condition holds', () => c.received.length >= 200);
  t.equal(await b.code('ping', SM), 200);
  t.same(c.received.map(({ id }) => id), range(1, 200));
});

void t.test('RST-6: a client that takes nothing holds its senders up; then it is away, what comes waits, and beyond that the sender is told 503', async (t) => {
  const { url, send, get, session, token, b, server } = await start(t, { rest: { unacknowledged: 50 }, limits: { stallMs: 300, waitingPerSession: 60 } });
  t.equal((await get('?after=0')).status, 200);
  const received = (): number => (server.status()['messages'] as { received: number }).received;
  const before = received();
  send(1, 60);
  b.send({ id: 'end', type: 'ping', from: B, to: SM });
  await until('the condition holds', () => received() === before + 50);
  const other = await DomainClient.open(url, 'hyperty-runtime://a.example/rc');
  t.equal(await other.code('ping', SM), 200, 'others are served');
  t.equal(received(), before + 52, 'the sender is not read on');
  await b.next(({ id }) => id === 'end');
  t.equal((await get()).status, 401, 'it is away');
  t.equal(await b.code('update', `${A}/x`), 503, 'too much waits');
  t.equal((await session('re-open', `${A}/${token}`)).status, 200);
  let ids: unknown[] = [];
  let cursor = 0;
  while (ids.length < 60) {
    const some = await get(`?wait=20&after=${String(cursor)}`);
    ids = [...ids, ...idsOf(some)];
    cursor = some.cursor;
  }
  t.same(ids, range(1, 60));
});

void t.test('RST-2: acknowledging is never held back, so a client can free itself', async (t) => {
  const { url, token, post } = await start(t, { rest: { unacknowledged: 10 } });
  const one = await stream(url, token, {}, '?after=0');
  let held = true;
  const posted = post(range(1, 15).map((id) => ({ id, type: 'ping', from: A, to: SM }))).finally(() => { held = false; });
  await until('the condition holds', () => one.ids.length === 10);
  t.match(await post([], {}, '?after=0'), { status: 202 }, 'is answered while the other is held back');
  t.ok(held);
  t.match(await post([], {}, '?after=10'), { status: 202 });
  t.match(await posted, { status: 202, body: { accepted: 15 } });
  await until('the condition holds', () => one.ids.length === 15);
  one.abort();
});
