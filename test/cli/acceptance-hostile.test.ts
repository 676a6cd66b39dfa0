import { once } from 'node:events';
import t from 'tap';
import { withHome } from '../support/cli.js';
import { connected, descriptorsOf, faultsIn, Lines, openLine, Program, rssOf, seq, withWorld, type Frame, type World } from '../support/acceptance.js';
import { Outsider } from '../support/outsider.js';
import { until } from '../support/until.js';

/** Hostile programs and peers: each frame is answered, or dropped and counted, and other traffic is unaffected. */
const home = withHome(t);
let world: World;
let inbox: string;
let pids: readonly number[];
t.before(async () => {
  world = await withWorld(home);
  inbox = await world.bob.register('in');
  pids = (await world.bob.pids()).sort();
});

/** Runs traffic beside an attack. */
const beside = async <T>(attack: () => Promise<T>): Promise<{ result: T; faults: string[]; codes: (number | null)[] }> => {
  const COUNT = 3000;
  const tail = new Lines(world.bob.start('msg', 'tail', 'in', '--raw', '--count', String(COUNT), '--timeout', '60s'));
  const sender = new Lines(home.start(['msg', 'send', inbox, '-', '--timeout', '20s'], { profile: 'alice', input: seq(COUNT) }));
  const result = await attack();
  const early = await Promise.race([tail.ended, sender.ended.then(() => tail.ended)]);
  if (early !== 0) throw new Error(`tail ended with ${String(early)}: ${tail.stderr}; ${String(tail.all.length)} lines`);
  return { result, codes: [await sender.ended, early], faults: faultsIn(tail.all, COUNT) };
};

const rejected = async (): Promise<number> => (await world.bob.status()).counters['rejected']!;

/** Sends chunks to a socket. Returns the answers line by line, until there are enough or the socket closes. */
const say = async (path: string, chunks: readonly (string | Buffer)[], enough: (frames: readonly Frame[]) => boolean): Promise<Frame[]> => {
  const socket = await connected(path);
  const frames: Frame[] = [];
  let rest = '';
  let over = false;
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    for (const line of lines) if (line !== '') frames.push(JSON.parse(line) as Frame);
  }).on('error', () => { over = true; }).on('close', () => { over = true; });
  for (const chunk of chunks) {
    if (!over && !socket.write(chunk)) await until('there is room for more', () => over || !socket.writableNeedDrain);
  }
  await until('it is answered', () => over || enough(frames));
  socket.destroy();
  return frames;
};

