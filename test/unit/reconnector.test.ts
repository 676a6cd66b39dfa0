import t from 'tap';
import type { Link } from '../../src/link/index.js';
import { parseAddress, ProtoflyError, type Message, type RegistryRecord } from '../../src/protocol/index.js';
import { NetworkMonitor, type NetworkChange } from '../../src/runtime/network/index.js';
import { ConnectionList, type ConnectionChange } from '../../src/runtime/p2p/connection-list.js';
import { P2pConnection } from '../../src/runtime/p2p/p2p-connection.js';
import { Reconnector } from '../../src/runtime/p2p/reconnector.js';
import { ManualClock, turns } from '../support/manual-clock.js';

const BOB = parseAddress('hyperty-runtime://localhost/bob');
const record: RegistryRecord = { url: parseAddress('hyperty://localhost/in'), runtime: BOB, dataSchemes: [], resources: [], status: 'live', expires: 3600 };
const quiet = (): void => undefined;
const link = { stats: { sent: 0, received: 0 }, send: quiet } as unknown as Link<Message>;

/** A list of connections and their reconnector. The test decides the result of set-ups and renewals. */
const world = () => {
  const clock = new ManualClock();
  const lost: string[] = [];
  const changes: ConnectionChange[] = [];
  const tried: string[] = [];
  const outcome = { renew: true };
  const list = new ConnectionList({ clock, log: quiet, intake: { lost: ({ address }) => { lost.push(address.slice(-1)); } }, onOver: quiet });
  let count = 0;
  const add = (role: 'requester' | 'handler' = 'requester'): P2pConnection => {
    count += 1;
    const address = parseAddress(`hyperty-runtime://localhost/alice/p2prequester/${String(count)}`);
    const connection = list.add(new P2pConnection({ clock }, { address, stub: address, role, remoteRuntime: BOB, generation: count, record }));
    connection.link = link;
    return connection;
  };
  const goLive = (connection: P2pConnection): P2pConnection => {
    list.step(connection, 'in-progress');
    list.step(connection, 'live', undefined, { generation: connection.generation, health: 'good' });
    return connection;
  };
  const repairs = new Reconnector({
    clock, random: () => 1, log: quiet,
    renew: async () => {
      tried.push(`renew at ${String(clock.now() % 1_000_000)}`);
      await Promise.resolve();
      if (!outcome.renew) throw new ProtoflyError('E_UNREACHABLE', 'no way');
    },
    setUp: async () => {
      tried.push(`set up at ${String(clock.now() % 1_000_000)}`);
      await Promise.resolve();
    },
    isBusy: () => list.current(BOB).length > 0,
  });
  list.onChange((change) => {
    changes.push(change);
    repairs.changed(change);
  });
  return { clock, list, repairs, add, goLive, lost, changes, tried, outcome };
};

t.test('a suspect connection carries nothing while it is suspect, and what was on its way goes again', async (t) => {
  const { list, add, goLive, lost, changes } = world();
  const one = goLive(add());
  t.equal(list.live(BOB), one);
  list.step(one, 'live', 'silent for 2.0 s', { health: 'suspect', rttMs: 3 });
  t.equal(list.live(BOB), undefined);
  t.equal(list.suspect(BOB), one, 'better than nothing');
  t.strictSame(lost, ['1']);
  t.match(changes.at(-1), { was: 'live', now: 'live', reason: 'suspect: silent for 2.0 s' });
  t.match(one.view(), { status: 'live', health: 'suspect', rttMs: 3, reason: 'suspect: silent for 2.0 s' });
  list.step(one, 'live', 'heard again after 3.0 s', { health: 'good', rttMs: 3 });
  t.equal(list.live(BOB), one);
  t.equal(one.view()['reason'], undefined);
  const told = changes.length;
  list.step(one, 'live', undefined, { health: 'good', rttMs: 4 });
  t.equal(changes.length, told, 'another round trip is no change');
});

t.test('of several live connections the newest that isn\'t suspect carries', async (t) => {
  const { list, add, goLive, lost } = world();
  const one = goLive(add());
  const two = goLive(add());
  t.equal(list.live(BOB), two);
  t.strictSame(lost, ['1'], 'what went over the older one goes again');
  list.step(two, 'live', 'silent', { health: 'suspect' });
  t.equal(list.live(BOB), one);
  list.step(two, 'live', 'heard', { health: 'good' });
  t.equal(list.live(BOB), two);
  list.step(two, 'disconnected');
  t.equal(list.live(BOB), one);
  list.step(one, 'disconnected');
  t.equal(list.live(BOB), undefined);
  t.equal(list.suspect(BOB), undefined);
});

t.test('a suspect connection that is in use is renewed, again and again with growing pauses, until it is heard', async (t) => {
  const { clock, list, add, goLive, tried, outcome } = world();
  outcome.renew = false;
  const one = goLive(add());
  list.step(one, 'live', 'silent', { health: 'suspect' });
  for (let n = 0; n < 40; n++) {
    clock.advance(100);
    await turns(2);
  }
  t.strictSame(tried, ['renew at 250', 'renew at 800', 'renew at 1800', 'renew at 3800']);
  list.step(one, 'live', 'heard', { health: 'good' });
  clock.advance(60_000);
  t.equal(tried.length, 4);
});

