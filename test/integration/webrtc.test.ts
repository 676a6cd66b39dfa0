import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { createWebRtcEngine } from '../../src/sandbox/inside/webrtc/index.js';
import activateHandler from '../../src/protostubs/p2p-handler/index.js';
import activateRequester from '../../src/protostubs/p2p-requester/index.js';
import { child, parseAddress, respond, type Address, type Message, type Request, type StubConfig } from '../../src/protocol/index.js';
import { ALICE, BOB, clock, HANDLER, log, REQUESTER, RUNTIME_A, RUNTIME_B, SyncherNetwork, TestBus, type Status } from '../support/stub-harness.js';

const engine = await createWebRtcEngine({ clock, log });
t.teardown(() => { engine.shutdown(); });

const startHandler = (network: SyncherNetwork, config: Record<string, unknown> = {}) => {
  const bus = new TestBus();
  const { instance } = activateHandler(HANDLER, bus, { runtimeURL: RUNTIME_B, ...config }, { clock, log, webrtc: engine, createSyncher: () => network.syncher(HANDLER) });
  return { bus, instance };
};

const startRequester = (network: SyncherNetwork, config: Partial<StubConfig> = {}, runtime = RUNTIME_A, url = REQUESTER) => {
  const bus = new TestBus();
  const { instance } = activateRequester(
    url, bus, { runtimeURL: runtime, remoteRuntimeURL: RUNTIME_B, p2pHandler: HANDLER, ...config },
    { clock, log, webrtc: engine, createSyncher: () => network.syncher(url) },
  );
  return { bus, instance };
};

const connect = async (handlerConfig: Partial<StubConfig> = {}, requesterConfig: Partial<StubConfig> = {}) => {
  const network = new SyncherNetwork();
  const handler = startHandler(network, handlerConfig);
  const requester = startRequester(network, requesterConfig);
  const [, live] = await Promise.all([requester.bus.status('live'), handler.bus.status('live', (body) => body['connection'] !== undefined)]);
  const address = live.body['connection'] as Address;
  return {
    network, handler, requester, address,
    port: handler.bus.ports.get(address)!,
    close: async () => { await Promise.all([requester.instance.close?.(), handler.instance.close?.()]); },
  };
};

let ids = 0;
const note = (value: unknown, from = ALICE, to = BOB): Request => ({ id: `n${String(++ids)}`, type: 'update', from, to, body: { value } });
const generationOf = ({ body }: Status): number => (body['details'] as { generation?: number } | undefined)?.generation ?? 0;
const valueOf = (message: Message): unknown => message.body?.value;

await t.test('two stubs connect, report every state, and carry messages both ways', async (t) => {
  const { requester, handler, address, port, network, close } = await connect();
  const said = requester.bus.statuses;
  t.same(said.map(({ value }) => value).filter((value, index, all) => value !== all[index - 1]), ['created', 'in-progress', 'live']);
  t.match(said.findLast(({ value }) => value === 'in-progress')?.body, { details: { answered: true } }, 'STB-5');
  t.same(handler.bus.statuses[0], { type: 'update', value: 'live', body: { value: 'live' } }, 'the handler itself');
  // A set-up that the library lost is repeated, with an address of its own.
  const own = handler.bus.statuses.filter(({ body }) => body['connection'] === address);
  t.same(own.map(({ type, value }) => [type, value]), [['create', 'created'], ['update', 'in-progress'], ['update', 'live']]);
  const live = requester.bus.statuses.at(-1)!.body;
  t.match(live, { resource: RUNTIME_B, connection: REQUESTER, details: { generation: Number, framing: 'protofly/1', pair: { local: /:\d+ host/, remote: /:\d+/ } } });
  t.equal(handler.bus.statuses.at(-1)!.body['resource'], RUNTIME_A);
  t.match(address, new RegExp(`^${HANDLER}/\\d+$`));

  void requester.bus.give(note('there'));
  await handler.bus.watch.until(() => port.received.length === 1, 'the message');
  void port.listener?.(note('and back', BOB, ALICE));
  await requester.bus.watch.until(() => requester.bus.posted.length === 1, 'the answer');
  t.equal(valueOf(port.received[0]!), 'there');
  t.equal(valueOf(requester.bus.posted[0]!), 'and back');
  await close();
  t.equal(network.objects.size, 0, 'no Connection object is left');
});

