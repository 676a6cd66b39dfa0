import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import type { WebSocket } from 'ws';
import { KeepAlive, nextKeepAlive, type KeepAliveState, type VigilEvent } from '../../src/link/websocket/keep-alive.js';
import { ManualClock } from '../support/manual-clock.js';

const TIMES = { everyMs: 30_000, waitMs: 3000, answerMs: 2000 };
const KIB = 1024;
const MIB = 1024 * KIB;

type Look = VigilEvent & { kind: 'look' };
const sent = (now: number, read = 0, taken = 0): VigilEvent => ({ kind: 'sent', now, read, taken });
const look = (now: number, more: Partial<Look> = {}): VigilEvent => ({ kind: 'look', now, read: 0, taken: 0, lateMs: 0, reading: true, pending: false, inFlightMs: 0, ...more });
const CALM: KeepAliveState = { name: 'calm', read: 0, missed: 0 };
const after = (...events: VigilEvent[]): KeepAliveState => events.reduce<KeepAliveState>((vigil, event) => nextKeepAlive(vigil, event, TIMES).vigil, CALM);

t.test('SES-7: every arrow', (t) => {
  const waiting = sent(1000);
  const asked = look(4000);
  t.match(nextKeepAlive(CALM, look(0), TIMES), { vigil: { name: 'calm', missed: 1 }, ping: true, lookMs: 30_000 });
  t.match(after(look(0), look(30_000), look(60_000)), { name: 'gone' }, 'two pings that brought nothing');
  t.match(after(look(0), look(30_000), look(60_000, { read: 1 })), { name: 'calm', missed: 1 });
  t.match(after(look(0), look(30_000), look(60_000, { reading: false })), { name: 'calm', missed: 1 }, 'who doesn\'t read hears nothing');
  t.match(nextKeepAlive(CALM, waiting, TIMES), { vigil: { name: 'waiting', since: 1000 }, lookMs: 3000 });
  t.match(after(waiting, sent(2000)), { name: 'waiting', since: 1000 }, 'the first that nothing came after counts');
  t.match(after(waiting, sent(2000, 1)), { name: 'waiting', since: 2000, read: 1 });
  t.match(after(waiting, look(4000, { read: 1 })), { name: 'calm', read: 1, missed: 0 });
  t.match(nextKeepAlive(after(waiting, sent(2000, 1)), look(4000, { read: 1 }), TIMES), { vigil: { name: 'waiting', since: 2000 }, lookMs: 1000, ping: false });
  t.match(nextKeepAlive(after(waiting), asked, TIMES), { vigil: { name: 'asked', since: 4000 }, ping: true, lookMs: 500 });
  t.match(after(waiting, asked, look(5999)), { name: 'asked', since: 4000 });
  t.match(after(waiting, asked, look(6000)), { name: 'gone' });
  t.match(after(waiting, asked, look(6000, { read: 1 })), { name: 'calm' });
  t.match(after(waiting, asked, sent(5000, 1)), { name: 'waiting', since: 5000 }, 'it was heard before that');
  t.match(after(waiting, asked, look(6000, { reading: false }), look(7999)), { name: 'asked', since: 6000 });
  t.match(after(waiting, asked, look(8999, { lateMs: 3000 })), { name: 'asked', since: 7000 }, 'this process stood still');
  t.match(after(waiting, look(3_604_000, { lateMs: 3_600_000 })), { name: 'asked', since: 3_604_000 });
  t.match(after(waiting, look(-3_596_000, { lateMs: -3_600_000 })), { name: 'asked', since: -3_596_000 }, 'the clock was put back');
  t.match(after(waiting, asked, look(6000, { inFlightMs: 1500 }), look(7500, { inFlightMs: 1500 })), { name: 'gone' }, 'what is under way has its time');
  t.match(after(waiting, asked, look(6000, { pending: true, taken: 9 }), look(7999, { pending: true, taken: 9 })), { name: 'asked', since: 6000, taken: 9 }, 'the system takes what waits');
  t.match(after(waiting, asked, look(6000, { pending: true })), { name: 'gone' }, 'it takes nothing');
  t.match(nextKeepAlive(after(waiting, sent(3900, 1)), look(4000, { read: 1, inFlightMs: 1500 }), TIMES), { vigil: { name: 'waiting' }, ping: true }, 'how much has arrived is worth a ping');
  t.match(nextKeepAlive({ name: 'gone' }, look(0), TIMES), { vigil: { name: 'gone' } });
  t.end();
});

/**
 * A network path with a speed and buffers, and another side that answers pings, and messages on request. It
 * implements the parts of a WebSocket and its socket that `KeepAlive` uses.
 */
class Path extends EventEmitter {
  readonly clock = new ManualClock();
  readonly OPEN = 1;
  readonly readyState = 1;
  isPaused = false;
  bytesRead = 0;
  bytesWritten = 0;
  pings = 0;
  gone: number | undefined;
  cut = false;
  readonly #speed: number;
  readonly #buffers: number;
  readonly #keepAlive: KeepAlive;
  #arrived = 0;
  #queue: { readonly upTo: number; readonly bytesBack: number; readonly isPing: boolean }[] = [];

  /** @param speed in bytes per millisecond @param buffers in bytes */
  constructor(speed = 10 * KIB, buffers = 4 * MIB) {
    super();
    this.#speed = speed;
    this.#buffers = buffers;
    this.#keepAlive = new KeepAlive({ ws: this as unknown as WebSocket, socket: this as unknown as Socket, clock: this.clock, onSilence: () => { this.gone = this.clock.now(); } }, TIMES);
  }

