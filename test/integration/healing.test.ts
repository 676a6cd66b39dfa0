import t, { type Test } from 'tap';
import { processSandbox } from '../../src/runtime/index.js';
import { memoryStore } from '../../src/store/index.js';
import type { Interfaces } from '../../src/runtime/network/index.js';
import type { ConnectionChange } from '../../src/client/documents.js';
import { startDomain, startTestRuntime, type TestRuntime } from '../support/nodes.js';
import { until } from '../support/until.js';

const live = async ({ node }: TestRuntime) => (await node.connections()).filter(({ status }) => status === 'live');

/** Returns the process of a runtime's P2P stubs. */
const p2pProcess = async ({ view }: TestRuntime): Promise<number> => (await view.protostubs()).find(({ kind }) => kind === 'p2p-handler')!.pid!;

const freeze = (t: Test, pid: number): (() => void) => {
  process.kill(pid, 'SIGSTOP');
  const thaw = (): void => {
    try {
      process.kill(pid, 'SIGCONT');
    } catch {
      // It has ended since.
    }
  };
  t.teardown(thaw);
  return thaw;
};

/** Creates sandboxes that tolerate a stopped process. */
const patient = () => processSandbox({ log: () => undefined, heartbeatMs: 60_000 });

/** Starts alice, connected to bob, who takes all messages. */
const connected = async (t: Test, { bobs, interfaces }: { readonly bobs?: ReturnType<typeof patient>; readonly interfaces?: Interfaces } = {}) => {
  const { url, server } = await startDomain(t);
  const [alice, bob] = await Promise.all([
    startTestRuntime(t, { domainUrl: url, user: 'alice' }, memoryStore(), undefined, interfaces === undefined ? {} : { interfaces }),
    startTestRuntime(t, { domainUrl: url, user: 'bob' }, memoryStore(), bobs),
  ]);
  const chat = await alice.node.register('chat');
  const inbox = await bob.node.register('in');
  const got: unknown[] = [];
  await inbox.receive(({ value }) => { got.push(value); });
  const changes: string[] = [];
  void alice.view.watchConnections(() => false, ({ was, now, reason }: ConnectionChange) => {
    changes.push(`${was ?? ''} ${now} ${reason ?? ''}`);
    return false;
  }).catch(() => undefined);
  await alice.node.connect('bob/in');
  return { alice, bob, chat, got, changes, server };
};

/** Sends numbers, a few at a time, until it is stopped. */
const stream = (send: (value: number) => Promise<{ readonly path?: string | undefined }>) => {
  const paths: (string | undefined)[] = [];
  let going = true;
  let next = 0;
  const worker = async (): Promise<void> => {
    while (going) {
      const { path } = await send(next++);
      paths.push(path);
      await new Promise((resolve) => { setTimeout(resolve, 5); });
    }
  };
  const done = Promise.all([worker(), worker(), worker()]);
  return { paths, stop: async () => { going = false; await done; return next; } };
};

await t.test('a path that is cut without a goodbye: traffic moves to the message node within 3 s, nothing is lost, and it comes back', async (t) => {
  const { alice, bob, chat, got, changes } = await connected(t, { bobs: patient() });
  const { paths, stop } = stream((value) => chat.send('bob/in', value));
  await until('a message over P2P', () => paths.includes('p2p'));
  const thaw = freeze(t, await p2pProcess(bob));
  const cut = Date.now();
  const before = paths.length;
  await until('a message through the message node', () => paths.slice(before).includes('msg-node'));
  const took = Date.now() - cut;
  t.ok(took < 5000, `moved after ${String(took)} ms`);
  t.ok(changes.some((change) => /^live live suspect: silent for \d+\.\d s/.test(change)), 'it is told that it is suspect, and why');
  t.match(await live(alice), [{ health: 'suspect', reason: /silent/ }], 'suspect is no state of its own');
  const there = paths.length;
  thaw();
  await until('P2P again', () => paths.slice(there).includes('p2p'));
  const count = await stop();
  t.same(got, Array.from({ length: count }, (_, index) => index), 'each once and in order');
  t.match((await live(alice)).at(-1), { health: 'good', status: 'live' });
  t.notOk(changes.some((change) => /disconnected/.test(change)), 'never given up');
});

