import t, { type Test } from 'tap';
import { DomainClient } from '../support/domain-client.js';
import { OutsideConnection } from '../support/outsider.js';
import { startDomain, startTestRuntime, type TestRuntime } from '../support/nodes.js';
import { ProtoflyError } from '../../src/protocol/index.js';
import { until } from '../support/until.js';

interface Scene {
  readonly victim: TestRuntime;
  readonly evil: TestRuntime;
  /** A client of the victim's message node, as any stranger may be. */
  readonly stranger: DomainClient;
  /** Every URL that the victim's runtime has read of other domains than its own. */
  readonly foreign: readonly string[];
}

/** Starts the victim's domain and runtime, and a hostile domain that has a name in DNS. */
const startScene = async (t: Test): Promise<Scene> => {
  const own = await startDomain(t, 'victim.example');
  const hostile = await startDomain(t, 'evil.example');
  const foreign: string[] = [];
  const reads: typeof fetch = (input, init) => {
    const url = new URL(String(input));
    foreign.push(url.href);
    return fetch(url.hostname === 'evil.example' ? new URL(url.pathname, hostile.url) : url, init);
  };
  // Here the public internet is this machine.
  const web = { fetch: reads, check: () => undefined };
  const victim = await startTestRuntime(t, { domainUrl: own.url, user: 'victim' }, undefined, undefined, { web });
  const evil = await startTestRuntime(t, { domainUrl: hostile.url, user: 'mallory', domains: { 'victim.example': own.url } });
  const stranger = await DomainClient.connect(own.url, 'hyperty-runtime://evil.example/x');
  await stranger.openSession();
  t.teardown(() => stranger.vanish());
  return { victim, evil, stranger, foreign };
};

const handlerOf = async ({ view }: TestRuntime): Promise<string> =>
  String((await view.protostubs()).find(({ kind }) => kind === 'p2p-handler')?.url);

/** The SDP of a real offer. */
const connection = new OutsideConnection();
const sdp = await connection.offer;
t.teardown(() => connection.close());

const invitation = (domain: string, source = `hyperty-runtime://${domain}/x/p2prequester/1`): Record<string, unknown> => ({
  source,
  schema: `hyperty-catalogue://catalogue.${domain}/.well-known/dataschema/Connection`,
  value: {
    url: `connection://${domain}/obj`, reporter: source, schema: `hyperty-catalogue://catalogue.${domain}/.well-known/dataschema/Connection`, version: 0,
    name: 'offer 1', runtime: source.split('/p2prequester')[0], status: 'created', connectionDescription: { type: 'offer', sdp }, iceCandidates: [], generation: 1,
  },
});

const trusted = ({ store }: TestRuntime): string[] => [...store.collection('publishers').entries()].map(([domain]) => domain).sort();

/** Waits until what a hostile message has set off would have happened. */
const settled = (): Promise<void> => new Promise((resolve) => { setTimeout(resolve, 500); });

await t.test('STB-9 an invitation of a foreign domain has no document read, no key believed and nothing deployed', async (t) => {
  const { victim, stranger, foreign } = await startScene(t);
  const answer = await stranger.ask('create', await handlerOf(victim), invitation('evil.example'), 'connection://evil.example/obj/subscription');
  t.match(answer.body, { code: 403, error: 'E_STRANGER' });
  await settled();
  t.same(foreign, []);
  t.same(trusted(victim), ['victim.example']);
  t.notOk((await victim.view.protostubs()).some(({ domain }) => domain !== 'victim.example'));
});

await t.test('STB-9 an invitation under the name localhost reaches no server of this machine', async (t) => {
  const { victim, foreign } = await startScene(t);
  const { url } = victim.runtime.status()['messageNode'] as { readonly url: string };
  const local = await DomainClient.connect(url.replace(/\/ws$/, ''), 'hyperty-runtime://localhost/x');
  await local.openSession();
  t.teardown(() => local.vanish());
  t.match((await local.ask('create', await handlerOf(victim), invitation('localhost'), 'connection://localhost/obj/subscription')).body, { code: 403, error: 'E_STRANGER' });
  await settled();
  t.same(foreign, []);
});

await t.test('STB-9 messages, answers and receipts of a foreign domain are carried without a look at it', async (t) => {
  const { victim, evil, stranger, foreign } = await startScene(t);
  const inbox = await victim.node.register('in');
  const seen: unknown[] = [];
  await inbox.receive(({ value }) => { seen.push(value); return 'seen'; });
  const mallory = await evil.node.register('out');
  t.equal(await mallory.request('victim/in@victim.example', 'hello'), 'seen');
  t.equal((await stranger.ask('ping', victim.runtime.url, undefined, 'hyperty-runtime://evil.example/x/registry')).body?.code, 200);
  // The session of a sender has gone before its answer: the answer is dropped.
  stranger.send({ id: 'late', type: 'ping', from: 'hyperty-runtime://evil.example/x', to: victim.runtime.url });
  await stranger.vanish();
  t.equal((await mallory.send('victim/in@victim.example', 'again')).path, 'msg-node');
  t.same(seen, ['hello', 'again']);
  t.same(foreign, []);
  t.same(trusted(victim), ['victim.example']);
});

await t.test('STB-9 a set-up by a foreign runtime is refused until a program here sends to its domain', async (t) => {
  const { victim, evil, foreign } = await startScene(t);
  const inbox = await victim.node.register('in');
  await inbox.receive(() => 'seen');
  const out = await evil.node.register('out');
  await out.receive(() => 'seen');
  await t.rejects(evil.node.connect('victim/in@victim.example'), { message: /refused with 403/ });
  t.same(foreign, []);
  t.equal(await inbox.request('mallory/out@evil.example', 'hello'), 'seen');
  t.ok(foreign.length > 0, 'a program has named the domain');
  t.match(trusted(victim), ['evil.example', 'victim.example']);
  await until('a live connection', async () => (await victim.node.connections()).some(({ status }) => status === 'live'));
});

await t.test('STB-10 a program that sends to a private name has nothing asked there', async (t) => {
  const own = await startDomain(t, 'victim.example');
  const { node } = await startTestRuntime(t, { domainUrl: own.url, user: 'victim', p2p: false });
  const out = await node.register('out');
  for (const domain of ['localhost', '127.0.0.1', 'router']) await t.rejects(out.send(`hyperty://${domain}/x`, 1), { code: 'E_PRIVATE' }, domain);
});

await t.test('STB-10 a foreign domain\'s stub is not deployed for a server in a private network', async (t) => {
  const own = await startDomain(t, 'victim.example');
  const hostile = await startDomain(t, 'evil.example');
  const web = {
    fetch: (async (input, init) => fetch(new URL(new URL(String(input)).pathname, hostile.url), init)) as typeof fetch,
    check: (host: string) => { if (host !== 'evil.example') throw new ProtoflyError('E_PRIVATE', `${host} is private`); },
  };
  const { node, view } = await startTestRuntime(t, { domainUrl: own.url, user: 'victim', p2p: false }, undefined, undefined, { web });
  const out = await node.register('out');
  await t.rejects(out.send('hyperty://evil.example/x', 1), { code: 'E_PRIVATE' });
  t.notOk((await view.protostubs()).some(({ domain }) => domain === 'evil.example'));
});
