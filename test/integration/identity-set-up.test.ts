import t, { type Test } from 'tap';
import { SetUpSignatures, type SetUpSignaturesComponents } from '../../src/runtime/p2p/set-up-signatures.js';
import { child, parseAddress, type Address } from '../../src/protocol/index.js';
import { DomainClient, type Frame } from '../support/domain-client.js';
import { EvilNode } from '../support/evil-node.js';
import { ManualClock } from '../support/manual-clock.js';
import { startDomain, startTestRuntime, type TestRuntime } from '../support/nodes.js';
import { makeKey } from '../support/identity-key.js';
import { until } from '../support/until.js';

const FINGERPRINT = /a=fingerprint:sha-256 [0-9A-F:]+/;
const OTHER = `a=fingerprint:sha-256 ${Array(32).fill('AB').join(':')}`;

interface Invitation extends Frame {
  readonly body: NonNullable<Frame['body']> & { readonly value: Readonly<Record<string, unknown>> & { readonly connectionDescription: { readonly type: string; readonly sdp: string } } };
}

const isInvitation = (frame: Frame): frame is Invitation => frame.type === 'create' && /\/p2p(handler|requester)/.test(String(frame.to));
const withValue = (frame: Invitation, value: Record<string, unknown>): Frame => ({ ...frame, body: { ...frame.body, value: { ...frame.body.value, ...value } } });
const swapped = (frame: Invitation): Frame => withValue(frame, { connectionDescription: { ...frame.body.value.connectionDescription, sdp: frame.body.value.connectionDescription.sdp.replace(FINGERPRINT, OTHER) } });

const between = async (t: Test): Promise<{ readonly evil: EvilNode; readonly alice: TestRuntime; readonly bob: TestRuntime }> => {
  const evil = await EvilNode.listen(t);
  const { url } = await startDomain(t, 'localhost', { publicUrl: evil.url, allowUnauthenticated: false });
  evil.standBefore(url);
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((user) => startTestRuntime(t, { domainUrl: evil.url, user }))) as [TestRuntime, TestRuntime];
  await bob.node.register('in');
  return { evil, alice, bob };
};

const rejected = ({ runtime }: TestRuntime): number => (runtime.status()['counters'] as { readonly rejected: number }).rejected;

