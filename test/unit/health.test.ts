import t from 'tap';
import fc from 'fast-check';
import { HealthMonitor, nextHealth, type Health, type HealthEvent, type HealthReport } from '../../src/protostubs/p2p/index.js';
import { ManualClock } from '../support/manual-clock.js';

const LIMITS = { suspectMs: 2000, deadMs: 10_000 };
const after = (...events: HealthEvent[]): Health => events.reduce<Health>((now, event) => nextHealth(now, event, LIMITS), { name: 'good' });

t.test('health: every arrow', async (t) => {
  const asked: HealthEvent = { kind: 'asked', at: 1000 };
  const time = (at: number): HealthEvent => ({ kind: 'time', at });
  t.strictSame(after(time(99_000)), { name: 'good' }, 'who is asked nothing may be silent');
  t.strictSame(after(asked, { kind: 'asked', at: 1500 }, time(2999)), { name: 'asked', since: 1000, patienceMs: 2000 });
  t.strictSame(after(asked, { kind: 'asked', at: 1500 }, time(3000)), { name: 'suspect', since: 1000 }, 'the first question without an answer counts');
  t.strictSame(after(asked, { kind: 'heard' }, time(3000)), { name: 'good' });
  t.strictSame(after(asked, time(3000), { kind: 'heard' }), { name: 'good' }, 'a sign of life makes it good again');
  t.strictSame(after(asked, time(3000), time(10_999)), { name: 'suspect', since: 1000 });
  t.strictSame(after(asked, time(3000), time(11_000), { kind: 'heard' }), { name: 'dead', since: 1000 }, 'what is dead stays dead');
  t.strictSame(after(asked, { kind: 'stood-still', forMs: 3000 }, time(4000)), { name: 'asked', since: 4000, patienceMs: 2000 }, 'this side\'s own pause counts for nothing');
  t.strictSame(after({ kind: 'probed', at: 1000, patienceMs: 500 }, time(1500)), { name: 'suspect', since: 1000 });
  t.strictSame(after(asked, { kind: 'probed', at: 2900, patienceMs: 500 }, time(3000)), { name: 'suspect', since: 1000 }, 'doubt makes nobody more patient');
});

t.test('health: whatever happens, only silence that was asked about makes it worse, and only a sign of life better', (t) => {
  const event = fc.oneof(
    fc.record({ kind: fc.constant('heard' as const) }),
    fc.record({ kind: fc.constant('asked' as const), at: fc.nat(60_000) }),
    fc.record({ kind: fc.constant('probed' as const), at: fc.nat(60_000), patienceMs: fc.integer({ min: 1, max: 1000 }) }),
    fc.record({ kind: fc.constant('time' as const), at: fc.nat(60_000) }),
    fc.record({ kind: fc.constant('stood-still' as const), forMs: fc.nat(5000) }),
  );
  const worse = ['good', 'asked', 'suspect', 'dead'];
  fc.assert(fc.property(fc.array(event, { maxLength: 30 }), (events) => {
    let now: Health = { name: 'good' };
    for (const happens of events) {
      const next = nextHealth(now, happens, LIMITS);
      if (worse.indexOf(next.name) < worse.indexOf(now.name) && happens.kind !== 'heard') return false;
      if ((next.name === 'suspect' || next.name === 'dead') && next.name !== now.name && happens.kind !== 'time') return false;
      now = next;
    }
    return true;
  }));
  t.end();
});

/** A monitor, and another side that answers while `there`. */
const watched = () => {
  const clock = new ManualClock();
  const reports: HealthReport[] = [];
  const dead: string[] = [];
  const state = { there: true, asked: 0, lateMs: 0 };
  const monitor = new HealthMonitor({
    // Timers that run late, as in a suspended process.
    clock: { now: () => clock.now(), date: () => clock.date(), setTimeout: (run, milliseconds) => clock.setTimeout(run, milliseconds + state.lateMs) },
    ask: (nonce) => {
      state.asked += 1;
      if (state.there) clock.setTimeout(() => { monitor.heard(); monitor.answered(nonce); }, 20);
    },
    onTick: () => undefined,
    onReport: (report) => { reports.push(report); },
    onDead: (reason) => { dead.push(reason); },
  });
  return { clock, reports, dead, state, monitor };
};

t.test('a side that answers is asked twice a second, and every 5 s when no messages have flowed for a minute', async (t) => {
  const { clock, state, reports } = watched();
  clock.advance(50_000);
  t.ok(state.asked > 90 && state.asked <= 100, `${String(state.asked)} times in 50 s`);
  clock.advance(10_000);
  const before = state.asked;
  clock.advance(50_000);
  t.ok(state.asked - before >= 9 && state.asked - before <= 11, `${String(state.asked - before)} times in 50 s`);
  t.strictSame(reports, [{ health: 'good', rttMs: 20 }], 'nothing but the round trip is told');
});

t.test('a message over a path that was left alone for long asks at once', async (t) => {
  const { clock, state, reports, monitor } = watched();
  clock.advance(72_000);
  state.there = false;
  const before = state.asked;
  monitor.used();
  t.equal(state.asked, before + 1);
  clock.advance(1999);
  t.equal(reports.length, 1);
  clock.advance(1);
  t.match(reports[1], { health: 'suspect', reason: 'silent for 2.0 s' });
});

t.test('a silent side is suspect after 2 s, good when it is heard again, given up after 10 s', async (t) => {
  const { clock, state, reports, dead } = watched();
  clock.advance(10_000);
  state.there = false;
  clock.advance(3000);
  t.match(reports[1], { health: 'suspect', reason: 'silent for 2.0 s', rttMs: 20 });
  t.strictSame(dead, []);
  state.there = true;
  clock.advance(1100);
  t.match(reports[2], { health: 'good', reason: /^heard again after 3\.\d s$/ });
  state.there = false;
  const before = state.asked;
  clock.advance(11_000);
  t.match(dead, [/silent for 10\.\d s/]);
  t.ok(state.asked - before < 16, 'it isn\'t flooded with questions');
  t.equal(clock.pending, 0, 'nothing goes on');
});

t.test('a probe makes it suspect within its patience', async (t) => {
  const { clock, state, reports, monitor } = watched();
  clock.advance(5000);
  monitor.probe(500);
  clock.advance(600);
  t.equal(reports.length, 1, 'it answered');
  state.there = false;
  monitor.probe(500);
  clock.advance(500);
  t.match(reports[1], { health: 'suspect', reason: 'silent for 0.5 s' });
});

t.test('a process that gets no turn for a second, again and again, takes nobody for dead', async (t) => {
  const { clock, state, reports, dead } = watched();
  clock.advance(5000);
  state.there = false;
  state.lateMs = 1500;
  clock.advance(500 + 1500);
  t.equal(reports.length, 1);
  for (let n = 0; n < 3; n++) {
    clock.advance(2000);
    state.there = n < 2;
  }
  t.strictSame(reports.slice(1).filter(({ health }) => health === 'suspect'), []);
  t.strictSame(dead, []);
});