t.test('the runtime\'s socket: every frame that is no message, or not for this program, is answered or counted', async (t) => {
  const { bob, alice } = world;
  const path = await bob.socket();
  const { runtime } = await bob.status();
  const before = await rejected();
  const open = openLine(path);
  const garbage = [
    'hello\n', '{"id":1,"type":"open"\n', '[]\n', 'null\n', '7\n', `${'['.repeat(1_000_000)}\n`, `{"a":${'['.repeat(100_000)}${']'.repeat(100_000)}}\n`,
    Buffer.from([0xff, 0xfe, 0x00, 0x80, 0x0a]), '{"id":{},"type":[],"from":7,"to":null}\n',
    '{"id":1,"type":"create","from":"hyperty://a/1","to":"hyperty://b/2","body":[]}\n', '{"id":2,"type":"nonsense","from":"mn:/client","to":"mn:/session"}\n',
    '{"id":3,"type":"create","from":"mn:/client","to":"mn:/session","body":{"__proto__":{"code":200}}}\n',
  ];
  const { codes, faults } = await beside(async () => {
    for (const frame of garbage) {
      const [first] = await say(path, [frame], (frames) => frames.length > 0);
      t.match(String(first?.body?.code), /^4/, `${String(frame).slice(0, 40)} is answered ${String(first?.body?.code)}`);
    }
    const [early] = await say(path, [`{"id":9,"type":"read","from":"mn:/client","to":"${runtime}/ua","body":{"resource":"status"}}\n`], (frames) => frames.length > 0);
    t.same([early?.id, early?.body?.code], [9, 401], 'nothing before open');
    const forged = await say(path, [open, ...[`${(await alice.status()).runtime}/ua`, 'hyperty://localhost/of-somebody-else', 'domain://registry.localhost', `${runtime}/sm`].map((from, index) =>
      `{"id":"f${String(index)}","type":"create","from":"${from}","to":"${inbox}","body":{"value":"forged"}}\n`)], (frames) => frames.length >= 5);
    t.same(forged.slice(1).map(({ body }) => body?.code), [403, 403, 403, 403], 'from is not believed');
    const wrong = await say(path, [open, ...[
      { type: 'subscribe', to: 'ua', body: { resource: 'in', value: { window: -1 } } }, { type: 'subscribe', to: 'ua', body: { resource: 7 } }, { type: 'subscribe', to: 'ua' },
      { type: 'execute', to: 'ua', body: { resource: 'explode' } }, { type: 'create', to: 'registry', body: { value: { name: '../../etc' } } }, { type: 'create', to: 'registry', body: { value: [] } },
      { type: 'execute', to: 'registry', body: { resource: '/p2p/connect', value: { address: '://' } } }, { type: 'create', to: 'sm', body: { schema: 1 } }, { type: 'read', to: 'nowhere' },
    ].map(({ to, ...frame }, index) => `${JSON.stringify({ id: `w${String(index)}`, from: `${runtime}/client/@`, to: `${runtime}/${to}`, ...frame })}\n`)], (frames) => frames.length >= 10);
    t.ok(wrong.slice(1).every(({ body }) => (body?.code ?? 0) >= 400), 'wrong types are refused');
    // 20 MiB without a line end, and a line that never ends.
    const piece = Buffer.alloc(1024 * 1024, 0x78);
    const rss = rssOf(pids[0]!);
    await say(path, [...Array.from({ length: 20 }, () => piece), '\n'], (frames) => frames.length > 0);
    t.ok(rssOf(pids[0]!) - rss < 128 * 1024 * 1024, 'a huge line is not kept');
  });
  t.same([codes, faults], [[0, 0], []], 'other traffic goes on');
  t.ok(await rejected() - before >= garbage.length, `counted: ${String(await rejected() - before)}`);
});

/** Duration of a hostile program in seconds. Set it to a minute or an hour for longer runs. */
const HOSTILE_S = Number(process.env['PROTOFLY_HOSTILE_SECONDS'] ?? 5);

/** Returns a pseudo-random generator of numbers below 1, determined by a seed. */
const randomOf = (seed: number) => (): number => {
  seed = (seed + 0x6d2b79f5) | 0;
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
};

/** Generates frames of a hostile program that knows the protocol: well-formed or not, with invented ids, flows and receipts. */
const hostileFrames = (random: () => number, { runtime, own, victims }: { readonly runtime: string; readonly own: readonly string[]; readonly victims: readonly string[] }) => {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)]!;
  const chance = (share: number): boolean => random() < share;
  const addresses = [...own, ...victims, ...['ua', 'registry', 'sm', 'catalogue', 'doctor', 'nowhere'].map((part) => `${runtime}/${part}`), runtime, 'mn:/session', 'domain://registry.localhost', 'domain://msg-node.localhost/sm', 'hyperty://localhost/nobody', 'hyperty://elsewhere.invalid/x', 'user://localhost/bob', 'x'];
  const value = (): unknown => pick([1, 'text', null, true, [], {}, { status: 'live' }, 'x'.repeat(chance(0.05) ? 500_000 : 2000), { taken: -1 }, { taken: 1e300 }, { window: 0 }, { name: `h${String(Math.floor(random() * 30))}` }, JSON.parse(`${'['.repeat(90)}${']'.repeat(90)}`)]);
  const body = (): Record<string, unknown> => ({
    value: value(),
    ...(chance(0.5) ? { expect: pick(['receipt', 'response', 'nothing', 7]) } : {}),
    ...(chance(0.4) ? { store: pick([true, 'yes']) } : {}),
    ...(chance(0.3) ? { ttl: pick([0, 1, 1e9, -1, '1']) } : {}),
    ...(chance(0.3) ? { flow: pick([['e', 1, 1], ['e', 5, 2, 3], ['e', 2 ** 53, 1], 'flow']) } : {}),
    ...(chance(0.2) ? { ack: { flow: ['e', 1, 1000], path: 'p2p' } } : {}),
    ...(chance(0.2) ? { p2p: pick([true, false, 'require']) } : {}),
    ...(chance(0.2) ? { via: pick([own, 'x', 7]) } : {}),
    ...(chance(0.2) ? { receiptOf: [1, 2, 3], code: pick([100, 200, 202, 404, 999]) } : {}),
    // Excludes requests that only end the runtime, or that any program of this user may use to take from
    // others.
    ...(chance(0.3) ? { resource: pick([...own, 'status', '/p2p/list', 'nothing', 7, `h${String(Math.floor(random() * 30))}`]) } : {}),
  });
  return (): string => {
    if (chance(0.02)) return pick(['{', 'null', '[1,2]', '\u0000', '{"id":1}', '{"id":1e999,"type":"create"}']) + '\n';
    const to = chance(0.9) ? pick(addresses) : Array.from({ length: 1 + Math.floor(random() * 40) }, () => pick(addresses));
    return `${JSON.stringify({
      id: pick([1, 1, 1, '1', Math.floor(random() * 50), 'x'.repeat(200)]), type: pick(['create', 'create', 'create', 'read', 'update', 'delete', 'subscribe', 'unsubscribe', 'execute', 'forward', 'response', 'ping', 'nonsense']),
      from: chance(0.9) ? pick(own) : pick(addresses), to, body: body(),
    })}\n`;
  };
};