t.test('a connection that gets well by itself at once isn\'t renewed; one that nobody has used for a minute neither', async (t) => {
  const { clock, list, add, goLive, tried } = world();
  const one = goLive(add());
  list.step(one, 'live', 'silent', { health: 'suspect' });
  clock.advance(200);
  list.step(one, 'live', 'heard', { health: 'good' });
  clock.advance(61_000);
  t.strictSame(tried, []);
  list.step(one, 'live', 'silent', { health: 'suspect' });
  clock.advance(5000);
  t.strictSame(tried, []);
});

t.test('what was lost is set up again by the side that had asked for it, unless it was meant', async (t) => {
  for (const [how, expected] of [['lost', 1], ['handler', 0], ['orderly', 0], ['by hand', 0], ['unused', 0], ['unused, but asked for', 1]] as const) {
    const { clock, list, repairs, add, goLive, tried } = world();
    const one = goLive(add(how === 'handler' ? 'handler' : 'requester'));
    if (how.includes('asked')) repairs.asked(BOB, undefined);
    clock.advance(how.startsWith('unused') ? 70_000 : 20_000);
    if (how === 'by hand') repairs.ended(BOB);
    list.step(one, 'disconnected', how, how === 'orderly' || how === 'by hand' ? { orderly: true } : {});
    t.equal(repairs.mayTry(BOB), expected === 0 && how !== 'by hand', `${how}: a message doesn't try what is tried in a moment anyway`);
    clock.advance(250);
    t.equal(tried.length, expected, how);
    repairs.close();
  }
});

t.test('set-ups that fail are tried again with growing pauses, for as long as the connection is wanted', async (t) => {
  const { clock, list, add, goLive, tried, repairs } = world();
  list.step(goLive(add()), 'disconnected', 'silent');
  for (let n = 0; n < 1200; n++) {
    const before = tried.length;
    clock.advance(100);
    if (tried.length > before) list.step(add(), 'failed', 'no path');
  }
  t.ok(tried.length >= 6 && tried.length <= 9, `${String(tried.length)} attempts in two minutes`);
  const given = tried.length;
  clock.advance(120_000);
  t.equal(tried.length, given, 'nobody wants it any more');
  t.equal(repairs.mayTry(BOB), true);
  goLive(add());
  repairs.ended(BOB);
  t.equal(repairs.mayTry(BOB), false, 'ended by hand: not at the next message');
  clock.advance(1000);
  t.equal(repairs.mayTry(BOB), true);
});

t.test('a set-up that never was live is not tried again by itself, and by messages with pauses', async (t) => {
  const { clock, list, add, tried, repairs } = world();
  list.step(add(), 'failed', 'refused');
  t.equal(repairs.mayTry(BOB), false);
  clock.advance(250);
  t.equal(repairs.mayTry(BOB), true);
  list.step(add(), 'failed', 'refused');
  clock.advance(250);
  t.equal(repairs.mayTry(BOB), false);
  clock.advance(60_000);
  t.strictSame(tried, []);
  list.step(add(), 'failed', 'refused', { refusedWith: 486 });
  t.equal(repairs.mayTry(BOB), true, 'one that gave way has not failed');
});

t.test('network: addresses that come and go are told, those of the link alone are not; a jump of the time is a sleep', async (t) => {
  const clock = new ManualClock();
  const changes: NetworkChange[] = [];
  let away = 0;
  let addresses: (readonly [string, boolean])[] | undefined = [['127.0.0.1', true], ['10.0.0.1', false]];
  const warnings: string[] = [];
  const monitor = new NetworkMonitor({
    clock: { now: () => clock.now(), date: () => clock.date() + away, setTimeout: (run, milliseconds) => clock.setTimeout(run, milliseconds) },
    interfaces: () => {
      if (addresses === undefined) throw new Error('not allowed');
      return { eth0: addresses.map(([address, internal]) => ({ address, internal })) };
    },
    onChange: (change) => { changes.push(change); },
    log: (level, text) => { if (level === 'warn') warnings.push(text); },
  });
  monitor.start();
  monitor.start();
  t.equal(clock.pending, 1);
  clock.advance(5000);
  t.strictSame(changes, []);
  addresses = [['127.0.0.1', true], ['127.0.0.2', true], ['192.168.7.1', false], ['fe80::1', false], ['169.254.9.9', false]];
  clock.advance(1000);
  t.strictSame(changes.splice(0), [{ kind: 'addresses', gone: new Set(['10.0.0.1']), come: new Set(['192.168.7.1']) }]);
  away = 60_000;
  clock.advance(1000);
  t.strictSame(changes.splice(0), [{ kind: 'wake', sleptMs: 60_000 }]);
  away += 3000;
  clock.advance(1000);
  t.strictSame(changes, [], 'a busy machine has not slept');
  addresses = undefined;
  clock.advance(3000);
  t.equal(warnings.length, 1, 'said once');
  addresses = [['192.168.7.1', false]];
  clock.advance(1000);
  t.strictSame(changes, [], 'what couldn\'t be seen has not changed');
  monitor.close();
  t.equal(clock.pending, 0);
});
