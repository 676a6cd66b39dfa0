import t from 'tap';
import activate from '../../src/protostubs/msg-node-rest/index.js';
import { child, respond, type Message, type Request, type StubConfig, type StubSandbox } from '../../src/protocol/index.js';
import { ManualClock, turns } from '../support/manual-clock.js';
import { RestNode } from '../support/rest-node.js';
import { ALICE, BOB, clock, log, RUNTIME_A, TestBus } from '../support/stub-harness.js';

const STUB = child(RUNTIME_A, 'protostub/1');

const createSyncher = (): never => { throw new Error('not used'); };

interface Test {
  teardown(run: () => Promise<void>): void;
}

const start = async (t: Test, config: Partial<StubConfig> = {}, sandbox: Partial<StubSandbox> = {}, node = new RestNode()) => {
  await node.listening();
  const bus = new TestBus();
  const { instance } = activate(STUB, bus, { runtimeURL: RUNTIME_A, url: node.url, random: () => 0, ...config }, { clock, log, createSyncher, ...sandbox });
  t.teardown(async () => {
    await instance.close?.();
    await node.close();
  });
  return { node, bus, instance };
};

let ids = 0;
const note = (value: unknown): Request => ({ id: `n${String(++ids)}`, type: 'update', from: ALICE, to: BOB, body: { value } });
const fromBob = (value: unknown) => ({ id: ++ids, type: 'update', from: BOB, to: ALICE, body: { value } });
const valuesOf = (bus: TestBus): unknown[] => bus.posted.filter(({ from, type }) => from === BOB && type === 'update').map(({ body }) => body?.value);
const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n);

await t.test('STB-4 RST-1: it connects when the first message comes, opens a session, and carries both ways', async (t) => {
  const { node, bus } = await start(t);
  t.equal(node.asked.length, 0);
  for (let n = 0; n < 3; n++) void bus.give(note(n));
  t.equal((await bus.status('live')).body['session'], 'new');
  await node.watch.until(() => node.taken.length === 3, 'the messages');
  t.match(node.asked, [{ type: 'open', from: RUNTIME_A, to: 'mn:/session' }]);
  t.strictSame(node.values(BOB), [0, 1, 2]);
  t.equal(node.posts.length, 1, 'together');
  t.strictSame(bus.statuses.map(({ value }) => value), ['created', 'in-progress', 'live']);
  await node.watch.until(() => node.stream, 'the stream');
  node.give('not JSON', '{}', fromBob('back'), { id: 2, type: 'response', from: 'mn:/session', to: RUNTIME_A, body: { code: 200 } });
  await bus.watch.until(() => bus.posted.length === 2, 'what the node sent');
  t.match(bus.posted, [{ from: BOB, body: { value: 'back' } }, { type: 'response', id: 2 }], 'bad messages are dropped, answers to others are handed on');
  await node.watch.until(() => node.acknowledged === 4, 'the acknowledgement, without anything to post');
});

await t.test('it works with nothing but an address, a bus and the url', async (t) => {
  const node = await new RestNode().listening();
  const bus = new TestBus();
  const { name, instance } = (activate as (...given: unknown[]) => ReturnType<typeof activate>)(STUB, bus, { runtimeURL: RUNTIME_A, url: `${node.url}/` });
  t.equal(name, 'msg-node-rest');
  void bus.give(note('x'));
  await node.watch.until(() => node.taken.length === 1, 'the message');
  await instance.close?.();
  await node.close();
});

await t.test('RST-2: messages go in batches, one at a time, numbered, in order', async (t) => {
  const { node, bus } = await start(t);
  const go = node.hold();
  void bus.give(note(0));
  await node.watch.until(() => node.posts.length === 1, 'the first');
  for (let n = 1; n < 2500; n++) void bus.give(note(n));
  await turns();
  t.equal(node.posts.length, 1, 'the others wait for its answer');
  go();
  await node.watch.until(() => node.taken.length === 2500, 'all');
  t.strictSame(node.values(BOB), upTo(2500));
  t.strictSame(node.posts.map(({ batch, frames }) => [batch, frames.length]), [[1, 1], [2, 1000], [3, 1000], [4, 499]]);
});

await t.test('RST-2: a lost answer is asked for with the same number; nothing comes twice, nothing is missing', async (t) => {
  const { node, bus } = await start(t);
  node.fate = (post) => (node.posts.filter(({ batch }) => batch === post.batch).length === 1 ? 'lose' : 'take');
  for (let n = 0; n < 5; n++) {
    void bus.give(note(n));
    await node.watch.until(() => node.posts.filter(({ batch }) => batch === n + 1).length === 2, 'the repetition');
  }
  await turns();
  t.strictSame(node.values(BOB), upTo(5));
  t.notOk(bus.statuses.some(({ value }) => value === 'disconnected'), 'nobody else noticed');
});

