import t from 'tap';
import type { Link, LinkInit } from '../../src/link/index.js';
import { memoryPair } from '../../src/link/memory/index.js';
import { Mux, type MuxInit } from '../../src/link/mux/index.js';
import type { Message, ProtoflyError } from '../../src/protocol/index.js';
import { linkContract, message } from './link-contract.js';

const muxes = (a: MuxInit = {}, b: MuxInit = {}): { one: Mux; other: Mux; below: Link<string>[]; incoming: (count?: number) => Promise<Link<Message>[]> } => {
  const below = memoryPair<string>({ maxFrame: 20_000_000 });
  const one = new Mux(below[0], a);
  const other = new Mux(below[1], b);
  const came: Link<Message>[] = [];
  let told = (): void => undefined;
  other.onChannel((_, link) => {
    came.push(link);
    told();
  });
  const incoming = (count = 1): Promise<Link<Message>[]> => new Promise((resolve) => {
    told = () => { if (came.length >= count) resolve(came); };
    told();
  });
  return { one, other, below, incoming };
};

/** Creates a mux, and the bare link to its other side. */
const against = (init: MuxInit = {}): { mux: Mux; peer: Link<string>; frames: string[]; until: (frame: RegExp) => Promise<void> } => {
  const [mine, peer] = memoryPair<string>({ maxFrame: 20_000_000 });
  const frames: string[] = [];
  let told = (): void => undefined;
  peer.receive((frame) => {
    frames.push(frame);
    told();
  });
  const until = (wanted: RegExp): Promise<void> => new Promise((resolve) => {
    told = () => { if (frames.some((frame) => wanted.test(frame))) resolve(); };
    told();
  });
  return { mux: new Mux(mine, init), peer, frames, until };
};

linkContract(t, {
  pair: async (a, b) => {
    const { one, other, incoming } = muxes(a, b);
    const link = one.open('x');
    const [came] = await incoming();
    return { a: link, b: came!, cleanUp: async () => { await Promise.all([one.close(), other.close()]); } };
  },
  raw: async (init: LinkInit) => {
    const { mux, peer, until } = against(init);
    const link = new Promise<Link<Message>>((resolve) => { mux.onChannel((_, channel) => { resolve(channel); }); });
    void peer.send('o 1 1000000 x');
    await until(/^c -1 /);
    return {
      link: await link,
      frame: (bytes) => { void peer.send(`m 1 ${bytes.toString('utf8')}`); },
      cleanUp: async () => { await Promise.all([mux.close(), peer.close()]); },
    };
  },
});

t.test('a channel that isn\'t read doesn\'t stop another', async (t) => {
  const { one, incoming } = muxes();
  const [stalled, lively] = [one.open('stalled'), one.open('lively')];
  const came = await incoming(2);
  const gate = { open: (): void => undefined };
  const hold = new Promise<void>((resolve) => { gate.open = resolve; });
  came[0]!.receive(() => hold);
  const text = 'x'.repeat(10_000);
  const stalledWriter = (async () => { for (let id = 0; id < 1000; id++) await stalled.send(message(id, text)); })();
  const all = new Promise<void>((resolve) => { came[1]!.receive((item) => { if (item.id === 999) resolve(); }); });
  for (let id = 0; id < 1000; id++) await lively.send(message(id, text));
  await all;
  t.equal(came[0]!.stats.received, 1);
  t.ok(stalled.stats.sent < 200);
  gate.open();
  await stalledWriter;
  await one.close();
});

t.test('messages larger than the window pass', async (t) => {
  const { one, incoming } = muxes({ window: 1000 }, { window: 1000 });
  const link = one.open('x');
  const [came] = await incoming();
  const ids: unknown[] = [];
  const all = new Promise<void>((resolve) => { came!.receive((item) => { if (ids.push(item.id) === 20) resolve(); }); });
  for (let id = 0; id < 20; id++) await link.send(message(id, 'x'.repeat(id * 1000)));
  await all;
  t.same(ids, Array.from({ length: 20 }, (_, id) => id));
  await one.close();
});

t.test('both sides may open channels, of the same name too, and each ends alone, with its reason', async (t) => {
  const { one, other, incoming } = muxes();
  const back = new Promise<Link<Message>>((resolve) => { one.onChannel((_, link) => { resolve(link); }); });
  const links = [one.open('x'), one.open('x')] as const;
  const reverse = other.open('x');
  const came = await incoming(2);
  const echoed = new Promise<unknown>((resolve) => { reverse.receive((item) => { resolve(item.id); }); });
  (await back).receive((item) => (void item, undefined));
  void (await back).send(message(77));
  t.equal(await echoed, 77);
  came[0]!.receive(() => undefined);
  await links[0].close('no more of this');
  t.match(await came[0]!.closed, { how: 'closed', reason: 'no more of this' });
  came[1]!.receive((item) => came[1]!.send(item));
  const answered = new Promise<unknown>((resolve) => { links[1].receive((item) => { resolve(item.id); }); });
  void links[1].send(message(5));
  t.equal(await answered, 5);
  await one.close('all of it');
  t.match(await Promise.all([other.closed, links[1].closed, came[1]!.closed, reverse.closed]), Array.from({ length: 4 }, () => ({ how: 'closed' })));
  t.equal(one.size + other.size, 0);
  t.throws(() => one.open('late'), { code: 'E_LINK_CLOSED' });
});