await t.test('nothing that was accepted before an orderly close is lost', async (t) => {
  const { requester, handler, port, close } = await connect();
  const count = 20_000;
  for (let n = 0; n < count; n++) void requester.bus.give(note(n));
  void requester.bus.give({ id: 1, type: 'execute', from: RUNTIME_A, to: REQUESTER, body: { resource: '/disconnect' } });
  await requester.bus.status('disconnected');
  await handler.bus.status('disconnected');
  t.equal(port.received.length, count);
  t.ok(port.received.every((message, n) => valueOf(message) === n), 'in order');
  await handler.bus.watch.until(() => port.closed, 'the port to be closed');
  await requester.bus.watch.until(() => requester.bus.posted.some((message) => message.type === 'response' && message.id === 1), 'the answer to /disconnect');
  void requester.bus.give(note('too late'));
  t.match(requester.bus.posted.at(-1), { type: 'response', body: { code: 503, error: 'E_UNREACHABLE' } });
  await close();
});

await t.test('a message of many megabytes does not hold up a small one, and arrives whole', async (t) => {
  const { requester, handler, port, close } = await connect();
  const carol = parseAddress('hyperty://localhost/carol');
  const huge = 'ü'.repeat(5_000_000);
  void requester.bus.give(note(huge));
  void requester.bus.give(note('behind it, the same way'));
  void requester.bus.give(note('another way', carol));
  await handler.bus.watch.until(() => port.received.length === 3, 'all three');
  t.same(port.received.map((message) => (valueOf(message) === huge ? 'huge' : valueOf(message))), ['another way', 'huge', 'behind it, the same way']);
  void requester.bus.give(note('x'.repeat(16 * 1024 * 1024)));
  t.match(requester.bus.posted.at(-1), { body: { code: 503 } }, 'a message above the limit is answered');
  await close();
});

await t.test('a runtime that takes nothing holds up the sender, without loss and without piling up', async (t) => {
  const { requester, handler, close } = await connect();
  let release: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => { release = resolve; });
  let received = 0;
  handler.bus.onPost = () => {
    received += 1;
    handler.bus.watch.poke();
    return received === 1 ? gate : undefined;
  };
  let sent = 0;
  const text = 'y'.repeat(1000);
  for (; sent < 10_000; sent++) {
    if (requester.bus.give(note(text)) !== undefined) break;
  }
  // Messages of one turn wait at the sender; the window bounds what the network takes.
  let backpressure: void | Promise<void>;
  const flood = (async () => {
    for (; sent < 10_000; sent++) {
      backpressure = requester.bus.give(note(text));
      await backpressure;
    }
  })();
  await handler.bus.watch.until(() => received === 1, 'the first');
  const stuck = await Promise.race([flood.then(() => false), new Promise<boolean>((resolve) => { setTimeout(() => { resolve(true); }, 500); })]);
  t.equal(stuck, true);
  t.ok(sent * 1000 < 4 * 1024 * 1024, `held up after ${String(sent)} messages`);
  t.equal(received, 1);
  release();
  await flood;
  await handler.bus.watch.until(() => received >= 10_000, 'the rest');
  await close();
});

await t.test('a runtime that objects with 486 has the invitation refused with 486', async (t) => {
  const network = new SyncherNetwork();
  const handler = startHandler(network);
  handler.bus.announce = (request) => respond(request, 486, { description: 'ours goes first' });
  const requester = startRequester(network);
  const failed = await requester.bus.status('failed');
  t.match(failed.body['description'], /486.*ours goes first/);
  t.same(requester.bus.statuses.map(({ value }) => value).at(-1), 'failed');
  t.notOk(handler.bus.statuses.some(({ value }) => value === 'failed'), 'the handler reports nothing more of it');
  await requester.instance.close?.();
  await handler.instance.close?.();
});