t.test('a program that does whatever it likes on both sockets: two others exchange their messages all the same', async (t) => {
  const seed = Number(process.env['PROTOFLY_SEED'] ?? Date.now() % 2 ** 31);
  t.comment(`seed ${String(seed)}`);
  const random = randomOf(seed);
  // Uses a hyperty of its own: messages to the others' would disturb their count.
  const victim = await world.bob.register('victim');
  const { codes, faults, result } = await beside(async () => {
    let frames = 0;
    const attack = async (who: World['bob'], victims: readonly string[]): Promise<void> => {
      const path = await who.socket();
      const { runtime } = await who.status();
      for (const end = Date.now() + HOSTILE_S * 1000; Date.now() < end;) {
        const program = await Program.open(path);
        const made = await program.ask(`${runtime}/registry`, 'create', { value: { name: `hostile${String(frames)}` } });
        const own = [program.address, ...(typeof (made.value as { url?: unknown } | undefined)?.url === 'string' ? [(made.value as { url: string }).url] : [])];
        program.close();
        const socket = await connected(path);
        let over = false;
        socket.on('error', () => { over = true; }).on('close', () => { over = true; }).resume();
        socket.write(openLine(path));
        const next = hostileFrames(random, { runtime, own, victims });
        for (let n = 0; n < 2000 && !over && Date.now() < end; n += 1) {
          frames += 1;
          if (!socket.write(next())) await Promise.race([once(socket, 'drain'), once(socket, 'close')]).catch(() => undefined);
        }
        socket.destroy();
      }
    };
    await Promise.all([attack(world.alice, [victim]), attack(world.bob, [victim])]);
    return frames;
  });
  t.comment(`${String(result)} frames`);
  t.ok(result > 100);
  t.same(codes, [0, 0], 'both programs end well');
  t.same(faults, [], 'every message of theirs came once and in order');
  for (const who of [world.alice, world.bob]) t.equal((await who.status()).state, 'live', 'the runtime is live');
});

t.test('two thousand connections to the socket, half of them half open: they cost descriptors while they are there, and nothing after', async (t) => {
  const path = await world.bob.socket();
  const { pid } = await world.bob.status();
  const before = descriptorsOf(pid);
  const { codes, faults } = await beside(async () => {
    for (let batch = 0; batch < 20; batch++) {
      const sockets = await Promise.all(Array.from({ length: 100 }, () => connected(path)));
      for (const [index, socket] of sockets.entries()) {
        socket.on('error', () => undefined);
        if (index % 2 === 0) socket.write('{"id":1,"type":"op');
        else socket.end();
      }
      for (const socket of sockets) socket.destroy();
    }
  });
  t.same([codes, faults], [[0, 0], []], 'other traffic goes on');
  await until('the descriptors are back', () => descriptorsOf(pid) <= before + 4);
});

