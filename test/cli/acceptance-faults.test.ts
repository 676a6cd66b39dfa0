import t from 'tap';
import { withHome } from '../support/cli.js';
import { faultsIn, Lines, murder, seq, untilAnswered, withWorld, type Peer, type World } from '../support/acceptance.js';
import { until } from '../support/until.js';

/** Processes are killed amid traffic. Acknowledged messages must arrive, and everything must recover by itself. */
const home = withHome(t);
let world: World;
t.before(async () => { world = await withWorld(home); });

interface Receipt { readonly state: string; readonly via?: string }
interface DomainStatus { readonly pid: number; readonly hyperties: number; readonly sessions: number }

const domainStatus = async (): Promise<DomainStatus> => JSON.parse((await home.pfly(['domain', 'status', '--json'])).stdout) as DomainStatus;

/** Kills the domain server and restarts it at the same address. */
const restartDomain = async (): Promise<void> => {
  await murder((await domainStatus()).pid);
  const { code, stderr } = await home.pfly(['domain', 'start', '--listen', new URL(world.url).host, '--detach', '--wait', '30s']);
  if (code !== 0) throw new Error(stderr);
};

const isLive = (peer: Peer) => async (): Promise<boolean> => (await peer.status()).state === 'live';
const isDirect = async (): Promise<boolean> => (await world.alice.live()).length === 1 && (await world.bob.live()).length === 1;

interface Stream {
  readonly tail: Lines;
  readonly sender: Lines;
  /** Waits for both ends. Returns faults in the received lines, and all receipts. */
  finish(): Promise<{ codes: (number | null)[]; faults: string[]; receipts: Receipt[]; stderr: string }>;
}

/** Sends numbered messages with receipts from alice to a new hyperty of bob's. */
const stream = async (name: string, count: number, ...flags: readonly string[]): Promise<Stream> => {
  const { bob } = world;
  await bob.register(name);
  const tail = new Lines(bob.start('msg', 'tail', name, '--raw', '--count', String(count), '--timeout', '60s'));
  const sender = new Lines(home.start(['msg', 'send', `bob/${name}`, '-', '--receipt', ...flags], { profile: 'alice', input: seq(count) }));
  return {
    tail, sender,
    finish: async () => {
      const codes = await Promise.all([sender.ended, tail.ended]);
      return { codes, faults: faultsIn(tail.all, count), receipts: sender.all.map((line) => JSON.parse(line) as Receipt), stderr: sender.stderr + tail.stderr };
    },
  };
};

const allDelivered = (receipts: readonly Receipt[], count: number): boolean => receipts.length === count && receipts.every(({ state }) => state === 'delivered');

t.test('the domain server is killed while messages flow over P2P: they go on, and nothing has to be registered again', async (t) => {
  const { alice, bob } = world;
  await bob.register('through');
  await alice.run('p2p', 'connect', 'bob/through');
  await until('direct on both sides', isDirect);
  const before = await domainStatus();
  const { tail, finish } = await stream('p2p', 100_000);
  await tail.reached(2000);
  await murder(before.pid);
  const { codes, faults, receipts, stderr } = await finish();
  t.same(codes, [0, 0], stderr);
  t.same(faults, []);
  t.ok(allDelivered(receipts, 100_000));
  t.equal((await home.pfly(['domain', 'status'])).code, 9, 'all while there was no domain server');
  t.ok(await isDirect(), 'over the connection that was there');

  const { code, stderr: words } = await home.pfly(['domain', 'start', '--listen', new URL(world.url).host, '--detach', '--wait', '30s']);
  t.equal(code, 0, words);
  await Promise.all([until('alice is live', isLive(alice)), until('bob is live', isLive(bob))]);
  const { hyperties, sessions } = await domainStatus();
  t.equal(hyperties, before.hyperties + 1, 'the registry has what it had, and the one that was new');
  t.equal(sessions, 2);
  t.equal((await bob.connections()).length, 1, 'no second connection was made');
  const found = JSON.parse(await alice.run('hyperty', 'discover', '--user', 'bob', '--json')) as { name: string; status: string }[];
  t.same(found.map(({ name, status }) => [name, status]).sort(), [['p2p', 'live'], ['through', 'live']]);
  t.equal(JSON.parse(await alice.run('msg', 'send', 'bob/through', '--no-p2p', '--receipt', 'hello')).via, 'msg-node');
});

