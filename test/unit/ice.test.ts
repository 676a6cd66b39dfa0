import t, { type Test } from 'tap';
import { KEYS } from '../../src/cli/settings.js';
import { skewCheck, nodeCheck } from '../../src/cli/doctor/checks.js';
import { networkChecks, type NetworkFacts } from '../../src/cli/doctor/network.js';
import { IceOffer } from '../../src/domain-server/ice/index.js';
import { checkIceUrl, iceEndpoints, parseIceServers, ProtoflyError, type Address } from '../../src/protocol/index.js';
import { IceConfiguration, type Ice } from '../../src/runtime/ice/index.js';
import { ManualClock, turns } from '../support/manual-clock.js';

t.test('a server that is configured is one that can be used', (t) => {
  t.same(checkIceUrl('stun:stun.example.com'), { kind: 'stun', host: 'stun.example.com', port: 3478 });
  t.same(checkIceUrl('turn:[2001:db8::1]:5000?transport=udp'), { kind: 'turn', host: '2001:db8::1', port: 5000 });
  for (const bad of ['stuns:a', 'turns:a:5349', 'turn:a?transport=tcp', 'http://a', 'stun:', 'stun:a:0', 'stun:a:70000', 'stun:a b', 'turn:user:secret@a', 'stun:a/b', '']) {
    t.throws(() => checkIceUrl(bad), { code: 'E_USAGE' }, bad);
    try { checkIceUrl(bad); } catch (thrown) { t.notMatch((thrown as ProtoflyError).message, 'secret', 'no credentials in a message'); }
  }
  const setting = KEYS.find(({ name }) => name === 'iceServers')!;
  t.same(setting.read('stun:a:1, turn:b:2'), ['stun:a:1', 'turn:b:2']);
  t.throws(() => setting.read('stun:a:1,turns:b'), { code: 'E_USAGE' });
  t.throws(() => KEYS.find(({ name }) => name === 'ice')!.read('some'), { code: 'E_USAGE' });
  t.end();
});

t.test('what a set-up makes of a list of servers: those that it can use', (t) => {
  t.same(iceEndpoints(['stun:a', { urls: ['turn:b:1', 'turns:b:2'], username: 'u', credential: 'p' }, { urls: 'turn:c' }, 'turn:u:p:q@d:7', 'nonsense']), [
    { kind: 'stun', host: 'a', port: 3478 }, { kind: 'turn', host: 'b', port: 1, username: 'u', credential: 'p' }, { kind: 'turn', host: 'd', port: 7, username: 'u', credential: 'p:q' },
  ]);
  t.same(parseIceServers([{ urls: 'stun:a', username: 7 }, 5, null, { urls: [5] }, 'stun:b', { urls: ['turn:c'], username: 'u', credential: 'p', more: 1 }]), [
    { urls: ['stun:a'] }, 'stun:b', { urls: ['turn:c'], username: 'u', credential: 'p' },
  ]);
  t.same([undefined, 'stun:a', {}].map(parseIceServers), [[], [], []]);
  t.equal(parseIceServers(Array.from({ length: 100 }, () => 'stun:a')).length, 20);
  t.end();
});

t.test('a domain offers nothing that can\'t work', (t) => {
  const clock = new ManualClock();
  for (const init of [{ servers: ['turn:a'] }, { servers: ['turns:a'], turnSecret: 's' }, { ttlS: 0 }, { servers: Array.from({ length: 21 }, () => 'stun:a') }]) {
    t.throws(() => new IceOffer({ clock }, init), { code: 'E_USAGE' });
  }
  // The expected values are from `printf 4600:r1
  // openssl dgst -sha1 -hmac secret -binary
  // base64`.
  const [stun, turn] = new IceOffer({ clock }, { servers: ['turn:t', 'stun:s'], turnSecret: 'secret' }).for('hyperty-runtime://a.example/r1' as Address);
  t.same(stun, { urls: ['stun:s'] });
  t.same(turn, { urls: ['turn:t'], username: '4600:r1', credential: '88ErX24JRAG8Sfjewbzva2Wc67s=' });
  t.end();
});

interface Asked {
  readonly ice: IceConfiguration;
  readonly clock: ManualClock;
  readonly told: Ice[];
  readonly asked: () => number;
}

