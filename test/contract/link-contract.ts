import type { Test } from 'tap';
import type { Link, LinkEnd, LinkInit } from '../../src/link/index.js';
import type { Address, Message, Backpressure, ProtoflyError } from '../../src/protocol/index.js';

/** Both ends of a link, with functions that break it. */
export interface Pair {
  readonly a: Link<Message>;
  readonly b: Link<Message>;
  /** Ends b without a goodbye, as the death of its process would. Absent if that is impossible. */
  readonly vanish?: () => void;
  readonly cleanUp: () => Promise<void>;
}

/** One end of a link; the test writes the bytes of the other. */
export interface Raw {
  readonly link: Link<Message>;
  /** Writes one frame of these bytes. */
  readonly frame: (bytes: Buffer) => void;
  /** Writes half a frame and ends. */
  readonly truncate?: (bytes: Buffer) => void;
  readonly cleanUp: () => Promise<void>;
}

export interface LinkMaker {
  pair(a?: LinkInit, b?: LinkInit): Promise<Pair>;
  readonly raw?: (init: LinkInit) => Promise<Raw>;
  /** True if both ends have the same settings. */
  readonly symmetric?: boolean;
  /** True if frames are bytes, so that they can be invalid UTF-8. */
  readonly bytes?: boolean;
}

const FROM = 'hyperty://a.example/1' as Address;
const TO = 'hyperty://b.example/2' as Address;
export const message = (id: number, value = ''): Message => ({ id, type: 'create', from: FROM, to: TO, body: { value } });

const turn = (): Promise<void> => new Promise((resolve) => { setImmediate(resolve); });

/** Waits until `count` hasn't changed for many turns of the event loop. */
const untilSteady = async (count: () => number): Promise<number> => {
  let last = count();
  for (let turns = 0; turns < 300; turns++) {
    await turn();
    if (count() === last) continue;
    last = count();
    turns = 0;
  }
  return last;
};

/** Collects received messages; `all` resolves when there are enough. */
const collect = (link: Link<Message>, enough: number, backpressure: () => Backpressure = () => undefined): { got: Message[]; all: Promise<void> } => {
  const got: Message[] = [];
  const all = new Promise<void>((resolve) => {
    link.receive((item) => {
      if (got.push(item) === enough) resolve();
      return backpressure();
    });
  });
  return { got, all };
};

const gate = (): { promise: Promise<void>; open: () => void } => {
  let open = (): void => undefined;
  const promise = new Promise<void>((resolve) => { open = resolve; });
  return { promise, open };
};

const random = (seed: number): (() => number) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1);
  mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
};

const seedOf = (t: Test): number => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  t.comment(`SEED=${String(seed)}`);
  return seed;
};

const codeOf = (run: () => unknown): string => {
  try {
    run();
    return 'nothing thrown';
  } catch (thrown) {
    return (thrown as ProtoflyError).code;
  }
};

const nested = (depth: number, brackets: [string, string]): string => brackets[0].repeat(depth) + brackets[1].repeat(depth);
const good = (over: Record<string, unknown>): string => JSON.stringify({ id: 1, type: 'create', from: FROM, to: TO, ...over });

/** Frames that are no messages. */
const HOSTILE: readonly string[] = [
  'not JSON', '{', '{"id":1,"type":"create"', '[]', 'null', '42', '"text"', '{}',
  good({ id: null }), good({ id: {} }), good({ id: '' }), good({ id: 'x'.repeat(1_000_000) }), good({ id: '\ud800' }),
  good({ type: 'destroy' }), good({ type: 7 }), good({ type: '__proto__' }), good({ type: 'response' }), good({ type: 'response', body: { code: 'x' } }),
  good({ from: 7 }), good({ from: 'nowhere' }), good({ from: 'hyperty://a.example/\ud800' }), good({ from: `hyperty://a.example/${'x'.repeat(5000)}` }),
  good({ to: {} }), good({ to: [] }), good({ to: [7] }), good({ to: Array.from({ length: 5000 }, () => TO) }),
  good({ body: 7 }), good({ body: [] }),
  `{"id":1,"type":"create","from":"${FROM}","to":"${TO}","body":{"__proto__":{"polluted":true}}}`,
  `{"id":1,"type":"create","from":"${FROM}","to":"${TO}","body":{"value":${nested(10_000, ['[', ']'])}}}`,
  `{"id":1,"type":"create","from":"${FROM}","to":"${TO}","body":{"value":${nested(200, ['{"a":[', ']}'])}}}`,
  nested(1_000_000, ['[', ']']), '['.repeat(1_000_000),
];