await t.test('a handler that nobody has, bad descriptions, and silence end as failed, with the reason', async (t) => {
  const network = new SyncherNetwork();
  const nobody = startRequester(network);
  t.match((await nobody.bus.status('failed')).body['description'], /404/);
  await nobody.instance.close?.();

  const silent = startRequester(network, { setupMs: 50, p2pHandler: child(RUNTIME_B, 'silent') });
  network.syncher(child(RUNTIME_B, 'silent')).onInvitation(() => undefined);
  t.match((await silent.bus.status('failed')).body['description'], /50 ms/);
  await silent.instance.close?.();

  const handler = startHandler(network);
  for (const value of [{}, { connectionDescription: { type: 'offer', sdp: 'v=0' } }, { connectionDescription: { type: 'answer', sdp: '' }, runtime: RUNTIME_A }, { connectionDescription: { type: 'offer', sdp: '' }, runtime: RUNTIME_B }]) {
    const refused = new Promise<number>((resolve) => {
      void network.syncher(REQUESTER).create('', [HANDLER], value, (_observer, code) => { resolve(code); });
    });
    const code = await refused;
    t.ok(code === 400 || code === 403, `answered: ${String(code)}`);
  }
  await handler.instance.close?.();
});

await t.test('/reconnect replaces the connection by a new generation without loss or reordering', async (t) => {
  const { requester, handler, address, close } = await connect();
  const first = generationOf(requester.bus.statuses.at(-1)!);
  const all: unknown[] = [];
  handler.bus.onPost = (message) => {
    all.push(valueOf(message));
    handler.bus.watch.poke();
  };
  const count = 30_000;
  let replaced = false;
  void requester.bus.give({ id: 2, type: 'execute', from: RUNTIME_A, to: REQUESTER, body: { resource: '/reconnect' } });
  for (let n = 0; n < count; n++) {
    const backpressure = requester.bus.give(note(n));
    if (backpressure !== undefined) await backpressure;
    if (n % 100 === 0) await new Promise((resolve) => { setImmediate(resolve); });
    replaced ||= requester.bus.statuses.some((status) => generationOf(status) > first);
  }
  await handler.bus.watch.until(() => all.length >= count, 'all messages');
  t.equal(replaced, true, 'replaced while messages were under way');
  t.ok(all.every((value, n) => value === n));
  t.notOk(requester.bus.statuses.some(({ value }) => value === 'disconnected'));
  await handler.bus.status('disconnected', (body) => body['connection'] === address);
  await close();
});

await t.test('a lost connection is reported as disconnected and can be re-established', async (t) => {
  const { requester, handler, address, close } = await connect();
  void handler.bus.give({ id: 3, type: 'execute', from: RUNTIME_B, to: HANDLER, body: { resource: '/disconnect', value: { connection: address } } });
  const gone = await requester.bus.status('disconnected');
  t.type(gone.body['description'], 'string');
  requester.bus.statuses.length = 0;
  void requester.bus.give({ id: 4, type: 'execute', from: RUNTIME_A, to: REQUESTER, body: { resource: '/reconnect' } });
  const live = await requester.bus.status('live');
  t.ok(generationOf(live) > 1, 'a higher generation');
  t.same(requester.bus.statuses.map(({ value }) => value), ['live'], 'disconnected → live, nothing between');
  await close();
});

await t.test('no description, candidate or frame of a remote ends the process', async (t) => {
  const child = spawn(process.execPath, [...process.execArgv, fileURLToPath(new URL('../support/webrtc-fuzz.ts', import.meta.url))], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => { output += text; });
  const [code, signal] = await once(child, 'close') as [number | null, string | null];
  t.strictSame({ code, signal }, { code: 0, signal: null }, output);
  t.match(output, /tried \d{3,}/);
});

await t.test('many runtimes are served at once, up to the limit', async (t) => {
  const network = new SyncherNetwork();
  const handler = startHandler(network, { maxConnections: 5 });
  const requesters = Array.from({ length: 6 }, (_, n) => {
    const runtime = parseAddress(`hyperty-runtime://localhost/r${String(n)}`);
    return startRequester(network, {}, runtime, child(runtime, 'p2prequester/1'));
  });
  const ends = await Promise.all(requesters.map(({ bus }) => Promise.race([bus.status('live'), bus.status('failed')]).then(({ value }) => value)));
  t.same(ends.sort(), ['failed', 'live', 'live', 'live', 'live', 'live']);
  await Promise.all(requesters.map(({ instance }) => instance.close?.()));
  await handler.instance.close?.();
  // The side that got the goodbye keeps its peer until the other side has closed the channel.
  for (const deadline = Date.now() + 5000; engine.size > 0 && Date.now() < deadline;) await new Promise((resolve) => { setImmediate(resolve); });
  t.equal(engine.size, 0, 'no peer connection is left');
});
