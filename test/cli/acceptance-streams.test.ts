import t from 'tap';
import { withHome } from '../support/cli.js';
import { Lines, md5, rssOf, seq, startFed, withWorld, type Peer, type World } from '../support/acceptance.js';
import { until } from '../support/until.js';

/** A pipe between two runtimes, with the real program: output must equal input, on every path and at any pace. */
const home = withHome(t);
let world: World;
t.before(async () => { world = await withWorld(home); });

const COUNT = 100_000;
const INPUT = seq(COUNT);

/**
 * Runs `seq 1 100000
 * msg send bob/NAME -` against `msg tail NAME --raw --count 100000
 * md5sum`.
 */
const pipe = async (name: string, ...flags: readonly string[]): Promise<{ sum: string; receipts: { state: string; via: string }[] }> => {
  const { bob } = world;
  const tail = new Lines(bob.start('msg', 'tail', name, '--raw', '--count', String(COUNT), '--timeout', '60s'));
  const sender = new Lines(home.start(['msg', 'send', `bob/${name}`, '-', ...flags], { profile: 'alice', input: INPUT }));
  const [sent, tailed] = await Promise.all([sender.ended, tail.ended]);
  if (sent !== 0 || tailed !== 0) throw new Error(`send ended with ${String(sent)}, tail with ${String(tailed)}: ${sender.stderr}${tail.stderr}`);
  return { sum: md5(tail.all.map((line) => `${line}\n`).join('')), receipts: sender.all.map((line) => JSON.parse(line) as { state: string; via: string }) };
};

const sentDirectly = async (peer: Peer): Promise<number> => (await peer.connections()).reduce((sum, { sent }) => sum + sent, 0);

t.test('100,000 lines while the path changes from message node to P2P: the same bytes in the same order', async (t) => {
  const { alice, bob } = world;
  t.same(await alice.connections(), [], 'no connection before');
  await bob.register('switch');
  const { sum, receipts } = await pipe('switch', '--receipt');
  t.equal(sum, md5(INPUT));
  t.equal(receipts.length, COUNT);
  t.ok(receipts.every(({ state }) => state === 'delivered'), 'each of them was delivered');
  t.same(new Set(receipts.map(({ via }) => via)), new Set(['msg-node', 'p2p']), 'some went through the message node, some directly');
});

t.test('100,000 lines over a P2P connection: the same bytes in the same order', async (t) => {
  const { alice, bob } = world;
  await bob.register('direct');
  await alice.run('p2p', 'connect', 'bob/direct');
  const before = await sentDirectly(alice);
  t.equal((await pipe('direct')).sum, md5(INPUT));
  t.ok(await sentDirectly(alice) - before >= COUNT, 'all of them went over the connection');
});

t.test('100,000 lines through the message node: the same bytes in the same order', async (t) => {
  const { alice, bob } = world;
  await bob.register('relayed');
  const before = await sentDirectly(alice);
  t.equal((await pipe('relayed', '--no-p2p')).sum, md5(INPUT));
  t.ok(await sentDirectly(alice) - before < 10, 'none of them went over the connection');
});

t.test('readers that stop for ten seconds stall their senders, and nobody\'s memory fills; then all arrives', async (t) => {
  const { alice, bob } = world;
  const LINES = 70_000;
  const line = (number: number): string => `${String(number).padStart(7, '0')} ${'x'.repeat(1000)}\n`;
  await Promise.all([bob.register('stopped'), bob.register('unread')]);

  /** Feeds a sender as fast as it takes, and counts what it has taken. */
  const feed = (name: string, ...flags: readonly string[]) => {
    const child = startFed(t, home, 'alice', ['msg', 'send', `bob/${name}`, '-', ...flags]);
    const fed = { child, lines: new Lines(child), count: 0 };
    const more = (): void => {
      while (fed.count < LINES) {
        fed.count += 1;
        if (!child.stdin!.write(line(fed.count))) { child.stdin!.once('drain', more); return; }
      }
      child.stdin!.end();
    };
    more();
    return fed;
  };
  const read = (name: string) => {
    let next = 1;
    let wrong = 0;
    const child = bob.start('msg', 'tail', name, '--raw', '--count', String(LINES));
    const lines = new Lines(child, (text) => { if (`${text}\n` !== line(next++)) wrong += 1; });
    return { child, lines, faults: () => ({ wrong, missing: LINES - (next - 1) }) };
  };
  const readers = [read('stopped'), read('unread')] as const;
  const senders = [feed('stopped'), feed('unread', '--no-p2p')] as const;
  await Promise.all(readers.map(({ lines }) => lines.reached(10_000)));

  const pids = [...await alice.pids(), ...await bob.pids(), ...senders.map(({ child }) => child.pid!)];
  const before = new Map(pids.map((pid) => [pid, rssOf(pid)]));
  const growth = new Map<number, number>();
  readers[0].child.kill('SIGSTOP');
  readers[1].child.stdout!.pause();
  const resumeAt = Date.now() + 10_000;
  let taken: number[] = [];
  let stalledAt = Date.now();
  await until('ten seconds have passed', () => {
    for (const pid of pids) growth.set(pid, Math.max(growth.get(pid) ?? 0, rssOf(pid) - before.get(pid)!));
    const now = senders.map(({ count }) => count);
    if (now.some((count, index) => count !== taken[index])) stalledAt = Date.now();
    taken = now;
    return Date.now() >= resumeAt;
  });
  t.comment(`fed: ${taken.join(', ')}; growth in KiB: ${[...growth.values()].map((bytes) => Math.round(bytes / 1024)).join(', ')}`);
  for (const [pid, bytes] of growth) t.ok(bytes < 64 * 1024 * 1024, `process ${String(pid)} grew by less than 64 MiB`);
  t.ok(resumeAt - stalledAt > 5000, 'the senders stood still for more than five of the ten seconds');
  t.ok(taken.every((count) => count < LINES / 2), 'with more than half of what they have to send');

  readers[0].child.kill('SIGCONT');
  readers[1].child.stdout!.resume();
  t.same(await Promise.all([...readers, ...senders].map(({ lines }) => lines.ended)), [0, 0, 0, 0]);
  t.same(readers.map(({ faults }) => faults()), [{ wrong: 0, missing: 0 }, { wrong: 0, missing: 0 }]);
});
