import { readFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import type { ConnectionInfo } from '../../src/client/documents.js';
import type { DomainServer } from '../../src/domain-server/index.js';
import { catalogueAddress } from '../../src/protocol/index.js';
import type { Frame } from '../support/acceptance.js';
import { startDomain, startTestRuntime, type TestRuntime } from '../support/nodes.js';
import { Outsider, type OutsideConnection } from '../support/outsider.js';
import { until } from '../support/until.js';

const WHY = 'acknowledges nothing, though the message node does';

/** Makes the runtimes of a domain deploy the plain P2P handler. */
const offerPlainHandler = async (server: DomainServer, manner: 'plain' | 'mute' | 'deaf'): Promise<void> => {
  const sourceCode = await readFile(new URL('../support/plain-p2p-handler.js', import.meta.url), 'utf8');
  await server.catalogue.publish({
    descriptor: { type: 'protocolstub', objectName: 'plain-p2p-handler', configuration: { manner }, constraints: { webrtc: true } },
    source: { sourceCode, sourceCodeClassname: 'PlainHandler', encoding: 'utf-8' },
  });
  const stub = (name: string): string => catalogueAddress('localhost', 'protocolstub', name);
  await server.catalogue.publish({ descriptor: { type: 'runtime', objectName: 'default', p2pHandlerStub: stub('plain-p2p-handler'), p2pRequesterStub: stub('p2p-requester') } });
};

const start = (t: Test, url: string, users: readonly string[]): Promise<TestRuntime[]> => Promise.all(users.map((user) => startTestRuntime(t, { domainUrl: url, user })));

const live = async ({ node }: TestRuntime): Promise<readonly ConnectionInfo[]> => (await node.connections()).filter(({ status }) => status === 'live');

const counterOf = ({ runtime }: TestRuntime, name: string): number => (runtime.status()['counters'] as Record<string, number>)[name]!;

const isSuspect = async ({ node }: TestRuntime): Promise<boolean> => (await node.connections()).some(({ health }) => health === 'suspect');

await t.test('STB-7 a handler that reports value and resource alone has its connections kept, and they carry both ways', async (t) => {
  const { url, server } = await startDomain(t);
  await offerPlainHandler(server, 'plain');
  const [alice, bob, carol] = await start(t, url, ['alice', 'bob', 'carol']) as [TestRuntime, TestRuntime, TestRuntime];
  const [chat, inbox, third] = await Promise.all([alice.node.register('chat'), bob.node.register('in'), carol.node.register('third')]);
  const got: unknown[] = [];
  await inbox.receive(({ value }) => { got.push(value); return 'answered'; });
  await Promise.all([alice.node.connect('bob/in'), carol.node.connect('bob/in')]);
  await until('the handler\'s side has both connections', async () => (await live(bob)).length === 2);
  t.same(new Set((await live(bob)).map(({ remoteRuntime, role }) => `${role} ${remoteRuntime}`)), new Set([`handler ${alice.runtime.url}`, `handler ${carol.runtime.url}`]));
  t.equal((await chat.send('bob/in', 1)).path, 'p2p');
  t.equal((await third.send('bob/in', 2)).path, 'p2p');
  t.equal(await chat.request('bob/in', 3), 'answered');
  t.equal((await inbox.send('alice/chat', 'back')).path, 'p2p', 'the handler finds the connection by body.peer');
  t.equal((await inbox.send('carol/third', 'back')).path, 'p2p');
  t.same(got, [1, 2, 3]);
  t.match((await bob.view.protostubs()).filter(({ kind }) => kind === 'p2p-handler'), [{ status: 'live' }], 'the states of connections are not the stub\'s');
  await alice.node.disconnect('bob/in');
  await until('its end is reported', async () => (await live(bob)).length === 1);
  t.equal((await inbox.send('carol/third', 'still')).path, 'p2p', 'the other goes on');
  t.match((await bob.view.protostubs()).filter(({ kind }) => kind === 'p2p-handler'), [{ status: 'live' }]);
});

for (const manner of ['mute', 'deaf'] as const) {
  await t.test(`P2P-16 a ${manner} handler: traffic takes the message node within seconds, and the connection shows why`, async (t) => {
    const { url, server } = await startDomain(t);
    await offerPlainHandler(server, manner);
    const [alice, bob] = await start(t, url, ['alice', 'bob']) as [TestRuntime, TestRuntime];
    const [chat, inbox] = await Promise.all([alice.node.register('chat'), bob.node.register('in')]);
    const got: unknown[] = [];
    await inbox.receive(({ value }) => { got.push(value); return 'answered'; });
    await alice.node.connect('bob/in');
    t.match(await chat.send('bob/in', 0, { timeoutMs: 20_000 }), { state: 'delivered', path: 'msg-node' });
    await until('the connection is doubted', () => isSuspect(alice));
    t.match((await alice.node.connections()).filter(({ health }) => health === 'suspect'), [{ status: 'live', role: 'requester', remoteRuntime: bob.runtime.url, reason: WHY }]);
    for (let value = 1; value <= 20; value += 1) t.match(await chat.send('bob/in', value), { state: 'delivered', path: 'msg-node' });
    t.equal(await chat.request('bob/in', 21), 'answered', 'questions benefit, too');
    t.same(got, Array.from({ length: 22 }, (_, value) => value), 'once, and in order');
    if (manner === 'deaf') return;
    t.ok(counterOf(bob, 'rejected') > 0, 'what was refused is counted');
    t.ok(bob.log.some((line) => line.includes(`brought a create from ${chat.address}: no P2P connection with ${alice.runtime.url} is known here`)), 'and logged');
  });
}

await t.test('P2P-16 questions alone show a deaf handler, too', async (t) => {
  const { url, server } = await startDomain(t);
  await offerPlainHandler(server, 'deaf');
  const [alice, bob] = await start(t, url, ['alice', 'bob']) as [TestRuntime, TestRuntime];
  const [chat, inbox] = await Promise.all([alice.node.register('chat'), bob.node.register('in')]);
  await inbox.receive(() => 'answered');
  await alice.node.connect('bob/in');
  await until('a question is answered', () => chat.request('bob/in', 'asks', { timeoutMs: 1500 }).then(() => true, () => false), 60_000);
  t.match((await alice.node.connections()).filter(({ health }) => health === 'suspect'), [{ status: 'live', reason: 'answers nothing, though the message node does' }]);
});

/** An outside peer with a hyperty. It acknowledges messages from the message node and drops direct ones. */
class DeafPeer {
  readonly values: unknown[] = [];
  readonly #epochs = new Map<string, number>();

  private constructor(readonly outsider: Outsider, readonly address: string, readonly connection: OutsideConnection) {
    outsider.onRequest = (frame) => { this.take(frame, 'msg-node', (code, body) => { outsider.reply(frame, code, body); }); };
  }

  /** Connects to the handler of a user's runtime. */
  static async join(t: Test, url: string, user: string, framings: readonly string[]): Promise<DeafPeer> {
    const outsider = await Outsider.join(url, 'outsider');
    t.teardown(() => { outsider.close(); });
    const address = 'hyperty://localhost/outside';
    const record = { url: address, runtime: outsider.runtime, name: 'outside', user: 'user://localhost/outsider', delivery: 'flow/1', dataSchemes: [], resources: [] };
    const { code } = await outsider.ask('domain://registry.localhost', 'create', { value: record });
    t.equal(code, 200);
    const connection = await outsider.connect(await outsider.handlerOf(user), { framings });
    t.teardown(() => connection.close());
    return new DeafPeer(outsider, address, connection);
  }

  /** Takes messages of a flow in order, and answers pings. */
  take({ type, to, body }: Frame, path: string, reply: (code: number, body: Record<string, unknown>) => void): void {
    if (type === 'ping') { reply(200, { path }); return; }
    if (to !== this.address || body?.['expect'] !== 'receipt') return;
    const [epoch, seq, , count] = body['flow'] as [string, number, number, number?];
    const values = count === undefined ? [body.value] : (body.value as [unknown, { value: unknown }][]).map(([, { value }]) => value);
    const next = this.#epochs.get(epoch) ?? seq;
    this.values.push(...values.slice(Math.max(0, next - seq)));
    this.#epochs.set(epoch, Math.max(next, seq + values.length));
    reply(200, { path, flow: [epoch, seq, seq + values.length - 1] });
  }
}

/** Answers only the PINGs of `protofly/1`. */
const answerPings = (connection: OutsideConnection): void => {
  const LENGTHS: Readonly<Record<number, number>> = { 2: 6, 4: 8, 5: 4, 6: 4, 7: 0, 8: 0 };
  connection.onBytes = (frame) => {
    for (let at = 0; at < frame.length;) {
      const kind = frame[at]!;
      if (kind === 5) connection.sendBytes(Uint8Array.from([6, ...frame.subarray(at + 1, at + 5)]));
      at += 1 + (kind === 1 ? 4 + frame.readUInt32BE(at + 1) : kind === 3 ? 6 + frame.readUInt32BE(at + 3) : LENGTHS[kind] ?? frame.length);
    }
  };
};

for (const framing of ['protofly/1', 'rethink/1'] as const) {
  await t.test(`P2P-16 a peer that drops what comes over ${framing}: traffic takes the message node, until the peer answers over the connection`, async (t) => {
    const { url } = await startDomain(t);
    const alice = await startTestRuntime(t, { domainUrl: url, user: 'alice' });
    const chat = await alice.node.register('chat');
    const peer = await DeafPeer.join(t, url, 'alice', [framing]);
    answerPings(peer.connection);
    await until('the connection is live', async () => (await live(alice)).length === 1);
    const send = (value: number) => chat.send(peer.address, value, { timeoutMs: 20_000 });
    t.match(await Promise.all([send(0), send(1), send(2)]), [0, 1, 2].map(() => ({ state: 'delivered', path: 'msg-node' })));
    await until('the connection is doubted', () => isSuspect(alice));
    t.match(await alice.node.connections(), [{ status: 'live', role: 'handler', health: 'suspect', reason: WHY, framing }]);
    for (let value = 3; value < 20; value += 1) t.match(await send(value), { state: 'delivered', path: 'msg-node' });
    t.same(peer.values, Array.from({ length: 20 }, (_, value) => value), 'once, and in order');
    if (framing === 'protofly/1') return;

    peer.connection.onRequest = (frame) => {
      peer.take(frame, 'p2p', (code, body) => { peer.connection.post({ id: frame.id, type: 'response', from: frame.to, to: frame.from, body: { ...body, code } }); });
    };
    let value = 20;
    await until('the connection carries again', async () => (await send(value++)).path === 'p2p');
    t.match(await alice.node.connections(), [{ status: 'live', framing }]);
    t.notOk(await isSuspect(alice));
    t.same(peer.values, Array.from({ length: value }, (_, index) => index));
  });
}

await t.test('P2P-16 a program that takes nothing for long is no reason to doubt its connection', async (t) => {
  const { url } = await startDomain(t);
  const [alice, bob] = await start(t, url, ['alice', 'bob']) as [TestRuntime, TestRuntime];
  const [chat, inbox] = await Promise.all([alice.node.register('chat'), bob.node.register('in')]);
  let release = (): void => undefined;
  const taken = new Promise<void>((resolve) => { release = resolve; });
  const got: unknown[] = [];
  await inbox.receive(async ({ value }) => { await taken; got.push(value); });
  await alice.node.connect('bob/in');
  const changes: string[] = [];
  await alice.node.onConnection(({ now, reason }) => { changes.push(`${now} ${reason ?? ''}`); });
  const count = 1500;
  const receipts = Array.from({ length: count }, (_, value) => chat.send('bob/in', value, { timeoutMs: 60_000 }));
  await until('they were sent again by both routes', () => counterOf(alice, 'resent') >= 2 * count, 60_000);
  release();
  t.same(new Set((await Promise.all(receipts)).map(({ state, path }) => `${state} by ${path ?? ''}`)), new Set(['delivered by p2p']));
  t.same(got, Array.from({ length: count }, (_, value) => value), 'once, and in order');
  t.equal((await chat.send('bob/in', 'next')).path, 'p2p');
  t.same(changes, [], 'nothing happened to the connection');
});
