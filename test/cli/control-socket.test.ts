import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import t from 'tap';
import { connected, openLine, Peer, Program, tokenOf, withWorld, type Frame, type World } from '../support/acceptance.js';
import { ended, withHome } from '../support/cli.js';
import { until } from '../support/until.js';

/** The control sockets of real daemons: who may open a session, and what everybody else costs. */
const home = withHome(t);
let world: World;
let sockets: { readonly runtime: string; readonly domain: string };
t.before(async () => {
  world = await withWorld(home);
  const { stdout } = await home.pfly(['domain', 'status', '--json']);
  sockets = { runtime: await world.bob.socket(), domain: (JSON.parse(stdout) as { socket: string }).socket };
});

const openWith = (value: unknown): string => `${JSON.stringify({ id: 'o', type: 'open', from: 'mn:/client', to: 'mn:/session', ...(value === undefined ? {} : { body: { value } }) })}\n`;

interface Heard {
  readonly frames: readonly Frame[];
  /** True once the other side has closed. */
  readonly over: boolean;
}

/** Reads a raw socket; what it returns changes as frames come. */
const listen = (socket: Socket): Heard => {
  const heard = { frames: [] as Frame[], over: false };
  let rest = '';
  socket.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    for (const line of lines) if (line !== '') heard.frames.push(JSON.parse(line) as Frame);
  }).on('error', () => undefined).on('end', () => { heard.over = true; }).on('close', () => { heard.over = true; });
  return heard;
};

/** Sends chunks, and returns the answers once the daemon has closed the connection. */
const refusedWith = async (path: string, ...chunks: readonly (string | Buffer)[]): Promise<readonly Frame[]> => {
  const socket = await connected(path);
  const heard = listen(socket);
  for (const chunk of chunks) {
    if (!heard.over && !socket.write(chunk)) await until('there is room', () => heard.over || !socket.writableNeedDrain);
  }
  await until('the connection is closed', () => heard.over);
  socket.destroy();
  return heard.frames;
};

const rejected = async (): Promise<number> => (await world.bob.status()).counters['rejected']!;

t.test('a session needs the token of this start, which only the user can read', async (t) => {
  for (const [name, path] of Object.entries(sockets)) {
    const file = `${path}.token`;
    t.equal(statSync(file).mode & 0o777, 0o600, `${name}: mode 0600`);
    t.match(tokenOf(path), /^[\w-]{43}$/, '256 bits');
    for (const value of [undefined, null, 'x', {}, { token: '' }, { token: 7 }, { token: tokenOf(path).slice(1) }, { token: randomBytes(32).toString('base64url') }]) {
      const [answer, ...others] = await refusedWith(path, openWith(value));
      t.match(answer, { id: 'o', type: 'response', body: { code: 401, error: 'E_UNAUTHENTICATED', description: /token/, hint: /\.token/ } }, `${name}: ${JSON.stringify(value)}`);
      t.equal(others.length, 0);
      t.notMatch(JSON.stringify(answer), tokenOf(path), 'the refusal doesn\'t tell it');
    }
  }
  t.not(tokenOf(sockets.runtime), tokenOf(sockets.domain));
});

t.test('refused connections are counted', async (t) => {
  const before = await rejected();
  await refusedWith(sockets.runtime, openWith({}));
  t.equal(await rejected(), before + 1);
});

t.test('another start has another token, and no token is left after the end', async (t) => {
  const carol = new Peer(home, 'carol');
  await home.runtime('carol', world.url);
  const path = await carol.socket();
  const first = tokenOf(path);
  await carol.run('runtime', 'stop');
  t.notOk(existsSync(`${path}.token`));
  await home.runtime('carol', world.url);
  t.not(tokenOf(path), first);
  t.match(await refusedWith(path, openWith({ token: first })), [{ body: { code: 401 } }]);
});

t.test('what the command line says without a readable token', async (t) => {
  const file = `${sockets.runtime}.token`;
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, 'x\n');
  const { code, stderr } = await home.pfly(['hyperty', 'list'], { profile: 'bob' });
  writeFileSync(file, text);
  t.equal(code, 6);
  t.match(stderr, /token/);
  t.equal((await home.pfly(['hyperty', 'list'], { profile: 'bob' })).code, 0);
});