await t.test('RST-2: answers that stay lost cost the connection; the batch goes again, under its number, in the session that is resumed', async (t) => {
  const { node, bus } = await start(t);
  let lost = 0;
  node.fate = () => (++lost <= 2 ? 'lose' : 'take');
  void bus.give(note('once'));
  await bus.status('disconnected');
  void bus.give(note('while away'));
  await bus.status('live', ({ session }) => session === 'resumed');
  await node.watch.until(() => node.taken.length === 2, 'the next');
  t.strictSame(node.values(BOB), ['once', 'while away']);
  t.strictSame(node.posts.map(({ batch }) => batch), [1, 1, 1, 2]);
  t.match(node.asked[1], { type: 're-open', from: `${RUNTIME_A}/token` });
  t.equal(bus.posted.length, 0);
});

await t.test('a batch of which nobody knows whether it was taken is refused when its session is lost; what surely was not taken goes again', async (t) => {
  for (const fate of ['lose', 401] as const) {
    const { node, bus } = await start(t);
    node.answer = ({ type }) => (type === 're-open' ? { code: 401 } : { code: 200, runtimeToken: 'token' });
    let times = 0;
    node.fate = () => (++times <= 2 ? fate : 'take');
    void bus.give(note('x'));
    await bus.status('disconnected');
    void bus.give({ id: 1, type: 'response', from: ALICE, to: BOB, body: { code: 200, value: 'y' } });
    await node.watch.until(() => node.values(BOB).includes('y'), 'what came later');
    t.strictSame(node.values(BOB), ['x', 'y']);
    if (fate === 'lose') t.match(bus.posted, [{ type: 'response', to: ALICE, body: { code: 503 } }], 'who sent it is told');
    else t.equal(bus.posted.length, 0, 'nothing to tell');
    t.match(node.types().slice(0, 3), ['open', 're-open', 'open']);
  }
});

await t.test('a message that the node cannot take costs only itself', async (t) => {
  const { node, bus } = await start(t);
  node.fate = ({ frames }) => (frames.some(({ body }) => body?.['value'] === 7) ? (frames.length > 1 ? 413 : 400) : 'take');
  for (let n = 0; n < 20; n++) void bus.give(note(n));
  await node.watch.until(() => node.taken.length === 19, 'the others');
  t.strictSame(node.values(BOB), upTo(20).filter((n) => n !== 7));
  t.match(bus.posted, [{ type: 'response', body: { code: 400 } }]);
  t.notOk(bus.statuses.some(({ value }) => value === 'disconnected'));
});

await t.test('RST-2: a node that holds back its answer holds up the runtime, and nothing is lost', async (t) => {
  const { node, bus } = await start(t);
  void bus.give(note('first'));
  await bus.status('live');
  await node.watch.until(() => node.taken.length === 1, 'the first');
  const go = node.hold();
  const text = 'x'.repeat(100_000);
  let sent = 0;
  let held: Promise<void> | undefined;
  let free = true;
  while (free && sent < 100) {
    held = bus.give(note(text)) ?? undefined;
    sent += 1;
    if (held === undefined) continue;
    free = false;
    void held.then(() => { free = true; });
    await turns();
  }
  t.ok(sent > 10 && sent < 50, `held up after ${String(sent)} messages of 100 kB`);
  t.equal(node.posts.length, 2, 'as long as the node holds its answer');
  go();
  await held;
  await node.watch.until(() => node.taken.length === sent + 1, 'everything');
  t.equal(bus.posted.length, 0);
});

await t.test('RST-4: what comes is acknowledged in time, also while the answer to a batch is held back', async (t) => {
  const { node, bus } = await start(t);
  const go = node.hold();
  void bus.give(note('held'));
  await node.watch.until(() => node.taken.length === 1 && node.stream, 'the batch');
  for (let n = 0; n < 4; n++) {
    node.give(...upTo(250).map(fromBob));
    await node.watch.until(() => node.acknowledged === 250 * (n + 1), 'the acknowledgement');
  }
  t.equal(node.posts.length, 1);
  void bus.give(note('next'));
  go();
  await node.watch.until(() => node.taken.length === 2, 'the next batch');
  t.equal(node.posts.at(-1)?.after, 1000, 'a batch acknowledges too');
});