const TRICKS: Readonly<Record<string, { readonly role: string; readonly trick: (frame: Invitation) => Frame; readonly why: RegExp }>> = {
  'swaps the fingerprint of the offer': { role: 'offer', trick: swapped, why: /isn't what that runtime signed/ },
  'swaps the fingerprint of the answer': { role: 'answer', trick: swapped, why: /isn't what that runtime signed/ },
  'takes the signature off the offer': { role: 'offer', trick: (frame) => withValue(frame, { signature: undefined }), why: /is not signed/ },
  'takes the signature off the answer': { role: 'answer', trick: (frame) => withValue(frame, { signature: undefined }), why: /is not signed/ },
  'changes the generation': { role: 'offer', trick: (frame) => withValue(frame, { generation: 1_000_000 }), why: /isn't what that runtime signed/ },
};

await t.test('P2P-18 a message node that changes a set-up makes it fail, and the reason is told', async (t) => {
  const { evil, alice, bob } = await between(t);
  for (const [what, { role, trick, why }] of Object.entries(TRICKS)) {
    const judge = role === 'offer' ? bob : alice;
    const before = rejected(judge);
    evil.tamper = (frame) => [isInvitation(frame) && frame.body.value.connectionDescription.type === role ? trick(frame) : frame];
    await t.rejects(alice.node.connect('bob/in'), { message: why }, what);
    t.equal(rejected(judge), before + 1, 'it is counted');
  }
  evil.tamper = (frame) => [frame];
  await until('the same runtimes connect when nobody lies', async () => (await alice.node.connect('bob/in').catch(() => undefined))?.status === 'live');
});

await t.test('P2P-18 an answer that comes twice does the set-up no harm', async (t) => {
  const { evil, alice, bob } = await between(t);
  evil.tamper = (frame, toServer) => (!toServer && isInvitation(frame) && frame.body.value.connectionDescription.type === 'answer' ? [frame, { ...frame, id: 'evil-twice' }] : [frame]);
  t.equal((await alice.node.connect('bob/in')).status, 'live');
  await until('bob has one connection, and it is live', async () => (await bob.node.connections()).map(({ status }) => status).join() === 'live');
});

await t.test('P2P-18 a message node can neither repeat nor invent an invitation', async (t) => {
  const { evil, alice, bob } = await between(t);
  const seen: Invitation[] = [];
  const answers: Frame[] = [];
  evil.tamper = (frame, toServer) => {
    if (!toServer && isInvitation(frame) && frame.body.value.connectionDescription.type === 'offer') seen.push(frame);
    if (!toServer || !String(frame.id).startsWith('evil')) return [frame];
    answers.push(frame);
    return [];
  };
  await alice.node.connect('bob/in');
  const [invitation] = seen;
  if (invitation === undefined) throw new Error('no invitation was seen');
  const tried = async (frame: Frame): Promise<Frame['body']> => {
    evil.invent(frame);
    await until('an answer', () => Promise.resolve(answers.some(({ id }) => id === frame.id)));
    return answers.find(({ id }) => id === frame.id)?.body;
  };
  t.match(await tried({ ...invitation, id: 'evil-1' }), { code: 403, error: 'E_REPLAYED' });
  const forged = await makeKey().sign('protofly-connection', { from: alice.runtime.url, to: bob.runtime.url, role: 'offer' });
  t.match(await tried({ ...withValue(invitation, { signature: forged }), id: 'evil-2' }), { code: 403, error: 'E_IDENTITY' });
  t.match(await tried({ ...withValue(swapped(invitation) as Invitation, {}), id: 'evil-3' }), { code: 403, error: 'E_SIGNATURE' });
  t.equal((await bob.node.connections()).filter(({ status }) => status === 'live').length, 1, 'the connection goes on');
});

await t.test('P2P-17 a member hides no invitation in a batch, and names no other sender', async (t) => {
  const { url } = await startDomain(t, 'localhost', { allowUnauthenticated: false });
  const bob = await startTestRuntime(t, { domainUrl: url, user: 'bob' });
  const key = makeKey();
  const mallory = await (await DomainClient.connect(url, `hyperty-runtime://localhost/${key.id}`)).openSession(key);
  t.teardown(() => mallory.vanish());
  const victim = `hyperty-runtime://localhost/${makeKey().id}`;
  const invitation = { sender: victim, source: `${victim}/p2prequester/1`, value: { connectionDescription: { type: 'offer', sdp: 'v=0' } } };
  const stub = `${bob.runtime.url}/p2phandler/1`;
  t.match((await mallory.ask('create', stub, { expect: 'receipt', flow: ['e', 1, 1, 2], value: [['a', invitation], ['b', invitation]] })).body, { code: 403, error: 'E_REFUSED' });
  t.match((await mallory.ask('create', stub, { ...invitation, source: `${mallory.runtime}/p2prequester/1` })).body, { code: 403, error: 'E_UNSIGNED', description: new RegExp(key.id) }, 'the node says who it is');
});

await t.test('P2P-18 a signature is for one set-up between two runtimes, and expires', async (t) => {
  const clock = new ManualClock();
  const party = () => {
    const key = makeKey();
    const url = parseAddress(`hyperty-runtime://localhost/${key.id}`);
    const handler = child(url, 'p2phandler');
    const requesters = new Map<Address, Address>();
    const stubs: SetUpSignaturesComponents['stubs'] = {
      get: (stub) => {
        const remoteRuntimeURL = requesters.get(stub);
        return stub === handler ? { init: { kind: 'p2p-handler', config: {} } } : remoteRuntimeURL === undefined ? undefined : { init: { kind: 'p2p-requester', config: { remoteRuntimeURL } } };
      },
    };
    const requesterTo = (remote: Address): Address => {
      const stub = child(child(url, 'p2prequester'), String(requesters.size));
      requesters.set(stub, remote);
      return stub;
    };
    return { url, handler, requesterTo, signatures: new SetUpSignatures({ clock, key, identity: { certificate: undefined }, stubs }, { runtime: url }) };
  };
  const [alice, bob, carol] = [party(), party(), party()];
  const offer = async (from = alice, to = bob, generation = 1): Promise<Record<string, unknown>> => {
    const value = { connectionDescription: { type: 'offer', sdp: 'v=0' }, generation };
    return { ...value, ...await from.signatures.sign(from.requesterTo(to.url), [to.handler], value) };
  };
  const answer = async (from = bob, to = alice, generation?: number, stub = from.handler): Promise<Record<string, unknown>> => {
    const value = { connectionDescription: { type: 'answer', sdp: 'v=0' }, ...(generation === undefined ? {} : { generation }) };
    return { ...value, ...await from.signatures.sign(stub, [to.handler], value) };
  };
  const first = await offer();
  await bob.signatures.check(first, alice.url);
  await t.rejects(bob.signatures.check(first, alice.url), { code: 'E_REPLAYED' });
  await alice.signatures.check(await answer(bob, alice, 1), bob.url);
  await bob.signatures.check(await offer(alice, bob, 2), alice.url);
  await alice.signatures.check(await answer(), bob.url);
  await t.rejects(carol.signatures.check(await offer(), alice.url), { code: 'E_SIGNATURE' }, 'meant for another runtime');
  await t.rejects(answer(bob, alice, 7), { code: 'E_REFUSED' }, 'no offer was heard');
  const stale = await answer(bob, alice, 2);
  await offer(alice, bob, 2);
  await t.rejects(alice.signatures.check(stale, bob.url), { code: 'E_SIGNATURE' }, 'an answer to an earlier offer');
  const [late, ahead] = [await offer(alice, bob, 3), await offer(alice, bob, 4)];
  clock.setBy(66 * 60_000);
  await t.rejects(bob.signatures.check(late, alice.url), { code: 'E_EXPIRED', hint: /clocks/ });
  clock.setBy(-(66 + 61) * 60_000);
  await t.rejects(bob.signatures.check(ahead, alice.url), { code: 'E_EXPIRED' }, 'too far in the future');
  const description = (type: string): Record<string, unknown> => ({ connectionDescription: { type, sdp: '' }, generation: 1 });
  t.same(await alice.signatures.sign(child(alice.url, 'client/1'), [bob.handler], description('offer')), {}, 'only stubs set up connections');
  const requester = bob.requesterTo(carol.url);
  await t.rejects(answer(bob, alice, 1, requester), { code: 'E_REFUSED' }, 'a requester stub answers no offers');
  await t.rejects(bob.signatures.sign(requester, [alice.handler], description('offer')), { code: 'E_REFUSED' }, 'nor makes them to another runtime');
  await t.rejects(bob.signatures.sign(requester, [carol.handler, alice.handler], description('offer')), { code: 'E_REFUSED' }, 'nor to two');
  await t.rejects(bob.signatures.sign(bob.handler, [carol.handler], description('offer')), { code: 'E_REFUSED' }, 'a handler stub makes no offers');
  await bob.signatures.check({}, parseAddress('hyperty-runtime://localhost/plain'));
});
