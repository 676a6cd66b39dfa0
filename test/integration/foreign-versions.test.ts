import t from 'tap';
import { processSandbox, type SandboxFactory } from '../../src/runtime/index.js';
import { memoryStore } from '../../src/store/memory/index.js';
import { startDomain, startTestRuntime } from '../support/nodes.js';

// Our own stubs of another version are foreign code to this one: they have to work in the interpreter.
const asForeign = (): SandboxFactory => {
  const make = processSandbox({ log: () => undefined });
  return (name, init) => make(name, { ...init, ours: false });
};

await t.test('stubs of another version carry messages through message nodes of both protocols, and set up direct connections', async (t) => {
  const a = await startDomain(t, 'a.example', { protocols: ['websocket'] });
  const b = await startDomain(t, 'b.example', { protocols: ['rest'] });
  const domains = { 'a.example': a.url, 'b.example': b.url };
  const alice = await startTestRuntime(t, { domainUrl: a.url, user: 'alice', domains, p2p: true }, memoryStore(), asForeign());
  const bob = await startTestRuntime(t, { domainUrl: b.url, user: 'bob', domains, p2p: true }, memoryStore(), asForeign());
  const chat = await alice.node.register('chat');
  const inbox = await bob.node.register('in');
  const numbers: unknown[] = [];
  await inbox.receive(({ value }) => { numbers.push(value); });
  const sent = Array.from({ length: 200 }, (_, index) => index);
  const byNode = await Promise.all(sent.map((number) => chat.send('bob/in@b.example', number, { p2p: false })));
  t.ok(byNode.every(({ path }) => path === 'msg-node'));
  t.match(await alice.node.connect('bob/in@b.example'), { status: 'live', remoteRuntime: bob.runtime.url });
  const direct = await Promise.all(sent.map((number) => chat.send('bob/in@b.example', number + 200)));
  t.ok(direct.every(({ path }) => path === 'p2p'), 'the direct connection carries them');
  t.strictSame(numbers, [...sent, ...sent.map((number) => number + 200)]);
});