await t.test('who does not wait when told to is refused in the end', async (t) => {
  const { node, bus } = await start(t);
  void bus.give(note('first'));
  await node.watch.until(() => node.taken.length === 1, 'the first');
  const go = node.hold();
  for (let n = 0; n < 25_000; n++) void bus.give(note(n));
  t.ok(bus.posted.length > 0 && bus.posted.length <= 5000, `${String(bus.posted.length)} refused`);
  t.ok((bus.posted as Message[]).every((message) => message.type === 'response' && message.body.code === 503));
  go();
  await node.watch.until(() => node.taken.length + bus.posted.length === 25_001, 'the others');
});

await t.test('RST-5: a server that dies in mid-stream is noticed at once; what came is acknowledged, what did not comes, in order', async (t) => {
  const { node, bus } = await start(t);
  void bus.give(note('x'));
  await node.watch.until(() => node.stream, 'the stream');
  node.give(...upTo(10).map(fromBob));
  await bus.watch.until(() => valuesOf(bus).length === 10, 'the first ten');
  bus.statuses.length = 0;
  const half = JSON.stringify(fromBob('broken'));
  node.stream?.write(`id: 11\ndata: ${half.slice(0, 20)}`);
  await turns();
  node.breakConnections();
  await bus.status('disconnected');
  node.give(...[10, 11, 12].map(fromBob));
  await bus.status('live', ({ session }) => session === 'resumed');
  await bus.watch.until(() => valuesOf(bus).length === 13, 'the rest');
  t.strictSame(valuesOf(bus), upTo(13));
  t.equal(node.gets.at(-1)?.after, 10);
});

await t.test('nobody listens, then somebody does: it goes on trying', async (t) => {
  const first = await new RestNode().listening();
  const { port } = first;
  await first.close();
  const bus = new TestBus();
  const { instance } = activate(STUB, bus, { runtimeURL: RUNTIME_A, url: `http://127.0.0.1:${String(port)}/rest` }, { clock, log, createSyncher });
  void bus.give(note('waits'));
  await bus.status('disconnected');
  const node = await new RestNode(port).listening();
  await bus.status('live');
  await node.watch.until(() => node.taken.length === 1, 'the message');
  await instance.close?.();
  await node.close();
  t.equal(bus.posted.length, 0);
});

await t.test('SES-3: a token that is not known any more is tried once, then the session is opened anew', async (t) => {
  const { node, bus } = await start(t);
  void bus.give(note('before'));
  await node.watch.until(() => node.stream !== undefined && node.taken.length === 1, 'the stream and the message');
  await turns();
  bus.statuses.length = 0;
  node.answer = ({ type }) => (type === 're-open' ? { code: 401 } : { code: 200, runtimeToken: 'token' });
  node.known = false;
  void bus.give(note('after'));
  t.equal((await bus.status('live')).body['session'], 'new');
  await node.watch.until(() => node.taken.length === 2, 'the message');
  t.strictSame(node.types(), ['open', 're-open', 'open']);
  t.equal(bus.posted.length, 0);
  t.equal(node.posts.at(-1)?.batch, 1, 'batches count from one again, with the one that was surely not taken');
});

await t.test('IDN-2: the runtime signs the challenge of a node, and the stub opens with the signature', async (t) => {
  const { node, bus } = await start(t);
  bus.sign = (request) => respond(request, 200, { value: `signed ${String((request.body?.value as { challenge: string }).challenge)}` });
  node.answer = ({ type, body }) => (body?.['identity'] === 'signed nonce' ? { code: 200, ...(type === 'open' ? { runtimeToken: 'token' } : {}) } : { code: 401, challenge: 'nonce' });
  void bus.give(note('x'));
  t.equal((await bus.status('live')).body['session'], 'new');
  bus.statuses.length = 0;
  node.breakConnections();
  t.equal((await bus.status('live')).body['session'], 'resumed', 'and so with a token');
  t.strictSame(node.asked.map(({ type }) => type), ['open', 'open', 're-open', 're-open']);
});

await t.test('IDN-2: a challenge that the runtime doesn\'t sign is final; one that never ends isn\'t', async (t) => {
  const { node, bus } = await start(t);
  node.answer = () => ({ code: 401, challenge: 'nonce' });
  void bus.give(note('x'));
  t.match((await bus.status('failed')).body['description'], /nobody signs here/);
  const other = await start(t);
  other.node.answer = () => ({ code: 401, challenge: 'nonce' });
  other.bus.sign = (request) => respond(request, 200, { value: 'signed' });
  void other.bus.give(note('x'));
  t.match((await other.bus.status('disconnected')).body['description'], /asks again/);
});