const configuration = (t: Test, answers: (count: number) => Promise<unknown>, init: ConstructorParameters<typeof IceConfiguration>[1] = {}): Asked => {
  const clock = new ManualClock();
  const told: Ice[] = [];
  let count = 0;
  const ice = new IceConfiguration({ clock, log: () => undefined, ask: () => answers(++count), onChange: (now) => { told.push(now); } }, init);
  t.teardown(() => { ice.close(); });
  return { ice, clock, told, asked: () => count };
};

const minted = (count: number): Promise<unknown> => Promise.resolve({ iceServers: [{ urls: ['turn:t'], username: String(count), credential: 'p' }], ttl: 1000 });

t.test('credentials are fetched once, and again before they end, also after a sleep', async (t) => {
  const { ice, clock, told, asked } = configuration(t, minted, { own: ['stun:own'], listed: ['stun:listed'] });
  t.same(ice.current, { iceServers: [{ urls: ['stun:own'] }, { urls: ['stun:listed'] }], iceTransportPolicy: 'all' }, 'until the domain has been asked its document serves');
  const [first] = await Promise.all([ice.ready(), ice.ready(), ice.refresh()]);
  t.same(first.iceServers, [{ urls: ['stun:own'] }, { urls: ['turn:t'], username: '1', credential: 'p' }]);
  t.equal(asked(), 1);
  await ice.ready();
  t.equal(asked(), 1, 'what is fresh is used');
  clock.advance(760_000);
  await turns();
  t.equal(asked(), 2, 'after three quarters of its time it is replaced, without anybody asking');
  t.equal(told.length, 2, 'and the stubs are told');
  await ice.renew();
  t.equal(asked(), 3, 'a new session is asked anew');
});

t.test('a domain that doesn\'t answer holds up no set-up for long, and one that knows nothing of it does no harm', async (t) => {
  const silent = configuration(t, () => new Promise(() => undefined), { listed: ['stun:listed'] });
  const waiting = silent.ice.ready();
  silent.clock.advance(2000);
  t.same((await waiting).iceServers, [{ urls: ['stun:listed'] }]);
  const old = configuration(t, () => Promise.resolve(undefined), { listed: ['stun:listed'], policy: 'relay' });
  t.same(await old.ice.ready(), { iceServers: [{ urls: ['stun:listed'] }], iceTransportPolicy: 'relay' });
  const failing = configuration(t, (count) => (count === 1 ? Promise.reject(new ProtoflyError('E_UNREACHABLE', 'away')) : minted(count)));
  t.same((await failing.ice.ready()).iceServers, []);
  failing.clock.advance(31_000);
  await turns();
  t.equal(failing.asked(), 2, 'it is asked again soon');
  t.equal(failing.told.length, 1);
});

t.test('what servers say becomes verdicts', (t) => {
  const facts = (change: Partial<NetworkFacts>): NetworkFacts => ({ udp: 'yes', mapping: 'none', turn: 'yes', servers: [], ...change });
  const verdicts = (change: Partial<NetworkFacts>, p2p = true): string[] => networkChecks(facts(change), p2p).map(({ verdict }) => verdict);
  t.same(verdicts({}), ['ok', 'ok', 'ok']);
  t.same(verdicts({ udp: 'no', mapping: 'unknown', turn: 'no' }), ['fail', 'skip', 'fail']);
  t.same(verdicts({ udp: 'no', mapping: 'unknown', turn: 'none' }, false), ['warn', 'skip', 'skip'], 'without P2P nobody needs UDP');
  t.same(verdicts({ mapping: 'dependent', turn: 'none' }), ['ok', 'warn', 'warn']);
  t.same(verdicts({ mapping: 'independent', turn: 'refused' }), ['ok', 'ok', 'fail']);
  t.same(verdicts({ udp: 'unknown', mapping: 'unknown', turn: 'none', withoutTurn: true }), ['skip', 'skip', 'skip']);
  const at = Date.parse('2026-01-01T12:00:00Z');
  t.same([0, 4000, -4000, 60_000].map((ahead) => skewCheck('Thu, 01 Jan 2026 12:00:00 GMT', at + ahead, at + ahead + 100).verdict), ['ok', 'ok', 'ok', 'warn']);
  t.match(skewCheck('Thu, 01 Jan 2026 12:00:00 GMT', at - 60_000, at - 60_000), { verdict: 'warn', detail: /behind/ });
  t.equal(skewCheck(null, at, at).verdict, 'skip');
  t.same(['20.16.0', '20.17.0', '18.20.0', '24.1.0'].map((version) => nodeCheck(version).verdict), ['fail', 'ok', 'fail', 'ok']);
  t.end();
});