/** The contract of every link. */
export const linkContract = (t: Test, maker: LinkMaker): void => {
  // Timers of links don't keep a process alive, but a test that waits for one must stay alive.
  const alive = setInterval(() => undefined, 1000);
  t.teardown(() => { clearInterval(alive); });

  t.test('items arrive as they were sent, in order, both ways, also when the receiver waits now and then', async (t) => {
    const next = random(seedOf(t));
    const { a, b, cleanUp } = await maker.pair();
    const count = 3000;
    const sent = Array.from({ length: count }, (_, id) => message(id, 'ä€😀x'.repeat(Math.floor(next() ** 8 * 10_000))));
    const busy = (): Backpressure => (next() < 0.02 ? turn() : undefined);
    const there = collect(b, count, busy);
    const back = collect(a, count, busy);
    for (const item of sent) {
      const backpressures = [a.send(item), b.send(item)];
      if (next() < 0.5) await Promise.all(backpressures);
    }
    await Promise.all([there.all, back.all]);
    t.same(there.got, sent);
    t.same(back.got, sent);
    t.match([a.stats, b.stats], [{ sent: count, received: count, rejected: 0 }, { sent: count, received: count, rejected: 0 }]);
    await cleanUp();
  });

  t.test('nothing is lost before there is a receiver, and none is called from within send', async (t) => {
    const { a, b, cleanUp } = await maker.pair();
    let sending = false;
    const { all, got } = collect(a, 2, () => { t.notOk(sending, 'not from within send'); });
    b.receive((item) => {
      sending = true;
      void b.send(item);
      sending = false;
    });
    sending = true;
    void a.send(message(1));
    void a.send(message(2));
    sending = false;
    await all;
    t.same(got.map(({ id }) => id), [1, 2]);
    await cleanUp();

    const late = await maker.pair();
    void late.a.send(message(7));
    await untilSteady(() => late.b.stats.received);
    t.equal(late.b.stats.received, 0);
    const { all: arrived } = collect(late.b, 1);
    await arrived;
    await late.cleanUp();
  });

  t.test('an item above the limit is refused to its sender, and the link stays', async (t) => {
    const { a, b, cleanUp } = await maker.pair({ maxFrame: 10_000 }, { maxFrame: 10_000 });
    const { got, all } = collect(b, 1);
    t.equal(codeOf(() => a.send(message(1, 'x'.repeat(10_000)))), 'E_TOO_LARGE');
    if (maker.bytes === true) t.equal(codeOf(() => a.send(message(1, '€'.repeat(4000)))), 'E_TOO_LARGE', 'bytes count, not characters');
    void a.send(message(2, 'x'.repeat(9000)));
    await all;
    t.equal(got[0]?.id, 2);
    await cleanUp();
  });

  t.test('an item that comes and is above the limit is dropped and counted, and the link stays', { skip: maker.symmetric === true && 'both ends have one limit' }, async (t) => {
    const rejected: string[] = [];
    const { a, b, cleanUp } = await maker.pair({}, { maxFrame: 10_000, onReject: (error) => { rejected.push(error.code); } });
    const { got, all } = collect(b, 2);
    void a.send(message(1));
    void a.send(message(2, 'x'.repeat(10_001)));
    void a.send(message(3, 'x'.repeat(1_000_000)));
    void a.send(message(4));
    await all;
    t.same(got.map(({ id }) => id), [1, 4]);
    t.same(rejected, ['E_TOO_LARGE', 'E_TOO_LARGE']);
    t.equal(b.stats.rejected, 2);
    await cleanUp();
  });

  for (const [from, to] of [['a', 'b'], ['b', 'a']] as const) {
    t.test(`a reader that stops reading stops the writer, with little in between (${from} to ${to})`, async (t) => {
      const pair = await maker.pair();
      const hold = gate();
      const { got, all } = collect(pair[to], 4000, () => hold.promise);
      const text = 'x'.repeat(16 * 1024);
      const write = async (): Promise<void> => {
        for (let id = 0; id < 4000; id++) await pair[from].send(message(id, text));
      };
      const written = write();
      // Includes the data that the kernel buffers for a TCP connection.
      const accepted = await untilSteady(() => pair[from].stats.sent);
      t.ok(accepted * text.length < 16 * 1024 * 1024, `${String(Math.round(accepted * text.length / 1024))} KiB of 64 MiB were accepted`);
      t.equal(got.length, 1, 'the receiver was given nothing while its promise was pending');
      hold.open();
      await Promise.all([written, all]);
      t.same(got.map(({ id }) => id), Array.from({ length: 4000 }, (_, id) => id));
      await pair.cleanUp();
    });
  }

  t.test('a sender that never waits is bounded: the link ends as gone', async (t) => {
    const { a, b, cleanUp } = await maker.pair({ maxFrame: 100_000, maxBuffered: 4_000_000 }, { maxFrame: 100_000, maxBuffered: 4_000_000 });
    b.receive(() => new Promise(() => undefined));
    const text = 'x'.repeat(50_000);
    let code = '';
    for (let id = 0; id < 2000 && code === ''; id++) {
      const thrown = codeOf(() => a.send(message(id, text)));
      if (thrown !== 'nothing thrown') code = thrown;
    }
    t.equal(code, 'E_LINK_CLOSED');
    t.ok(a.stats.sent * text.length <= 4_200_000 + 1024 * 1024, `${String(a.stats.sent)} items were accepted`);
    t.match(await a.closed, { how: 'gone', reason: /bytes wait/ });
    t.equal(codeOf(() => a.send(message(1))), 'E_LINK_CLOSED');
    await cleanUp();
  });

  t.test('whoever waits for backpressure is freed when the link ends', async (t) => {
    const { a, b, cleanUp } = await maker.pair({ lingerMs: 20 }, { lingerMs: 20 });
    b.receive(() => new Promise(() => undefined));
    const fill = async (): Promise<string> => {
      for (let id = 0; ; id++) {
        const code = codeOf(() => a.send(message(id, 'x'.repeat(50_000))));
        if (code !== 'nothing thrown') return code;
        await a.send(message(id));
      }
    };
    const filled = fill();
    await untilSteady(() => a.stats.sent);
    await a.close();
    t.equal((await a.closed).how, 'gone', 'not everything could be sent in time');
    t.equal(await filled.catch((thrown: unknown) => (thrown as ProtoflyError).code), 'E_LINK_CLOSED');
    await cleanUp();
  });

  t.test('closing sends what was accepted first; both sides learn that it was in order', async (t) => {
    const { a, b, cleanUp } = await maker.pair();
    const { got } = collect(b, Infinity, () => (got.length % 500 === 0 ? turn() : undefined));
    for (let id = 0; id < 3000; id++) void a.send(message(id, 'x'.repeat(200)));
    const closing = a.close('enough');
    t.equal(codeOf(() => a.send(message(1))), 'E_LINK_CLOSED');
    t.match(await b.closed, { how: 'closed' });
    t.equal(got.length, 3000, 'all had been given when b was told');
    await Promise.all([closing, a.close(), a.close()]);
    t.same(await a.closed, { how: 'closed', reason: 'enough' } satisfies LinkEnd);
    t.equal(codeOf(() => b.send(message(1))), 'E_LINK_CLOSED');
    await b.close();
    await cleanUp();
  });

  t.test('both sides may close at once, in the middle of traffic', async (t) => {
    const { a, b, cleanUp } = await maker.pair();
    a.receive((item) => { if (item.id === 0) void a.close(); });
    b.receive((item) => { if (item.id === 0) void b.close(); });
    for (let id = 0; id < 500; id++) { void a.send(message(id)); void b.send(message(id)); }
    t.same([(await a.closed).how, (await b.closed).how], ['closed', 'closed']);
    await cleanUp();
  });

  t.test('a peer that vanishes ends the link as gone', async (t) => {
    const { a, b, vanish, cleanUp } = await maker.pair();
    if (vanish !== undefined) {
      const { all } = collect(a, 1);
      void b.send(message(1));
      await all;
      vanish();
      t.equal((await a.closed).how, 'gone');
      t.equal(codeOf(() => a.send(message(1))), 'E_LINK_CLOSED');
      await a.close();
    }
    await cleanUp();
  });

  t.test('what a receiver throws costs that item only', async (t) => {
    const errors: string[] = [];
    const { a, b, cleanUp } = await maker.pair({}, { onReject: (error) => { errors.push(error.message); } });
    const done = new Promise<void>((resolve) => {
      b.receive((item) => {
        if (item.id === 1) throw new Error('thrown');
        if (item.id === 2) return Promise.reject(new Error('rejected'));
        if (item.id === 3) resolve();
      });
    });
    for (const id of [1, 2, 3]) void a.send(message(id));
    await done;
    t.same(errors, ['thrown', 'rejected']);
    t.equal(b.stats.rejected, 2);
    await cleanUp();
  });

  const { raw } = maker;
  if (raw === undefined) return;

  t.test('hostile frames cost themselves only', async (t) => {
    const rejected: [string, string | undefined][] = [];
    const { link, frame, cleanUp } = await raw({ maxFrame: 3_000_000, onReject: (error, text) => { rejected.push([error.code, text]); } });
    const { got, all } = collect(link, HOSTILE.length);
    for (const text of HOSTILE) {
      frame(Buffer.from(text));
      frame(Buffer.from(good({ id: 'after' })));
    }
    await all;
    t.ok(got.every(({ id }) => id === 'after'));
    t.same(rejected.map(([, text]) => text), HOSTILE.map((text) => Buffer.from(text).toString()), 'each is told with its text');
    t.ok(rejected.every(([code]) => code === 'E_MESSAGE' || code === 'E_ADDRESS'));
    t.equal(link.stats.rejected, HOSTILE.length);
    t.notOk('polluted' in {}, 'no prototype was touched');
    await cleanUp();
  });

  t.test('random bytes never end the process, nor keep a good message after them from arriving', async (t) => {
    const next = random(seedOf(t));
    const { link, frame, cleanUp } = await raw({});
    const arrived = new Promise<void>((resolve) => { link.receive((item) => { if (item.id === 'last') resolve(); }); });
    const base = Buffer.from(good({ body: { value: 'x€' } }));
    for (let round = 0; round < 500; round++) {
      const bytes = Buffer.from(base);
      for (let hits = 0; hits < 3; hits++) bytes[Math.floor(next() * bytes.length)] = Math.floor(next() * (maker.bytes === true ? 256 : 128));
      frame(bytes.subarray(0, Math.ceil(next() * bytes.length * 2)));
    }
    frame(Buffer.from(good({ id: 'last' })));
    await arrived;
    t.ok(link.stats.rejected > 100);
    await cleanUp();
  });
};