await t.test('a refusal that is final is reported as failed, and answers what waits; one that may pass is tried again', async (t) => {
  const { node, bus } = await start(t);
  let times = 0;
  node.answer = () => (++times < 3 ? { code: 503 } : { code: 403, error: 'E_IDENTITY', description: 'that is the name of another key' });
  void bus.give(note('x'));
  t.match((await bus.status('failed')).body['description'], /another key/);
  t.match(bus.posted, [{ type: 'response', to: ALICE, from: BOB, body: { code: 503 } }]);
  void bus.give(note('y'));
  t.equal(bus.posted.length, 2, 'and what comes after it, at once');
  t.equal(node.asked.length, 3);
  t.equal(bus.statuses.filter(({ value }) => value === 'disconnected').length, 1, 'reported once');
});

await t.test('a node that has no REST side is reported as failed, in the words of the server', async (t) => {
  const node = await new RestNode().listening();
  const { bus } = await start(t, { url: `http://127.0.0.1:${String(node.port)}/elsewhere` });
  void bus.give(note('x'));
  t.match((await bus.status('failed')).body['description'], /no such path/);
  await node.close();
});

await t.test('RST-3: where a stream is held back on the way it polls, and loses nothing', async (t) => {
  const time = new ManualClock();
  const { node, bus } = await start(t, {}, { clock: time });
  node.streams = 'buffered';
  void bus.give(note('x'));
  await node.watch.until(() => node.gets.length === 1, 'the stream that stays silent');
  node.give(fromBob(0));
  time.advance(2900);
  await turns();
  t.equal(node.gets.length, 1);
  time.advance(200);
  await bus.watch.until(() => valuesOf(bus).length === 1, 'what the stream should have brought');
  await node.watch.until(() => node.acknowledged === 1, 'the acknowledgement by the next poll');
  node.give(fromBob(1), fromBob(2));
  await bus.watch.until(() => valuesOf(bus).length === 3, 'more');
  t.strictSame(valuesOf(bus), upTo(3));
  t.notOk(bus.statuses.some(({ value }) => value === 'disconnected'));
  node.breakConnections();
  await bus.status('disconnected');
  time.advance(100);
  await bus.status('live', ({ session }) => session === 'resumed');
  await node.watch.until(() => node.gets.length > 3 && node.gets.at(-1)?.after === 3, 'the next poll');
  t.strictSame(node.gets.map(({ stream }) => stream), [true, ...node.gets.slice(1).map(() => false)], 'it does not try the stream again');
});

await t.test('RST-4: a node that refuses streams is polled; a setting makes it so from the beginning, or never', async (t) => {
  const both = await Promise.all([406, 501].map(async (status) => {
    const { node, bus } = await start(t);
    node.streams = status;
    return { node, bus };
  }));
  const forced = await start(t, { receive: 'poll' });
  for (const { node, bus } of [...both, forced]) {
    void bus.give(note('x'));
    await node.watch.until(() => node.gets.some(({ stream }) => !stream), 'a poll');
    node.give(fromBob('polled'));
    await bus.watch.until(() => valuesOf(bus).length === 1, 'the message');
  }
  t.ok(both.every(({ node }) => node.gets[0]?.stream === true));
  t.notOk(forced.node.gets.some(({ stream }) => stream));
  const never = await start(t, { receive: 'stream' });
  never.node.streams = 406;
  void never.bus.give(note('x'));
  t.match((await never.bus.status('disconnected')).body['description'], /no event stream/);
  t.notOk(never.node.gets.some(({ stream }) => !stream));
  t.throws(() => activate(STUB, new TestBus(), { runtimeURL: RUNTIME_A, url: 'http://x/', receive: 'pigeon' }, { clock, log, createSyncher }), { code: 'E_USAGE' });
});

await t.test('a runtime that takes nothing stops the reading; order and messages are kept', async (t) => {
  for (const receive of ['stream', 'poll']) {
    const { node, bus } = await start(t, { receive });
    void bus.give(note('open'));
    await node.watch.until(() => node.gets.length === 1, 'a reader');
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => { release = resolve; });
    const seen: unknown[] = [];
    bus.onPost = (message) => {
      seen.push(message.body?.value);
      bus.watch.poke();
      return seen.length === 1 ? gate : undefined;
    };
    node.give(...upTo(500).map(fromBob));
    await bus.watch.until(() => seen.length === 1, 'the first');
    await turns();
    t.equal(seen.length, 1);
    if (receive === 'poll') {
      node.breakConnections();
      void bus.give(note('notices it'));
    }
    release();
    await bus.watch.until(() => seen.length === 500, 'the rest');
    t.strictSame(seen, upTo(500), receive);
  }
});