t.test('what came is still given to its receiver when the link below has ended', async (t) => {
  const { one, below, incoming } = muxes();
  const link = one.open('x');
  const [came] = await incoming();
  const got: unknown[] = [];
  const gate = { open: (): void => undefined };
  const hold = new Promise<void>((resolve) => { gate.open = resolve; });
  came!.receive((item) => {
    got.push(item.id);
    return hold;
  });
  for (let id = 0; id < 10; id++) void link.send(message(id));
  await new Promise((resolve) => { setImmediate(resolve); });
  await below[0]!.close();
  gate.open();
  await came!.closed;
  t.same(got, Array.from({ length: 10 }, (_, id) => id));
});

t.test('a channel that nobody takes, or one too many, is refused with a reason', async (t) => {
  const { one, other } = muxes({ maxChannels: 3 }, { maxChannels: 2 });
  other.onChannel((name) => { if (name === 'unwanted') throw new Error('unwanted'); });
  t.match(await one.open('unwanted').closed, { reason: 'refused: unwanted' });
  const [, , third] = [one.open('1'), one.open('2'), one.open('3')];
  t.match(await third!.closed, { reason: /refused: 2 channels/ });
  one.open('3');
  t.throws(() => one.open('4'), { code: 'E_TOO_MANY' });
  t.match(await other.open('back').closed, { reason: /no channels are taken/ });
  for (const name of ['', 'a\nb', 'x'.repeat(3000), '\ud800']) t.throws(() => one.open(name), { code: 'E_USAGE' });
  await one.close();
});

t.test('a peer that breaks a channel\'s rules loses the channel', async (t) => {
  const { mux, peer, until } = against({ window: 1000 });
  const came: Link<Message>[] = [];
  mux.onChannel((_, link) => came.push(link));
  for (const id of [1, 2, 3]) void peer.send(`o ${String(id)} 1000 x`);
  await until(/^c -3 1000/);
  came[0]!.receive(() => new Promise(() => undefined));
  for (let id = 0; id < 20; id++) void peer.send(`m 1 ${JSON.stringify(message(id))}`);
  t.match(await came[0]!.closed, { how: 'gone', reason: /credit/ });
  await until(/^x -1 .*credit/);
  void peer.send(`c 2 ${String(2 ** 40)}`);
  t.match(await came[1]!.closed, { how: 'gone', reason: /credit/ });
  void peer.send('m 1 late');
  void peer.send('x 1 late');
  const arrived = new Promise<unknown>((resolve) => { came[2]!.receive((item) => { resolve(item.id); }); });
  void peer.send(`m 3 ${JSON.stringify(message(9))}`);
  t.equal(await arrived, 9, 'another channel isn\'t touched');
  await mux.close();
});

const framings = ['', 'z', 'm', 'm 1', 'm 9 {}', 'm -9 {}', 'm 0 {}', 'm 1e3 {}', 'm 99999999999999999999 {}', 'c 9 1', 'x 9 y', 'o 1 1 ', 'o 1 x name', 'o 2 1 name', 'o -1 1 name', 'o 1 0 name', `o 1 ${String(2 ** 41)} name`, 'o 1 5', `o 1 5 ${'x'.repeat(5000)}`, 'M 1 {}'];
for (const frame of framings) {
  t.test(`a peer that breaks the framing loses the mux: ${JSON.stringify(frame.slice(0, 30))}`, async (t) => {
    const { mux, peer } = against();
    mux.onChannel(() => undefined);
    const mine = mux.open('x');
    if (frame === '') await peer.close();
    else void peer.send(frame);
    t.equal((await mux.closed).how, frame === '' ? 'closed' : 'gone');
    await mine.closed;
    await peer.closed;
  });
}

t.test('random frames never throw', async (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  t.comment(`SEED=${String(seed)}`);
  let state = seed;
  const next = (below: number): number => (state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff) % below;
  for (let round = 0; round < 200; round++) {
    const errors: ProtoflyError[] = [];
    const { mux, peer } = against({ window: 500, onReject: (error) => { errors.push(error); } });
    mux.onChannel((_, link) => { link.receive((item) => link.send(item)); });
    mux.open('x').receive(() => undefined);
    for (let count = 0; count < 30; count++) {
      const channel = String(next(5) - 2);
      const frame = [`o ${String(1 + next(4))} ${String(next(1000))} n`, `c ${channel} ${String(next(1000))}`, `m ${channel} ${JSON.stringify(message(count))}`, `m ${channel} {`, `x ${channel} r`][next(5)]!;
      try { void peer.send(frame); } catch (thrown) { t.equal((thrown as ProtoflyError).code, 'E_LINK_CLOSED'); break; }
      if (next(3) === 0) await Promise.resolve();
    }
    await Promise.all([mux.close(), peer.close()]);
    t.equal(mux.size, 0);
  }
});