t.test('a program that asks and never reads is made to wait: it fills no memory', async (t) => {
  const { pid, runtime } = await world.bob.status();
  const socket = await connected(await world.bob.socket());
  socket.on('error', () => undefined).pause();
  socket.write(openLine(await world.bob.socket()));
  const program = await Program.open(await world.bob.socket());
  const address = program.address.replace(/\d+$/, (number) => String(Number(number) - 1));
  const rss = rssOf(pid);
  const question = Array.from({ length: 200 }, (_, index) => `{"id":${String(index)},"type":"read","from":"${address}","to":"${runtime}/ua","body":{"resource":"status"}}\n`).join('');
  let stuck = false;
  const { codes, faults } = await beside(async () => {
    for (let batch = 0; batch < 1000 && !stuck; batch++) {
      if (socket.write(question)) continue;
      stuck = !await Promise.race([once(socket, 'drain').then(() => true), new Promise<boolean>((resolve) => { setTimeout(resolve, 1500, false); })]);
    }
  });
  t.ok(stuck, 'it is no longer read');
  t.ok(rssOf(pid) - rss < 64 * 1024 * 1024, `the runtime grew by ${String(Math.round((rssOf(pid) - rss) / 1024 / 1024))} MiB`);
  t.same([codes, faults], [[0, 0], []], 'other traffic goes on');
  socket.destroy();
  program.close();
});

t.test('somebody else\'s program sets up P2P with the documented protocol; what it may not say is refused', async (t) => {
  const { bob, alice, url } = world;
  const outsider = await Outsider.join(url, 'outsider');
  const handler = await outsider.handlerOf('bob');
  const { runtime } = await bob.status();
  const { result: answers, codes, faults } = await beside(async () => {
    const connection = await outsider.connect(handler);
    await until('the runtime has the connection', async () => (await bob.live()).some(({ remoteRuntime, role }) => remoteRuntime === outsider.runtime && role === 'handler'));
    const me = `${outsider.runtime}/program`;
    const create = (from: string, to: string, body: Record<string, unknown> = { value: 'x', expect: 'receipt' }, type = 'create') => connection.ask({ type, from, to, body });
    t.same(await connection.ask({ type: 'ping', from: me, to: runtime }).then(({ code, path }) => [code, path]), [200, 'p2p'], 'it reaches the runtime directly');
    const refusals = await Promise.all([
      create((await alice.hyperties())[0]!.url, inbox), create(`${(await alice.status()).runtime}/ua`, inbox), create(inbox, inbox), create(`${runtime}/ua`, inbox),
      create('domain://registry.localhost', inbox), create('hyperty://localhost/nobody', inbox),
      create(me, `${runtime}/ua`, { resource: 'stop' }, 'execute'), create(me, `${runtime}/registry`, { value: { name: 'theirs' } }),
      create(me, `${runtime}/sm`, { schema: 'x', authorise: [], value: {} }), create(me, `${runtime}/registry`, { resource: 'hyperties' }, 'read'),
    ]);
    const batch = (value: unknown, count: number, to = inbox) => create(me, to, { value, expect: 'receipt', flow: ['e', 1, 1, count] });
    const malformed = await Promise.all([batch('x', 1), batch([], 0), batch([[1, {}]], 2), batch([[1, 'x']], 1), batch(Array.from({ length: 1025 }, (_, id) => [id, {}]), 1025)]);
    t.same(malformed.map(({ code }) => code), [400, 400, 400, 400, 400], 'a batch that is none is refused');
    t.equal((await batch([[1, {}], [2, {}]], 2, 'hyperty://localhost/nobody')).code, 404, 'one for nobody is refused once');
    const aside = await bob.register('aside');
    const claims = [{ flow: ['e', 1, 1000] }, { flow: ['e', 5, 1] }, { flow: [1e999, 1, 1] }, { flow: {} }, { flow: ['e', 1, Number.MAX_SAFE_INTEGER] }, [], 'all of it', null];
    const claimed = await Promise.all(claims.map((ack, index) => create(me, aside, { value: 'x', expect: 'receipt', flow: [`claims ${String(index)}`, 1, 1], ack })));
    t.same(claimed.map(({ code }) => code), claims.map(() => 200), 'a receipt for what was never sent is nothing, and its message is taken');
    for (const frame of ['', 'hello', '{}', '[1]', '{"uuid":7}', '{"uuid":"000000000000","data":"a piece of nothing"}', `{"uuid":"a","data":{"textMessage":${'['.repeat(5000)}${']'.repeat(5000)}}}`, '\u0000'.repeat(1000)]) connection.sendText(frame);
    for (let size = 0; size < 64; size++) connection.sendBytes(Buffer.from(Array.from({ length: size }, (_, index) => (index * 37 + size * 11) & 255)));
    t.equal((await connection.ask({ type: 'ping', from: me, to: runtime })).code, 200, 'garbage costs itself only');
    await connection.close();
    return refusals.map(({ code }) => code);
  });
  t.same(answers.map((code) => code === 403 || code === 404), answers.map(() => true), `answered ${answers.join(', ')}`);
  t.same([codes, faults], [[0, 0], []], 'other traffic goes on');
  // If its goodbye is lost, ICE notices: this framing has no pings.
  await until('the connection is gone', async () => (await bob.live()).every(({ remoteRuntime }) => remoteRuntime !== outsider.runtime), 45_000);
  outsider.close();
});

