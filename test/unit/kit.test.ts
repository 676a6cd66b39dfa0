import t from 'tap';
import { Backoff, pauseAfter } from '../../src/kit/backoff.js';
import { DrainSignal } from '../../src/kit/drain-signal.js';
import { Fifo } from '../../src/kit/fifo.js';
import { LruMap } from '../../src/kit/lru-map.js';
import { Pace } from '../../src/kit/pace.js';
import { SerialQueue } from '../../src/kit/serial-queue.js';
import { TokenBucket } from '../../src/kit/token-bucket.js';
import { ManualClock, turns } from '../support/manual-clock.js';

t.test('Backoff doubles its pauses up to the longest, and begins anew after reset', (t) => {
  const backoff = new Backoff({ firstMs: 100, maxMs: 500 });
  t.same([1, 2, 3, 4, 5].map(() => backoff.failed()), [100, 200, 400, 500, 500]);
  backoff.reset();
  t.equal(backoff.failed(), 100);
  t.equal(pauseAfter(10_000, { firstMs: 1, maxMs: Number.MAX_SAFE_INTEGER }), 2 ** 20, 'no number of failures overflows it');
  t.same([0, 1].map((random) => pauseAfter(2, { firstMs: 100, maxMs: 500, random: () => random })), [100, 200], 'jitter takes up to half away');
  t.end();
});

t.test('DrainSignal gives everybody one promise until it is released', async (t) => {
  const drained = new DrainSignal();
  t.equal(drained.pending, undefined);
  drained.release();
  const first = drained.wait();
  t.equal(drained.wait(), first);
  t.equal(drained.pending, first);
  drained.release();
  await first;
  t.equal(drained.pending, undefined);
  t.not(drained.wait(), first);
});

t.test('Fifo keeps its order over its inner moves', (t) => {
  const fifo = new Fifo<number>();
  const out: number[] = [];
  for (let n = 0; n < 5000; n += 1) {
    fifo.push(n);
    if (n % 3 !== 0) out.push(fifo.shift()!);
  }
  t.equal(fifo.length, 5000 - out.length);
  while (fifo.length > 0) out.push(fifo.shift()!);
  t.same(out, Array.from({ length: 5000 }, (_, n) => n));
  t.equal(fifo.shift(), undefined);
  t.end();
});

t.test('LruMap evicts the entry that was read or written longest ago', (t) => {
  const evicted: [string, number][] = [];
  const map = new LruMap<string, number>(2, (key, value) => evicted.push([key, value]));
  map.set('a', 1);
  map.set('b', 2);
  t.equal(map.get('a'), 1);
  map.set('c', 3);
  t.same(evicted, [['b', 2]]);
  map.set('a', 4);
  map.set('d', 5);
  t.same(evicted, [['b', 2], ['c', 3]]);
  t.same([...map.keys()], ['a', 'd']);
  t.ok(map.delete('a'));
  t.notOk(map.delete('a'));
  t.equal(map.get('a'), undefined);
  map.clear();
  t.equal(map.size, 0);
  t.end();
});

t.test('SerialQueue runs the work of one key in order, other keys beside it, and refuses too much', async (t) => {
  const queue = new SerialQueue<string>(2);
  const log: string[] = [];
  let go = (): void => undefined;
  const first = queue.run('a', () => new Promise<void>((resolve) => { log.push('a1'); go = resolve; }));
  const second = queue.run('a', async () => { log.push('a2'); await Promise.resolve(); throw new Error('a2 failed'); });
  await t.rejects(queue.run('a', () => Promise.resolve()), { code: 'E_TOO_MANY' });
  t.equal(await queue.run('b', () => { log.push('b1'); return Promise.resolve(7); }), 7);
  t.same(log, ['a1', 'b1']);
  const idle = queue.idle('a');
  go();
  await first;
  await t.rejects(second, { message: 'a2 failed' });
  await idle;
  t.same(log, ['a1', 'b1', 'a2']);
  t.equal(await queue.run('a', () => Promise.resolve(8)), 8, 'work after a failure runs');
  await queue.idle();
});

t.test('Pace lets a second\'s worth through at once, then makes its source wait', async (t) => {
  const clock = new ManualClock();
  const pace = new Pace({ clock }, { perSecond: 1000 });
  t.equal(pace.take(1000), undefined);
  const wait = pace.take(500);
  t.equal(pace.take(500), wait, 'all wait for the same');
  let waits = true;
  void wait?.then(() => { waits = false; });
  clock.advance(900);
  await turns();
  t.ok(waits);
  clock.advance(200);
  await turns();
  t.notOk(waits);
  clock.advance(10_000);
  t.equal(pace.take(1000), undefined);
  t.ok(pace.take(1), 'what was not used isn\'t kept');
});

t.test('TokenBucket is full at first, fills evenly up to its burst, and counts below zero', (t) => {
  const clock = new ManualClock();
  const bucket = new TokenBucket({ clock }, { perSecond: 10, burst: 20 });
  t.equal(bucket.level, 20);
  t.equal(bucket.take(25), -5);
  clock.advance(1000);
  t.equal(bucket.level, 5);
  clock.advance(60_000);
  t.equal(bucket.take(1), 19);
  t.end();
});