await t.test('a runtime that refuses what it is handed costs the stub nothing but that', async (t) => {
  const { node, bus } = await start(t);
  void bus.give(note('open'));
  await node.watch.until(() => node.stream, 'the stream');
  let times = 0;
  bus.onPost = (message) => {
    times += 1;
    if (times === 1) throw new Error('no');
    if (times === 2) return Promise.reject(new Error('later, no'));
    bus.posted.push(message);
    bus.watch.poke();
    return undefined;
  };
  node.give(...upTo(3).map(fromBob));
  await bus.watch.until(() => bus.posted.length === 1, 'the third');
  t.strictSame(valuesOf(bus), [2]);
  t.notOk(bus.statuses.some(({ value }) => value === 'disconnected'));
});

await t.test('RST-4: a stream without a sign of life for two periods is given up', async (t) => {
  const time = new ManualClock();
  const { node, bus } = await start(t, {}, { clock: time });
  void bus.give(note('x'));
  await node.watch.until(() => node.stream, 'the stream');
  node.give(fromBob('alive'));
  await bus.watch.until(() => valuesOf(bus).length === 1, 'a message');
  time.advance(29_000);
  await turns();
  t.notOk(bus.statuses.some(({ value }) => value === 'disconnected'));
  node.stream?.write(':\n\n');
  node.give(fromBob('still'));
  await bus.watch.until(() => valuesOf(bus).length === 2, 'another');
  time.advance(29_000);
  await turns();
  t.notOk(bus.statuses.some(({ value }) => value === 'disconnected'), 'a comment counts');
  time.advance(1100);
  await bus.status('disconnected');
});

await t.test('a fetch that never answers, and takes no notice of its signal, is given up', async (t) => {
  const time = new ManualClock();
  let calls = 0;
  const deaf: typeof fetch = () => {
    calls += 1;
    return new Promise(() => undefined);
  };
  const bus = new TestBus();
  const { instance } = activate(STUB, bus, { runtimeURL: RUNTIME_A, url: 'http://127.0.0.1:1/rest' }, { clock: time, log, createSyncher, fetch: deaf });
  void bus.give(note('x'));
  for (let n = 0; n < 1001; n++) void bus.give({ ...note(n) });
  t.equal(bus.posted.length, 2, 'a thousand may wait');
  await turns();
  time.advance(10_001);
  await turns();
  t.equal((await bus.status('disconnected')).value, 'disconnected');
  t.equal(bus.posted.length, 1002, 'but not for ever');
  for (let n = 0; n < 10; n++) {
    time.advance(5000);
    await turns();
  }
  t.ok(calls > 2 && calls < 8, `tried ${String(calls)} times in a minute`);
  await instance.close?.();
  t.equal(time.pending, 0, 'no timer is left');
});

await t.test('SES-4: closing lets out what was given, gives the session up when the runtime stops for good, and else keeps it', async (t) => {
  for (const release of [true, false]) {
    const { node, bus, instance } = await start(t, { release });
    void bus.give(note('first'));
    await node.watch.until(() => node.stream, 'the stream');
    for (let n = 0; n < 10; n++) void bus.give(note(n));
    await Promise.all([instance.close?.(), instance.close?.()]);
    t.equal(node.taken.length, 11);
    t.equal(node.types().includes('close'), release);
    void bus.give(note('too late'));
    t.match(bus.posted.at(-1), { type: 'response', body: { code: 503 } });
    await node.watch.until(() => node.stream === undefined, 'the end of the stream');
  }
});

await t.test('closing does not wait for a node that answers nothing', async (t) => {
  const { node, bus, instance } = await start(t, { release: true });
  node.fate = () => 'hang';
  void bus.give(note('x'));
  await node.watch.until(() => node.posts.length === 1, 'the post');
  await instance.close?.();
  t.match(bus.posted, [{ type: 'response', body: { code: 503 } }], 'and what is under way is answered');
});

await t.test('without the url of a node it says so', (t) => {
  t.throws(() => activate(STUB, new TestBus(), { runtimeURL: RUNTIME_A }, { clock, log, createSyncher }), { code: 'E_USAGE' });
  t.end();
});