t.test('whatever comes before open is answered by what is wrong with it', async (t) => {
  const cases: readonly (readonly [string, number, string, readonly (string | Buffer)[]])[] = [
    ['no JSON', 400, 'E_MESSAGE', ['hello\n']],
    ['no UTF-8', 400, 'E_MESSAGE', [Buffer.from([0x22, 0xff, 0xfe, 0x22, 0x0a])]],
    ['deep nesting', 413, 'E_TOO_LARGE', [Buffer.alloc(8_000_000, '['), '\n']],
    ['deep nesting that fits', 400, 'E_MESSAGE', [Buffer.alloc(4000, '['), '\n']],
    ['a line of 16 MiB', 413, 'E_TOO_LARGE', Array.from({ length: 16 }, () => Buffer.alloc(1024 * 1024, 'x'))],
    ['another message', 401, 'E_UNAUTHENTICATED', ['{"id":1,"type":"read","from":"mn:/client","to":"mn:/session"}\n']],
    ['a response', 401, 'E_UNAUTHENTICATED', ['{"id":1,"type":"response","from":"mn:/client","to":"mn:/session","body":{"code":200}}\n']],
  ];
  for (const path of Object.values(sockets)) {
    for (const [name, code, error, chunks] of cases) {
      t.match(await refusedWith(path, ...chunks), [{ body: { code, error } }], name);
    }
    const started = performance.now();
    t.match(await refusedWith(path, '{"id":1,"type":"op'), [{ body: { code: 408, error: 'E_TIMEOUT' } }], 'half a line');
    t.ok(performance.now() - started < 20_000);
    const half = await connected(path);
    const heard = listen(half);
    half.end('{"id":1');
    await until('it is answered', () => heard.over);
    t.match(heard.frames, [{ body: { code: 400, error: 'E_MESSAGE' } }], 'half a line, then the end');
  }
});

t.test('thousands of connections that never open: the oldest go, and programs come in all the time', async (t) => {
  for (const path of Object.values(sockets)) {
    const held: { readonly socket: Socket; readonly heard: Heard }[] = [];
    let longest = 0;
    for (let batch = 0; batch < 20; batch += 1) {
      const sockets = await Promise.all(Array.from({ length: 100 }, () => connected(path)));
      held.push(...sockets.map((socket) => ({ socket, heard: listen(socket) })));
      const started = performance.now();
      (await Program.open(path)).close();
      longest = Math.max(longest, performance.now() - started);
    }
    t.comment(`the longest open took ${String(Math.round(longest))} ms`);
    await until('the oldest are closed', () => held.slice(0, 1800).every(({ heard }) => heard.over));
    const codes = held.slice(0, 1800).map(({ heard }) => heard.frames[0]?.body?.['error']);
    t.ok(codes.every((code) => code === 'E_TOO_MANY'), 'they are told why');
    for (const { socket } of held) socket.destroy();
  }
});

t.test('a program with a session that sends the worst frames delays others little', async (t) => {
  const path = sockets.runtime;
  const honest = await Program.open(path);
  const frames = [
    Buffer.alloc(8_000_000, '['), Buffer.from(`{"id":1,"body":${'{"a":'.repeat(1_000_000)}1${'}'.repeat(1_000_000)}}`),
    Buffer.from(`{"id":1,"type":"read","from":"x","to":"y","body":${'['.repeat(4_000_000)}${']'.repeat(4_000_000)}}`), Buffer.alloc(16_000_000, 0xff), Buffer.alloc(16_000_000, 'x'),
  ];
  let longest = 0;
  let over = false;
  const pings = (async () => {
    while (!over) {
      const started = performance.now();
      await honest.ask(`${honest.runtime}/ua`, 'read', { resource: 'status' });
      longest = Math.max(longest, performance.now() - started);
    }
  })();
  const hostile = await connected(path);
  const heard = listen(hostile);
  hostile.write(openLine(path));
  for (const [index, frame] of frames.entries()) {
    hostile.write(frame);
    hostile.write('\n');
    await until(`frame ${String(index)} is answered`, () => heard.frames.length > index + 1);
    t.match(heard.frames.at(-1), { body: { code: 400 } });
  }
  over = true;
  await pings;
  t.comment(`the longest answer to another program took ${String(Math.round(longest))} ms`);
  // Parsing one of these frames takes 10 s and more. The bound leaves room for a busy machine.
  t.ok(longest < 5000, 'others are answered');
  hostile.destroy();
  honest.close();
});

t.test('the programs of docs/control.md open a session and print their address', async (t) => {
  const page = readFileSync(new URL('../../docs/control.md', import.meta.url), 'utf8');
  const programs = [...page.matchAll(/^```(?<language>sh|python|js)\n(?<code>[\s\S]*?)^```$/gm)].map(({ groups }) => groups as { readonly language: string; readonly code: string });
  t.ok(programs.length >= 2);
  const has = async (command: string): Promise<boolean> => (await ended(spawn('sh', ['-c', `command -v ${command}`]))).code === 0;
  for (const { language, code } of programs) {
    const needed = language === 'python' ? ['python3'] : language === 'sh' ? ['jq', 'nc'] : [];
    if (!(await Promise.all(needed.map(has))).every(Boolean)) { t.comment(`${language}: ${needed.join(' or ')} is missing`); continue; }
    const command = { python: ['python3', '-c', code], js: [process.execPath, '--input-type=module', '-e', code], sh: ['sh', '-c', code] }[language]!;
    const ran = await ended(spawn(command[0]!, command.slice(1), { env: { PATH: process.env['PATH'] ?? '', SOCKET: sockets.runtime, PROTOFLY_HOME: home.path }, timeout: 20_000 }));
    t.match(ran.stdout, /hyperty-runtime:\/\/localhost\/\w+\/client\/\d+/, `${language}: ${ran.stderr}`);
  }
});