  get writableLength(): number {
    return Math.max(0, this.bytesWritten - this.#arrived - this.#buffers);
  }

  get isEmpty(): boolean {
    return this.#arrived === this.bytesWritten;
  }

  ping(): void {
    this.pings += 1;
    this.#write(2, 2, true);
  }

  send(bytes: number, { answered = false } = {}): void {
    this.#write(bytes, answered ? 100 : 0, false);
    this.#keepAlive.sent();
  }

  /** Lets time pass. */
  pass(milliseconds: number, stepMs = 10): void {
    for (let left = milliseconds; left > 0; left -= stepMs) {
      if (!this.cut) this.#arrived = Math.min(this.bytesWritten, this.#arrived + this.#speed * stepMs);
      while (this.#queue[0] !== undefined && this.#queue[0].upTo <= this.#arrived) {
        const { bytesBack, isPing } = this.#queue.shift()!;
        this.bytesRead += bytesBack;
        if (isPing) this.emit('pong');
      }
      this.clock.advance(stepMs);
    }
  }

  #write(bytes: number, bytesBack: number, isPing: boolean): void {
    this.bytesWritten += bytes;
    this.#queue.push({ upTo: this.bytesWritten, bytesBack, isPing });
  }
}

t.test('SES-7: where nothing is sent it pings each 30 s, and gives up after two that brought nothing', (t) => {
  const path = new Path();
  path.pass(10 * 60_000);
  t.equal(path.pings, 20);
  t.equal(path.gone, undefined);
  path.cut = true;
  const since = path.clock.now();
  path.pass(120_000);
  t.ok(path.gone !== undefined && path.gone - since >= 60_000 && path.gone - since <= 90_000);
  t.equal(path.clock.pending, 0);
  t.equal(path.listenerCount('pong'), 0);
  t.end();
});

t.test('SES-7: what is sent to somebody who is gone is noticed 5 s later; somebody who answers nothing but pings stays', (t) => {
  const path = new Path();
  for (let second = 0; second < 600; second += 1) {
    path.send(200);
    path.pass(1000);
    t.equal(path.clock.pending, 1, 'one timer');
  }
  t.equal(path.gone, undefined);
  t.ok(path.pings <= 200);
  path.pass(60_000);
  path.cut = true;
  path.send(200);
  const since = path.clock.now();
  path.pass(5000);
  t.equal(path.gone, undefined);
  path.pass(100);
  t.ok(path.gone !== undefined && path.gone - since < 5020);
  t.end();
});

t.test('SES-7: this side\'s own silence counts for nothing: while it doesn\'t read, and while the process stands still', (t) => {
  const path = new Path();
  path.cut = true;
  path.isPaused = true;
  path.send(200);
  path.pass(60_000);
  t.equal(path.gone, undefined);
  path.isPaused = false;
  path.pass(3600);
  const asked = path.pings;
  path.clock.stall(60_000);
  path.cut = false;
  path.clock.advance(0);
  path.pass(60_000);
  t.equal(path.gone, undefined);
  t.ok(asked >= 1);
  t.end();
});

t.test('SES-7: a slow link with much under way isn\'t taken for a dead one', (t) => {
  const path = new Path(64 * KIB / 1000);
  path.send(10 * MIB);
  let ms = 0;
  for (; !path.isEmpty; ms += 1000) path.pass(1000);
  t.ok(ms >= 160_000);
  // Large messages that are answered, with small ones behind them.
  for (let n = 0; n < 4; n += 1) path.send(MIB, { answered: true });
  for (let n = 0; n < 60; n += 1) {
    path.send(100);
    path.pass(1000);
  }
  path.pass(60_000);
  t.ok(path.isEmpty);
  t.equal(path.gone, undefined);
  t.end();
});

t.test('SES-7: a fast link that dies in a stream is noticed within seconds', (t) => {
  const path = new Path();
  for (let n = 0; n < 3000; n += 1) {
    path.send(90 * KIB, { answered: true });
    path.pass(10);
  }
  t.ok(path.pings > 0 && path.pings <= 11, `${String(path.pings)} pings in 30 s`);
  path.cut = true;
  const since = path.clock.now();
  for (let n = 0; n < 100 && path.gone === undefined; n += 1) {
    path.send(10 * KIB, { answered: true });
    path.pass(100);
  }
  t.ok(path.gone !== undefined && path.gone - since < 9000, `${String((path.gone ?? NaN) - since)} ms`);
  t.end();
});

t.test('SES-7: whatever is sent over whatever path, one that carries isn\'t given up, and one that doesn\'t is', (t) => {
  const path = fc.record({ speed: fc.integer({ min: 66, max: 20_000 }), buffers: fc.integer({ min: 16 * KIB, max: 4 * MIB }) });
  const act = fc.record({ bytes: fc.oneof(fc.nat(1000), fc.nat(MIB)), answered: fc.boolean(), times: fc.integer({ min: 1, max: 20 }), pauseMs: fc.oneof(fc.nat(300), fc.nat(8000)) });
  fc.assert(fc.property(path, fc.array(act, { minLength: 1, maxLength: 8 }), ({ speed, buffers }, acts) => {
    const path = new Path(speed, buffers);
    for (const { bytes, answered, times, pauseMs } of acts) {
      for (let n = 0; n < times; n += 1) {
        path.send(bytes, { answered });
        path.pass(pauseMs, 50);
      }
    }
    if (path.gone !== undefined) return false;
    path.cut = true;
    path.send(1);
    path.pass(90_000, 50);
    return path.gone !== undefined;
  }), { numRuns: 150 });
  t.end();
});