t.test('set-ups that make no sense, and connections that break their framing', async (t) => {
  const { bob, url } = world;
  const outsider = await Outsider.join(url, 'rude');
  const handler = await outsider.handlerOf('bob');
  const { codes, faults } = await beside(async () => {
    const sdp = (await outsider.connect(handler).then(async (connection) => {
      const text = await connection.offer;
      await connection.close();
      return text;
    }));
    const offer = (text: string): object => ({ runtime: outsider.runtime, connectionDescription: { type: 'offer', sdp: text }, iceCandidates: [] });
    const objects: unknown[] = [
      null, [], 'offer', {}, { connectionDescription: null }, { connectionDescription: { type: 'answer', sdp } }, { connectionDescription: { type: 'offer', sdp: 7 } },
      offer(''), offer('v=0'), offer('x'.repeat(65_537)), offer(sdp.replace(/a=fingerprint.*\r?\n/, '')), offer(sdp.replace(/a=ice-ufrag.*\r?\n/, '')), offer('\u0000'.repeat(500)),
      { ...offer(sdp), runtime: 'hyperty-runtime://localhost/somebody-else' }, { ...offer(sdp), iceCandidates: Array.from({ length: 201 }, () => ({ candidate: 'x', sdpMid: '0' })) },
      { ...offer(sdp), iceCandidates: [7] }, { ...offer(sdp), generation: -1 }, { ...offer(sdp), framings: 'all' },
    ];
    const results = await Promise.all(objects.map((value, index) => outsider.negotiate(`${outsider.runtime}/p2prequester/x${String(index)}`, handler, value).then(() => 'accepted', (error: Error) => error.message)));
    for (const [index, result] of results.entries()) t.match(result, /^refused with [45]/, `object ${String(index)}`);
    for (const frames of [[[9]], [[1, 255, 255, 255, 255]], [[4, 255, 255, 255, 255, 255, 255, 255, 255]], [[3, 0, 1, 0, 0, 0, 1, 7]], [[2, 0, 1, 255, 255, 255, 255]], [[1, 0, 0, 0, 3, 123, 34, 10]], Array.from({ length: 5000 }, () => [5, 0, 0, 0, 1])]) {
      const connection = await outsider.connect(handler, { framings: ['protofly/1'] });
      for (const frame of frames) connection.sendBytes(Uint8Array.from(frame));
      await connection.close();
      await until('it is gone', async () => (await bob.live()).every(({ remoteRuntime }) => remoteRuntime !== outsider.runtime));
    }
  });
  t.same([codes, faults], [[0, 0], []], 'other traffic goes on');
  outsider.close();
});

t.test('after all of that the same processes run, and they are well', async (t) => {
  t.same((await world.bob.pids()).sort(), pids);
  t.equal((await world.bob.status()).state, 'live');
  t.match(await world.bob.run('runtime', 'status'), /live/);
});