t.test('the domain server is killed and started while messages flow through it: none lost, repeated or reordered', async (t) => {
  const { tail, finish } = await stream('relayed', 60_000, '--no-p2p');
  await tail.reached(5000);
  await restartDomain();
  const { codes, faults, receipts, stderr } = await finish();
  t.same(codes, [0, 0], stderr);
  t.same(faults, []);
  t.ok(allDelivered(receipts, 60_000));
});

for (const who of ['alice', 'bob'] as const) {
  t.test(`the P2P sandbox of ${who} is killed: messages go on through the message node, then it comes back`, async (t) => {
    const { alice, bob } = world;
    await until('direct on both sides', async () => {
      await alice.run('p2p', 'connect', 'bob/through');
      return isDirect();
    });
    const victim = await world[who].sandbox('p2p-handler');
    const { tail, finish } = await stream(`sandbox-${who}`, 20_000);
    await tail.reached(2000);
    const were = await alice.live();
    await murder(victim);
    const { codes, faults, receipts, stderr } = await finish();
    t.same(codes, [0, 0], stderr);
    t.same(faults, []);
    t.ok(allDelivered(receipts, 20_000));
    t.ok(receipts.some(({ via }) => via === 'p2p') && receipts.some(({ via }) => via === 'msg-node'), 'some directly, some through the message node');
    await until('the old connection is no longer live', async () => (await alice.live()).every(({ address }) => address !== were[0]!.address || who === 'bob'));
    await untilAnswered('the sandbox is back', async () => (await world[who].sandbox('p2p-handler')) !== victim);
    await until('both are live', async () => (await isLive(alice)()) && isLive(bob)());
    await until('P2P is set up again when it is wanted', async () => {
      await alice.run('msg', 'send', 'bob/through', 'again');
      return isDirect();
    });
    t.equal(JSON.parse(await alice.run('msg', 'send', 'bob/through', '--require-direct', '--receipt', 'direct')).via, 'p2p');
  });
}

t.test('a runtime is killed while messages come: it is who it was, and what had a receipt is there', async (t) => {
  const { alice, bob } = world;
  const url = await bob.register('kept');
  const before = await bob.status();
  const sender = new Lines(home.start(['msg', 'send', 'bob/kept', '-', '--receipt', '--timeout', '40s'], { profile: 'alice', input: seq(900) }));
  await sender.reached(50);
  await murder(before.pid);
  const known = sender.all.length;
  t.ok(known < 900, `killed after ${String(known)} receipts`);
  await bob.run('runtime', 'start', '--wait', '30s');
  const after = await bob.status();
  t.equal(after.runtime, before.runtime, 'the same address');
  t.not(after.pid, before.pid);
  const kept = (await bob.hyperties()).find(({ name }) => name === 'kept');
  t.equal(kept?.url, url, 'the same hyperty');
  t.equal(kept?.status, 'live');
  t.equal(await sender.ended, 0, sender.stderr);
  t.ok(allDelivered(sender.all.map((line) => JSON.parse(line) as Receipt), 900), 'what was on its way was sent again');
  const tail = new Lines(bob.start('msg', 'tail', 'kept', '--raw', '--count', '900', '--timeout', '20s'));
  t.equal(await tail.ended, 0, tail.stderr);
  t.same(faultsIn(tail.all, 900), []);
  t.equal(JSON.parse(await alice.run('msg', 'send', 'bob/kept', '--receipt', 'after')).state, 'delivered');
});

t.test('the receiver and the domain are gone for good: each message is refused when its time is up, all at once and for certain', async (t) => {
  await world.alice.run('msg', 'send', 'bob/kept', 'the last one');
  const { pid } = await world.bob.status();
  await murder((await domainStatus()).pid);
  await murder(pid);
  await until('alice knows', async () => (await world.alice.status()).state === 'degraded' && (await world.alice.live()).length === 0);
  const sender = new Lines(home.start(['msg', 'send', 'bob/kept', '-', '--receipt', '--timeout', '4s'], { profile: 'alice', input: seq(40) }));
  const code = await sender.ended;
  const receipts = sender.all.map((line) => JSON.parse(line) as Receipt);
  t.equal(code, 5, sender.stderr);
  t.equal(receipts.length, 40);
  t.same([...new Set(receipts.map(({ state }) => state))], ['unknown'], 'they wait with a stub that may still send them');
  const patient = new Lines(home.start(['msg', 'send', 'bob/kept', '-', '--receipt'], { profile: 'alice', input: seq(40) }));
  t.equal(await patient.ended, 4, patient.stderr);
  t.equal(patient.all.length, 40);
  t.ok(patient.all.every((line) => (JSON.parse(line) as Receipt).state === 'failed'), 'nobody has them, and nobody will');
});
