import t from 'tap';
import { OutsideConnection, Outsider } from '../support/outsider.js';
import { startDomain, startTestRuntime } from '../support/nodes.js';

await t.test('P2P-17 a client of the domain sets no connection up in the name of another runtime', async (t) => {
  const { url } = await startDomain(t);
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((user) => startTestRuntime(t, { domainUrl: url, user })));
  const got: unknown[] = [];
  const out = await alice!.node.register('out');
  const heard: unknown[] = [];
  await out.receive(({ value }) => { heard.push(value); });
  const inbox = await bob!.node.register('in');
  await inbox.receive(({ value }) => { got.push(value); });
  const mallory = await Outsider.join(url, 'mallory');
  const connection = new OutsideConnection();
  t.teardown(() => { mallory.close(); return connection.close(); });
  const overheard: unknown[] = [];
  connection.onRequest = ({ body }) => { overheard.push(body?.value); };

  const victim = alice!.runtime.url;
  const handler = await mallory.handlerOf('bob');
  for (const stub of [`${victim}/p2prequester/status`, `${mallory.runtime}/p2prequester/1`]) {
    const value = { name: 'an offer', runtime: victim, status: 'created', connectionDescription: { type: 'offer', sdp: await connection.offer }, iceCandidates: [] };
    const answer = await mallory.negotiate(stub, handler, value).catch((error: unknown) => error as Error);
    t.match(answer, { message: /refused with 403/ }, stub);
    if (typeof answer !== 'string') continue;
    await connection.accept(answer);
    connection.post({ id: 'forged', type: 'create', from: out.address, to: inbox.address, body: { value: 'forged' } });
  }
  await inbox.send('alice/out', 'secret');
  t.same(heard, ['secret'], 'what is sent to alice reaches her');
  t.same(overheard, []);
  t.same(got, []);
  t.same((await bob!.node.connections()).filter(({ role }) => role === 'handler'), []);
});

await t.test('SUB-3 nobody subscribes to an address below another runtime', async (t) => {
  const { url } = await startDomain(t);
  const alice = await startTestRuntime(t, { domainUrl: url, user: 'alice' });
  const mallory = await Outsider.join(url, 'mallory');
  t.teardown(() => { mallory.close(); });
  const subscribe = async (address: string): Promise<number> => (await mallory.ask('domain://msg-node.localhost/sm', 'subscribe', { subscribe: [address], source: `${mallory.runtime}/sm` }, `${mallory.runtime}/sm`)).code;
  for (const path of ['p2prequester/status', 'p2prequester/1/status', 'p2phandler/1/changes', 'status', 'p2prequester/registration']) t.equal(await subscribe(`${alice.runtime.url}/${path}`), 403, path);
  t.equal(await subscribe(`${alice.runtime.url}/registration`), 200, 'the registry publishes there');
});