await t.test('a P2P process that is killed: the connection comes back by itself, without anybody sending anything', async (t) => {
  const { alice, bob, chat, got, changes } = await connected(t);
  t.equal((await chat.send('bob/in', 'before')).path, 'p2p');
  process.kill(await p2pProcess(bob), 'SIGKILL');
  await until('the loss to be noticed', () => changes.some((change) => /suspect|disconnected/.test(change)));
  await until('a connection on both sides again', async () => (await live(alice)).some(({ health }) => health === 'good') && (await live(bob)).length > 0);
  t.equal((await chat.send('bob/in', 'after')).path, 'p2p');
  t.same(got, ['before', 'after']);
  const told = alice.log.length;
  await alice.node.disconnect('bob/in');
  await until('the end', async () => (await live(alice)).length === 0);
  t.notOk(alice.log.slice(told).some((entry) => entry.includes('is set up again')), 'what was ended by hand stays so');
});

await t.test('the network of the machine changes: what used the address that is gone is made anew, and the message node is asked', async (t) => {
  let addresses = ['10.1.2.3'];
  const interfaces: Interfaces = () => ({ eth0: addresses.map((address) => ({ address, internal: false })) });
  const { alice, chat, changes, got } = await connected(t, { interfaces });
  const [{ generation, pair } = {}] = await live(alice);
  const change = async (): Promise<string | undefined> => (await alice.view.status()).network?.change;
  // The address of the selected pair appears, and then disappears.
  const local = /^(.*):\d+ /.exec(String(pair?.local))![1]!.replace(/[[\]]/g, '');
  addresses = [local, '10.1.2.4'];
  await until('the change to be told', async () => (await change()) === `gone 10.1.2.3; new ${local}, 10.1.2.4`);
  addresses = ['10.1.2.4'];
  await until('a new generation', () => changes.some((change) => /generation \d+ took over/.test(change)));
  t.equal(await change(), `gone ${local}`);
  t.ok(((await live(alice))[0]?.generation ?? 0) > (generation ?? 0), 'a higher one, in place of the other');
  t.equal((await chat.send('bob/in', 'after')).path, 'p2p');
  t.same(got, ['after']);
  t.notOk(changes.some((change) => /disconnected/.test(change)), 'made before the other was broken');
  t.equal((await alice.view.status()).state, 'live', 'the message node answered');
});

await t.test('FLW-3 a message-node stub that is lost again and again: what wants a receipt waits for the next one, as long as its sender does', async (t) => {
  const { url } = await startDomain(t);
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((user) => startTestRuntime(t, { domainUrl: url, user, p2p: false })));
  const chat = await alice!.node.register('chat');
  const inbox = await bob!.node.register('in');
  const got: unknown[] = [];
  await inbox.receive(({ value }) => { got.push(value); });
  await chat.send('bob/in', 0);
  const pid = async (): Promise<number | undefined> => (await alice!.view.protostubs()).find(({ kind }) => kind === 'msg-node')?.pid;
  const killed = new Set<number>();
  for (let round = 0; round < 4; round += 1) {
    await until('a stub', async () => { const now = await pid(); return now !== undefined && !killed.has(now); });
    const now = (await pid())!;
    killed.add(now);
    process.kill(now, 'SIGKILL');
  }
  await until('none: the next one comes after a pause of seconds', async () => (await pid()) === undefined);
  const receipts = await Promise.all([1, 2, 3].map((value) => chat.send('bob/in', value, { timeoutMs: 60_000 })));
  t.same(receipts.map(({ path }) => path), ['msg-node', 'msg-node', 'msg-node']);
  t.same(got, [0, 1, 2, 3]);
  await t.rejects(chat.send('hyperty://nowhere.invalid/x', 1, { timeoutMs: 60_000 }), { code: 'E_UNREACHABLE' }, 'where there never was a way nobody waits for one');
});
