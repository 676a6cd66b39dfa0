import t, { type Test } from 'tap';
import { memoryPair } from '../../src/link/memory/index.js';
import { startRuntime } from '../../src/library/index.js';
import { Node } from '../../src/library/node.js';
import type { Message } from '../../src/protocol/index.js';
import { temporaryFolder } from '../support/domain-server.js';
import { startDomain, startTestRuntime } from '../support/nodes.js';
import { until } from '../support/until.js';

// The keys of the users.
process.env['PROTOFLY_HOME'] = temporaryFolder(t);

/** Collects unhandled rejections during a test. */
const unhandledDuring = (t: Test): unknown[] => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => { unhandled.push(reason); };
  process.on('unhandledRejection', note);
  t.teardown(() => process.off('unhandledRejection', note));
  return unhandled;
};

/** Waits for a turn: Node reports unhandled rejections when its microtasks are done. */
const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve); });

t.test('a program that waits for nothing is not ended by what was under way when it stops', async (t) => {
  const unhandled = unhandledDuring(t);
  const { url } = await startDomain(t);
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((user) => startRuntime({ domain: url, user, p2p: false, sandbox: 'in-process' })));
  const [out, inbox] = [await alice!.register('out'), await bob!.register('in')];
  const taken = new Set<unknown>();
  await inbox.receive(({ value }) => {
    taken.add(value);
    return new Promise(() => undefined);
  });
  // By address and by name: a found address takes another promise chain.
  void out.send(inbox.address, 'a message');
  void out.send('bob/in', 'another message');
  void out.request(inbox.address, 'a question');
  void out.request('bob/in', 'another question');
  await until('bob has the first, and is not done with it', () => taken.size > 0);
  const file = new URL(import.meta.url).pathname;
  void out.sendFile('bob/in', file);
  const [message, question] = [out.send('bob/in', 'a third message'), out.request(inbox.address, 'a third question')];
  await alice!.close();
  await turn();
  t.same(unhandled, []);
  for (const answer of [message, question]) await t.rejects(answer, { code: 'E_LINK_CLOSED', uncertain: true }, 'a program that waits is told, later too');

  for (const to of ['bob/in', inbox.address]) {
    void out.send(to, 'a message');
    void out.request(to, 'a question');
    void out.sendFile(to, file);
  }
  void out.receive(() => undefined);
  void alice!.register('more');
  void alice!.unregister('out');
  void alice!.find('bob/in');
  void alice!.discover();
  void alice!.connect('bob/in');
  void alice!.disconnect('bob/in');
  void alice!.connections();
  void alice!.onConnection(() => undefined);
  void alice!.status();
  await turn();
  t.same(unhandled, [], 'nor by what it asks for when it has stopped');
  await t.rejects(alice!.status(), { code: 'E_LINK_CLOSED' });
  await bob!.close();
});

t.test('a file that is being sent when the program stops doesn\'t end it', async (t) => {
  const unhandled = unhandledDuring(t);
  const { url } = await startDomain(t);
  const alice = await startRuntime({ domain: url, user: 'alice', p2p: false, sandbox: 'in-process' });
  const out = await alice.register('out');
  const closed = alice.close();
  const file = new URL(import.meta.url).pathname;
  for (let n = 0; n < 5; n += 1) {
    void out.sendFile('hyperty://localhost/nowhere', file);
    await turn();
  }
  await closed;
  await turn();
  t.same(unhandled, [], 'its hyperty goes first, and then the runtime refuses what comes from it');
});

t.test('a message that is refused ends no program that doesn\'t wait for it', async (t) => {
  const unhandled = unhandledDuring(t);
  const { url } = await startDomain(t);
  const alice = await startRuntime({ domain: url, user: 'alice', p2p: false, sandbox: 'in-process' });
  t.teardown(() => alice.close());
  const out = await alice.register('out');
  const nowhere = 'hyperty://localhost/nowhere';
  for (const to of [nowhere, 'nobody/in', 'no address://']) {
    void out.send(to, 1);
    void out.request(to, 1);
    await t.rejects(out.send(to, 2), `${to}: a program that waits is told`);
  }
  await turn();
  t.same(unhandled, []);
});

t.test('a node whose runtime has gone can be closed', async (t) => {
  const { url } = await startDomain(t);
  const { runtime } = await startTestRuntime(t, { domainUrl: url, user: 'alice', p2p: false });
  const [near, far] = memoryPair<Message>({ name: 'program' });
  runtime.serve(far);
  let ends = 0;
  const node = await Node.open(near, { end: () => { ends += 1; return Promise.resolve(); }, transient: true });
  await node.register('in');
  await runtime.stop();
  await near.closed;
  await node.close();
  t.equal(ends, 1, 'what belongs to the node has been ended');
});
