import t from 'tap';
import { WebSocket, WebSocketServer, type WebSocket as Socket } from 'ws';
import activate from '../../src/protostubs/msg-node-websocket/index.js';
import { child, respond, type Message, type Request, type StubConfig, type WebSocketLike } from '../../src/protocol/index.js';
import { ALICE, BOB, clock, log, RUNTIME_A, TestBus, Watch } from '../support/stub-harness.js';
import { ManualClock, turns } from '../support/manual-clock.js';

const STUB = child(RUNTIME_A, 'protostub/1');

interface Frame {
  readonly id: unknown;
  readonly type: string;
  readonly from: string;
  readonly to: string;
  readonly body?: Record<string, unknown>;
}

/** A scripted message node. */
class ScriptedNode {
  readonly watch = new Watch();
  readonly frames: Frame[] = [];
  readonly sockets: Socket[] = [];
  /** Code and body of the answers to session requests; undefined: no answer. */
  answer: (frame: Frame) => Record<string, unknown> | undefined = () => ({ code: 200, runtimeToken: 'token' });
  readonly #server: WebSocketServer;

  constructor(port = 0) {
    this.#server = new WebSocketServer({ port, host: '127.0.0.1' });
    this.#server.on('connection', (socket) => {
      this.sockets.push(socket);
      socket.on('error', () => undefined);
      socket.on('message', (data: Buffer) => {
        const frame = JSON.parse(data.toString()) as Frame;
        this.frames.push(frame);
        const body = frame.to === 'mn:/session' ? this.answer(frame) : undefined;
        if (body !== undefined) socket.send(JSON.stringify({ id: frame.id, type: 'response', from: 'mn:/session', to: RUNTIME_A, body }));
        this.watch.poke();
      });
    });
  }

  async listening(): Promise<this> {
    if (this.#server.address() === null) await new Promise((resolve) => this.#server.once('listening', resolve));
    return this;
  }

  get port(): number {
    return (this.#server.address() as { port: number }).port;
  }

  types(): string[] {
    return this.frames.map(({ type }) => type);
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.terminate();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

const start = async (t: { teardown(run: () => Promise<void>): void }, config: Partial<StubConfig> = {}, node?: ScriptedNode, WebSocketClass: unknown = WebSocket) => {
  const server = await (node ?? new ScriptedNode()).listening();
  const bus = new TestBus();
  const { instance } = activate(STUB, bus, { runtimeURL: RUNTIME_A, url: `ws://127.0.0.1:${String(server.port)}/ws`, random: () => 0, ...config }, {
    clock, log, WebSocket: WebSocketClass as typeof WebSocketLike,
    createSyncher: () => { throw new Error('not used'); },
  });
  t.teardown(async () => {
    await instance.close?.();
    await server.close();
  });
  return { node: server, bus, instance };
};

let ids = 0;
const note = (value: unknown): Request => ({ id: `n${String(++ids)}`, type: 'update', from: ALICE, to: BOB, body: { value } });
const notesAt = (node: ScriptedNode): unknown[] => node.frames.filter(({ to }) => to === BOB).map(({ body }) => body?.['value']);

await t.test('STB-4 SES-1: it connects when the first message comes, opens a session, and carries both ways', async (t) => {
  const { node, bus } = await start(t);
  t.equal(node.sockets.length, 0);
  for (let n = 0; n < 3; n++) void bus.give(note(n));
  const live = await bus.status('live');
  t.equal(live.body['session'], 'new');
  await node.watch.until(() => node.frames.length === 4, 'the messages');
  t.match(node.frames[0], { type: 'open', from: RUNTIME_A, to: 'mn:/session' });
  t.strictSame(notesAt(node), [0, 1, 2]);
  t.strictSame(bus.statuses.map(({ value }) => value), ['created', 'in-progress', 'live']);
  for (const frame of ['not JSON', '{}', JSON.stringify({ id: 1, type: 'update', from: BOB, to: ALICE, body: { value: 'back' } })]) node.sockets[0]!.send(frame);
  node.sockets[0]!.send(Buffer.from([1, 2, 3]));
  node.sockets[0]!.send(JSON.stringify({ id: 2, type: 'response', from: 'mn:/session', to: RUNTIME_A, body: { code: 200 } }));
  await bus.watch.until(() => bus.posted.length === 2, 'what the node sent');
  t.match(bus.posted, [{ from: BOB, body: { value: 'back' } }, { type: 'response', id: 2 }], 'bad frames are dropped, answers to others are handed on');
});

await t.test('SES-3: a dropped connection is resumed with the token; what came meanwhile follows in order', async (t) => {
  const { node, bus } = await start(t);
  void bus.give(note('before'));
  await bus.status('live');
  await node.watch.until(() => notesAt(node).length === 1, 'the first');
  bus.statuses.length = 0;
  node.sockets[0]!.terminate();
  await bus.status('disconnected');
  void bus.give(note('while away'));
  const live = await bus.status('live');
  t.equal(live.body['session'], 'resumed');
  void bus.give(note('after'));
  await node.watch.until(() => notesAt(node).length === 3, 'all');
  t.strictSame(notesAt(node), ['before', 'while away', 'after']);
  t.match(node.frames.find(({ type }) => type === 're-open'), { from: `${RUNTIME_A}/token` });
});

await t.test('SES-3: a token that is not known any more leads to a new session, on the same connection', async (t) => {
  const { node, bus } = await start(t);
  void bus.give(note(1));
  await bus.status('live');
  bus.statuses.length = 0;
  node.answer = ({ type }) => (type === 're-open' ? { code: 401 } : { code: 200, runtimeToken: 'another' });
  node.sockets[0]!.terminate();
  t.equal((await bus.status('live')).body['session'], 'new');
  t.equal(node.sockets.length, 2);
});

await t.test('IDN-2: the runtime signs the challenge of a node, and the stub opens with the signature', async (t) => {
  const { node, bus } = await start(t);
  bus.sign = (request) => respond(request, 200, { value: `signed ${String((request.body?.value as { challenge: string }).challenge)}` });
  node.answer = ({ type, body }) => (body?.['identity'] === 'signed nonce' ? { code: 200, ...(type === 'open' ? { runtimeToken: 'token' } : {}) } : { code: 401, challenge: 'nonce' });
  void bus.give(note('x'));
  t.equal((await bus.status('live')).body['session'], 'new');
  bus.statuses.length = 0;
  node.sockets[0]!.terminate();
  t.equal((await bus.status('live')).body['session'], 'resumed', 'and so with a token');
  t.strictSame(node.frames.filter(({ to }) => to === 'mn:/session').map(({ type }) => type), ['open', 'open', 're-open', 're-open']);
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

await t.test('a refusal that is final is reported as failed, and answers what waits', async (t) => {
  const { node, bus } = await start(t);
  node.answer = () => ({ code: 403, error: 'E_IDENTITY', description: 'that is the name of another key' });
  void bus.give(note('x'));
  t.match((await bus.status('failed')).body['description'], /another key/);
  t.match(bus.posted, [{ type: 'response', to: ALICE, from: BOB, body: { code: 503 } }]);
  void bus.give(note('y'));
  t.equal(bus.posted.length, 2, 'and what comes after it, at once');
  t.equal(node.sockets.length, 1);
});

await t.test('a refusal that may pass is tried again', async (t) => {
  const { node, bus } = await start(t);
  let times = 0;
  node.answer = () => (++times < 3 ? { code: 503 } : { code: 200, runtimeToken: 'x' });
  void bus.give(note('patient'));
  await bus.status('live');
  await node.watch.until(() => notesAt(node).length === 1, 'the message');
  t.equal(node.sockets.length, 3);
  t.equal(bus.statuses.filter(({ value }) => value === 'disconnected').length, 1, 'reported once');
});

await t.test('nobody listens, then somebody does: it goes on trying', async (t) => {
  const first = await new ScriptedNode().listening();
  const { port } = first;
  await first.close();
  const bus = new TestBus();
  const { instance } = activate(STUB, bus, { runtimeURL: RUNTIME_A, url: `ws://127.0.0.1:${String(port)}/` }, { clock, log, WebSocket: WebSocket as unknown as typeof WebSocketLike, createSyncher: () => { throw new Error('not used'); } });
  void bus.give(note('waits'));
  await bus.status('disconnected');
  const node = await new ScriptedNode(port).listening();
  await bus.status('live');
  await node.watch.until(() => notesAt(node).length === 1, 'the message');
  await instance.close?.();
  await node.close();
  t.equal(bus.posted.length, 0);
});

await t.test('what waits is bounded in number and time, and answered 503; responses are dropped', async (t) => {
  class NeverOpen { static readonly made: NeverOpen[] = []; readyState = 0; bufferedAmount = 0; onopen = null; onmessage = null; onclose = null; onerror = null; constructor() { NeverOpen.made.push(this); } send(): void { throw new Error('not open'); } close(): void { /* nothing to close */ } }
  const time = new ManualClock();
  const bus = new TestBus();
  const { instance } = activate(STUB, bus, { runtimeURL: RUNTIME_A, url: 'ws://127.0.0.1:1/' }, { clock: time, log, WebSocket: NeverOpen as unknown as typeof WebSocketLike, createSyncher: () => { throw new Error('not used'); } });
  void bus.give({ id: 1, type: 'response', from: ALICE, to: BOB, body: { code: 200 } });
  for (let n = 0; n < 1001; n++) void bus.give(note(n));
  t.equal(bus.posted.length, 2, 'the two above a thousand');
  time.advance(10_001);
  t.equal(bus.posted.length, 1001, 'all requests, after ten seconds');
  t.ok((bus.posted as Message[]).every((message) => message.type === 'response' && message.body.code === 503));
  time.advance(60_000);
  t.ok(NeverOpen.made.length > 3 && NeverOpen.made.length < 12, `tried ${String(NeverOpen.made.length)} times in 70 s`);
  await instance.close?.();
  t.equal(time.pending, 0, 'no timer is left');
});

await t.test('a node that does not read holds up the runtime, and nothing is lost', async (t) => {
  const { node, bus } = await start(t);
  void bus.give(note('first'));
  await bus.status('live');
  await node.watch.until(() => notesAt(node).length === 1, 'the first');
  node.sockets[0]!.pause();
  const text = 'x'.repeat(100_000);
  let sent = 0;
  let backpressure: void | Promise<void> = undefined;
  for (; sent < 1000 && backpressure === undefined; sent++) backpressure = bus.give(note(text));
  t.ok(sent < 1000, `held up after ${String(sent)} messages of 100 kB`);
  node.sockets[0]!.resume();
  await backpressure;
  await node.watch.until(() => notesAt(node).length === sent + 1, 'everything');
});

await t.test('a runtime that takes nothing stops the reading; order and messages are kept', async (t) => {
  const { node, bus } = await start(t);
  void bus.give(note('open'));
  await bus.status('live');
  let release: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => { release = resolve; });
  const seen: unknown[] = [];
  bus.onPost = (message) => {
    seen.push(message.body?.value);
    bus.watch.poke();
    return seen.length === 1 ? gate : undefined;
  };
  for (let n = 0; n < 500; n++) node.sockets[0]!.send(JSON.stringify({ id: n, type: 'update', from: BOB, to: ALICE, body: { value: n } }));
  await bus.watch.until(() => seen.length === 1, 'the first');
  await turns();
  t.equal(seen.length, 1);
  release();
  await bus.watch.until(() => seen.length === 500, 'the rest');
  t.strictSame(seen, Array.from({ length: 500 }, (_, n) => n));
});

await t.test('SES-4: closing gives the session up when the runtime stops for good, and else keeps it', async (t) => {
  for (const release of [true, false]) {
    const { node, bus, instance } = await start(t, { release });
    void bus.give(note('x'));
    await bus.status('live');
    await Promise.all([instance.close?.(), instance.close?.()]);
    await node.watch.until(() => notesAt(node).length === 1, 'the message');
    t.equal(node.types().includes('close'), release);
    void bus.give(note('too late'));
    t.match(bus.posted.at(-1), { type: 'response', body: { code: 503 } });
  }
});

await t.test('a node that answers pings and then falls silent is dropped; one that never did is not', async (t) => {
  for (const answers of [true, false]) {
    const time = new ManualClock();
    const server = await new ScriptedNode().listening();
    server.answer = ({ type }) => (type === 'ping' && !answers ? undefined : { code: 200, runtimeToken: 'x' });
    const bus = new TestBus();
    const { instance } = activate(STUB, bus, { runtimeURL: RUNTIME_A, url: `ws://127.0.0.1:${String(server.port)}/` }, { clock: time, log, WebSocket: WebSocket as unknown as typeof WebSocketLike, createSyncher: () => { throw new Error('not used'); } });
    void bus.give(note('x'));
    await bus.status('live');
    time.advance(20_000);
    await server.watch.until(() => server.types().includes('ping'), 'a ping');
    await turns(50);
    server.answer = () => undefined;
    for (let n = 0; n < 3; n++) {
      time.advance(20_000);
      await turns(10);
    }
    t.equal(bus.statuses.some(({ value }) => value === 'disconnected'), answers);
    await instance.close?.();
    await server.close();
  }
});

/** Starts a stub with a session, under a manual clock. */
const startTimed = async (t: { teardown(run: () => Promise<void>): void }) => {
  const time = new ManualClock();
  const server = await new ScriptedNode().listening();
  const bus = new TestBus();
  const { instance } = activate(STUB, bus, { runtimeURL: RUNTIME_A, url: `ws://127.0.0.1:${String(server.port)}/`, random: () => 0 }, { clock: time, log, WebSocket: WebSocket as unknown as typeof WebSocketLike, createSyncher: () => { throw new Error('not used'); } });
  t.teardown(async () => {
    await instance.close?.();
    await server.close();
  });
  const pings = (): number => server.types().filter((type) => type === 'ping').length;
  const ask = (value: unknown): void => { void bus.give({ ...note(value), body: { value, expect: 'receipt' } }); };
  /** Lets time pass, and data written to sockets arrive. */
  const pass = async (milliseconds: number): Promise<void> => {
    for (let passed = 0; passed < milliseconds; passed += 500) {
      time.advance(500);
      await turns(30);
    }
  };
  /** Resolves when `count` pings have come. */
  const pinged = (count: number): Promise<unknown> => server.watch.until(() => pings() >= count, `ping ${String(count)}`);
  ask('first');
  await bus.status('live');
  await pass(500);
  await pinged(1);
  // The answer is read in a turn of its own.
  await turns(200);
  return { server, bus, time, pings, ask, pass, pinged };
};

await t.test('SES-7: a node that says nothing for 3 s while an answer is awaited, and doesn\'t answer a ping in 2 s, is left for a new connection', async (t) => {
  const { server, bus, pings, ask, pass, pinged } = await startTimed(t);
  await pass(15_000);
  const before = pings();
  server.answer = ({ type }) => (type === 're-open' ? { code: 200, runtimeToken: 'token' } : undefined);
  bus.statuses.length = 0;
  await pass(15_000);
  t.equal(pings(), before, 'where nothing is awaited it isn\'t asked');
  ask('into the void');
  await pass(2500);
  t.equal(pings(), before);
  await pass(500);
  await pinged(before + 1);
  t.strictSame(bus.statuses, []);
  await pass(2500);
  t.equal((await bus.status('disconnected')).body['description'], 'the message node gave no sign of life');
  await pass(500);
  t.equal((await bus.status('live')).body['session'], 'resumed');
});

await t.test('a node that never answered a ping isn\'t left for its silence', async (t) => {
  const { node, bus } = await start(t);
  node.answer = ({ type }) => (type === 'ping' ? undefined : { code: 200, runtimeToken: 'token' });
  const time = new ManualClock();
  const other = new TestBus();
  const { instance } = activate(STUB, other, { runtimeURL: RUNTIME_A, url: `ws://127.0.0.1:${String(node.port)}/` }, { clock: time, log, WebSocket: WebSocket as unknown as typeof WebSocketLike, createSyncher: () => { throw new Error('not used'); } });
  void other.give({ ...note(1), body: { expect: 'receipt' } });
  await other.status('live');
  for (let n = 0; n < 30; n++) {
    time.advance(500);
    await turns(20);
  }
  t.ok(node.types().includes('ping'), 'it was tried');
  t.notOk(other.statuses.some(({ value }) => value === 'disconnected'));
  t.notOk(bus.statuses.some(({ value }) => value === 'disconnected'));
  await instance.close?.();
});

await t.test('a stub that is told to probe asks the node at once, and goes for another connection when nothing comes in 1 s', async (t) => {
  const { server, bus, pings, pinged, pass } = await startTimed(t);
  t.equal((bus.statuses[0]!.body['details'] as Record<string, unknown>)['probes'], true, 'it says that it can be told');
  const probe = (): void => { void bus.give({ id: 'probe', type: 'execute', from: child(RUNTIME_A, 'registry'), to: STUB, body: { resource: '/probe' } }); };
  const before = pings();
  bus.statuses.length = 0;
  probe();
  await pinged(before + 1);
  await turns(200);
  await pass(2000);
  t.strictSame(bus.statuses, [], 'it answered');
  server.answer = ({ type }) => (type === 're-open' ? { code: 200, runtimeToken: 'token' } : undefined);
  probe();
  await pass(1000);
  await bus.status('disconnected');
  const connections = server.sockets.length;
  probe();
  await bus.status('live');
  t.ok(server.sockets.length > connections, 'without waiting for the pause before it tries again');
  t.match(bus.posted.filter(({ id }) => id === 'probe').map(({ body }) => body?.['code']), [200, 200, 200]);
});

await t.test('without WebSocket, or without the url of a node, it says so', (t) => {
  const none = { clock, log, createSyncher: () => { throw new Error('not used'); } };
  const fake = WebSocket as unknown as typeof WebSocketLike;
  t.throws(() => activate(STUB, new TestBus(), { runtimeURL: RUNTIME_A }, { ...none, WebSocket: fake }), { code: 'E_USAGE' });
  if (!('WebSocket' in globalThis)) t.throws(() => activate(STUB, new TestBus(), { runtimeURL: RUNTIME_A, url: 'ws://x/' }, none), { code: 'E_PLATFORM' });
  t.end();
});
