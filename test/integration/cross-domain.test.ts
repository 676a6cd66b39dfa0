import t, { type Test } from 'tap';
import type { DomainServer } from '../../src/domain-server/index.js';
import type { Resolution } from '../../src/client/documents.js';
import { startDomain, startTestRuntime, type TestRuntime } from '../support/nodes.js';
import { until } from '../support/until.js';

type Protocol = 'websocket' | 'rest';

interface Scene {
  readonly alice: TestRuntime;
  readonly bob: TestRuntime;
  readonly a: DomainServer;
  readonly b: DomainServer;
}

/** Starts two domains with one protocol each, and a runtime in each. */
const twoDomains = async (t: Test, protocols: readonly [Protocol, Protocol], p2p: boolean): Promise<Scene> => {
  const a = await startDomain(t, 'a.example', { protocols: [protocols[0]] });
  const b = await startDomain(t, 'b.example', { protocols: [protocols[1]] });
  const domains = { 'a.example': a.url, 'b.example': b.url };
  const [alice, bob] = await Promise.all([
    startTestRuntime(t, { domainUrl: a.url, user: 'alice', domains, p2p }),
    startTestRuntime(t, { domainUrl: b.url, user: 'bob', domains, p2p }),
  ]);
  return { alice, bob, a: a.server, b: b.server };
};

/** Returns a runtime's message-node stub for a domain. */
const stubOf = async ({ view }: TestRuntime, domain: string): Promise<Readonly<Record<string, unknown>> | undefined> =>
  (await view.protostubs()).find((stub) => stub.kind === 'msg-node' && stub.domain === domain) as Readonly<Record<string, unknown>> | undefined;

const stepOf = ({ steps }: Resolution, name: string): string => String(steps.find(({ step }) => step === name)?.result);

for (const protocols of [['websocket', 'rest'], ['rest', 'websocket']] as const) {
  const [mine, theirs] = protocols;
  await t.test(`RTE-7 from a domain that speaks ${mine} to one that speaks ${theirs}, through message nodes alone`, async (t) => {
    const { alice, bob, b } = await twoDomains(t, protocols, false);
    const chat = await alice.node.register('chat');
    const inbox = await bob.node.register('in');
    await inbox.receive(({ value }) => `${String(value)}, too`);

    const before = await alice.view.resolve(await alice.node.find('bob/in@b.example'));
    t.match(before, { path: 'msg-node' });
    t.match(stepOf(before, 'registry'), `lives in ${bob.runtime.url}`);
    t.match(stepOf(before, 'protostub'), new RegExp(`b\\.example.*protocolstub/default version .*sha256-.*signed by ${String(b.status()['publisherKey'])}`));

    t.equal(await chat.request('bob/in@b.example', 'hello'), 'hello, too');
    const stub = await stubOf(alice, 'b.example');
    t.match(stub, { origin: 'hyperty-catalogue://catalogue.b.example/.well-known/protocolstub/default', from: 'catalogue', status: 'live' });
    t.match(stub?.['hash'], /^sha256-[0-9a-f]{64}$/);
    t.equal(stub?.['keyId'], b.status()['publisherKey']);
    t.not(stub?.['pid'], (await stubOf(alice, 'a.example'))?.['pid'], 'each domain\'s stub has a sandbox of its own');
    t.equal(await stubOf(bob, 'a.example'), undefined, 'the answer went back the way that the question came');

    const numbers: unknown[] = [];
    await inbox.receive(({ value }) => { numbers.push(value); });
    const sent = Array.from({ length: 500 }, (_, index) => index);
    const receipts = await Promise.all(sent.map((number) => chat.send('bob/in@b.example', number)));
    t.strictSame(numbers, sent);
    t.ok(receipts.every(({ path }) => path === 'msg-node'));

    await chat.receive(({ value }) => `${String(value)} back`);
    t.equal(await inbox.request('alice/chat@a.example', 'and'), 'and back', 'the other direction deploys the other stub');
    t.match(await stubOf(bob, 'a.example'), { from: 'catalogue', status: 'live' });
  });

  await t.test(`P2P-1 between a domain that speaks ${mine} and one that speaks ${theirs}: signalling through both, then directly`, async (t) => {
    const { alice, bob, a, b } = await twoDomains(t, protocols, true);
    const chat = await alice.node.register('chat');
    const inbox = await bob.node.register('in');
    await inbox.receive(() => 'got it');
    await chat.receive(() => 'got it, too');
    const relayed = (server: DomainServer): number => (server.status()['messages'] as { delivered: number }).delivered;
    const [atA, atB] = [relayed(a), relayed(b)];
    t.match(await alice.node.connect('bob/in@b.example'), { status: 'live', remoteRuntime: bob.runtime.url });
    t.ok(relayed(a) > atA && relayed(b) > atB, 'both message nodes carried some of the set-up');
    t.equal((await chat.send('bob/in@b.example', 'direct')).path, 'p2p');
    await until('a live connection at the other side', () => bob.node.connections().then((connections) => connections.some(({ status }) => status === 'live')));
    t.equal((await inbox.send('alice/chat@a.example', 'direct')).path, 'p2p');

    const requester = (await alice.view.protostubs()).find(({ kind }) => kind === 'p2p-requester');
    t.match(requester, { origin: 'hyperty-catalogue://catalogue.b.example/.well-known/protocolstub/p2p-requester', from: 'catalogue' }, 'who is called says which stub the caller runs');
    const handler = (await alice.view.protostubs()).find(({ kind }) => kind === 'p2p-handler');
    t.match(handler, { origin: 'hyperty-catalogue://catalogue.a.example/.well-known/protocolstub/p2p-handler' });
    t.not(requester?.pid, handler?.pid, 'code of another domain runs in another process');
    t.match(stepOf(await alice.view.resolve(await alice.node.find('bob/in@b.example')), 'protostub'), 'p2p-requester');
  });
}
