import { once } from 'node:events';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import t from 'tap';
import { tokenOf } from '../support/acceptance.js';
import { ended, eventually, withHome } from '../support/cli.js';

/** `msg send` and `msg tail` as two ends of a pipe, between two runtimes. */
const home = withHome(t);
const alice = { profile: 'alice' };
const bob = { profile: 'bob' };

interface Hyperty {
  readonly name: string;
  readonly attached: number;
  readonly inbox: { readonly messages: number };
}

const hyperty = async (name: string): Promise<Hyperty> => {
  const { stdout } = await home.pfly(['hyperty', 'list', '--json'], bob);
  return (JSON.parse(stdout) as Hyperty[]).find((found) => found.name === name)!;
};

const tail = (name: string, count: number, ...flags: readonly string[]) => home.pfly(['msg', 'tail', name, '--count', String(count), '--timeout', '60s', ...flags], bob);

let url: string;

t.before(async () => {
  url = await home.domain();
  await Promise.all([home.runtime('alice', url), home.runtime('bob', url)]);
});

const registered = async (name: string): Promise<string> => {
  const { code, stdout, stderr } = await home.pfly(['hyperty', 'register', name], bob);
  if (code !== 0) throw new Error(stderr);
  return stdout.trim();
};

t.test('twenty thousand lines: none lost, none twice, all in order', async (t) => {
  await registered('many');
  const lines = Array.from({ length: 20_000 }, (_, index) => String(index)).join('\n');
  const reading = ended(home.start(['msg', 'tail', 'many', '--raw', '--count', '20000', '--timeout', '100s'], bob));
  const sent = await home.pfly(['msg', 'send', 'bob/many', '-'], { ...alice, input: `${lines}\n` });
  t.equal(sent.code, 0, sent.stderr);
  const { code, stdout } = await reading;
  t.equal(code, 0);
  t.ok(stdout === `${lines}\n`, 'what came out is what went in');
});

t.test('--count takes exactly so many; the rest wait in the inbox, in order', async (t) => {
  await registered('some');
  t.equal((await home.pfly(['msg', 'send', 'bob/some'], { ...alice, input: '1\n2\n3\n4\n5' })).code, 0, 'a last line without its end counts');
  t.equal((await tail('some', 2, '--raw')).stdout, '1\n2\n');
  await eventually(async () => (await hyperty('some')).inbox.messages === 3);
  t.equal((await tail('some', 3, '--raw')).stdout, '3\n4\n5\n');
});

t.test('a reader of stdout that leaves ends tail quietly with 0; what it didn\'t get is still there', async (t) => {
  await registered('pipe');
  const child = home.start(['msg', 'tail', 'pipe', '--raw'], bob);
  const over = once(child, 'close');
  await eventually(async () => (await hyperty('pipe')).attached === 1);
  child.stdout!.once('data', () => { child.stdout!.destroy(); });
  await home.pfly(['msg', 'send', 'bob/pipe', 'first'], alice);
  await home.pfly(['msg', 'send', 'bob/pipe', 'second'], alice);
  t.same((await over)[0], 0);
  t.equal((await tail('pipe', 1, '--raw')).stdout, 'second\n');
});

t.test('the ways in which stdin is cut', async (t) => {
  const address = await registered('cut');
  const send = async (input: string | Buffer, ...flags: readonly string[]) => {
    const { code, stderr } = await home.pfly(['msg', 'send', address, '-', ...flags], { ...alice, input });
    t.equal(code, 0, stderr);
  };
  await send('a\nb\0c\n\0', '--split', 'nul');
  await send('{"a": [1, "}"]}2\n"x y" [3]', '--split', 'json');
  await send('one\ntwo\n', '--split', 'eof');
  await send('{"n":1}\nnull\n', '--json-body');
  await send('é\r\n\n');
  const { stdout } = await tail('cut', 11, '--json');
  const values = stdout.trim().split('\n').map((line) => (JSON.parse(line) as { body: { value: unknown } }).body.value);
  t.same(values, ['a\nb', 'c\n', { a: [1, '}'] }, 2, 'x y', [3], 'one\ntwo\n', { n: 1 }, null, 'é\r', '']);
});

t.test('what isn\'t text is refused with words, before anything of it is sent', async (t) => {
  const { code, stderr } = await home.pfly(['msg', 'send', 'bob/cut', '-'], { ...alice, input: Buffer.from([0x66, 0xff, 0x0a]) });
  t.equal(code, 2);
  t.match(stderr, /UTF-8.*\n.*base64/);
  t.equal((await hyperty('cut')).inbox.messages, 0);
});

t.test('--receipt prints a line per message; without the short cut the same happens', async (t) => {
  await registered('receipts');
  for (const development of [false, true]) {
    const { code, stdout, stderr } = await home.pfly(['msg', 'send', 'bob/receipts', '--receipt', '--no-p2p'], { ...alice, input: 'a\nb\n', development });
    t.equal(code, 0, stderr);
    const receipts = stdout.trim().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
    t.same(receipts.map(({ state, via }) => [state, via]), [['delivered', 'msg-node'], ['delivered', 'msg-node']]);
    t.ok(receipts.every(({ id, rtt_ms: rtt }) => typeof id === 'string' && typeof rtt === 'number' && rtt > 0));
  }
  t.equal((await tail('receipts', 4, '--raw')).stdout, 'a\nb\na\nb\n');
});

t.test('both ends say the same of the way that a message took', async (t) => {
  await registered('ways');
  const via: unknown[] = [];
  const send = async (...flags: readonly string[]): Promise<void> => {
    const { stdout, stderr } = await home.pfly(['msg', 'send', 'bob/ways', 'x', '--receipt', ...flags], alice);
    t.match(stderr, '');
    const { via: path, generation } = JSON.parse(stdout) as Record<string, unknown>;
    via.push([path, generation]);
  };
  const reading = tail('ways', 3, '--json');
  await eventually(async () => (await hyperty('ways')).attached === 1);
  await send('--no-p2p');
  await send('--require-direct');
  await send('--no-p2p');
  const messages = (await reading).stdout.trim().split('\n').map((line) => JSON.parse(line) as { readonly body: Record<string, unknown> });
  t.same(messages.map(({ body: { path, generation } }) => [path, generation]), via);
  t.match(via, [['msg-node', undefined], ['p2p', Number], ['msg-node', undefined]]);
  t.ok(messages.every(({ body }) => !('flow' in body)), 'what was between the runtimes is theirs');
});

t.test('docs/control.md: a program learns its window, and gets a receipt for each message, or for many where it says so', async (t) => {
  await registered('raw');
  t.equal((await home.pfly(['config', 'set', 'window', '32KiB'], { profile: 'carol' })).code, 2, 'too small to be of use');
  t.equal((await home.pfly(['config', 'set', 'window', '256KiB'], { profile: 'carol' })).code, 0);
  await home.runtime('carol', url);
  const { socket } = JSON.parse((await home.pfly(['runtime', 'status', '--json'], { profile: 'carol' })).stdout) as { socket: string };
  const { stdout: to } = await home.pfly(['hyperty', 'show', 'bob/raw', '--json'], bob);
  const reading = tail('raw', 200, '--raw');
  await eventually(async () => (await hyperty('raw')).attached === 1);
  for (const value of [undefined, { receipts: 'many' }]) {
    const program = connect(socket);
    const token = tokenOf(socket);
    const lines = createInterface({ input: program })[Symbol.asyncIterator]();
    const next = async () => JSON.parse((await lines.next()).value as string) as { readonly id: string; readonly body: { readonly code: number; readonly receiptOf?: readonly string[]; readonly value: { readonly address: string; readonly window: number } } };
    program.write(`${JSON.stringify({ id: 'open', type: 'open', from: 'mn:/client', to: 'mn:/session', body: { value: { ...value, token } } })}\n`);
    const { address: from, window } = (await next()).body.value;
    t.equal(window, 256 * 1024);
    const ids = Array.from({ length: 100 }, (_, index) => `m${String(index)}`);
    program.write(ids.map((id) => `${JSON.stringify({ id, type: 'create', from, to: (JSON.parse(to) as { url: string }).url, body: { value: id, expect: 'receipt' } })}\n`).join(''));
    const heard: string[] = [];
    let receipts = 0;
    while (heard.length < 100) {
      const { id, body } = await next();
      t.equal(body.code, 200);
      heard.push(...body.receiptOf ?? [id]);
      receipts += 1;
    }
    t.same(heard, ids);
    if (value === undefined) t.equal(receipts, 100);
    else t.ok(receipts < 100, `${String(receipts)} receipts for 100 messages`);
    program.destroy();
  }
  t.equal((await reading).code, 0);
});

t.test('Ctrl-C: an endless tail ends with 0, a wait for a count with 130', async (t) => {
  await registered('stop');
  for (const [flags, expected] of [[[], 0], [['--count', '1'], 130]] as const) {
    const child = home.start(['msg', 'tail', 'stop', ...flags], bob);
    const over = once(child, 'close');
    await eventually(async () => (await hyperty('stop')).attached === 1);
    child.kill('SIGINT');
    t.same((await over)[0], expected);
    await eventually(async () => (await hyperty('stop')).attached === 0);
  }
});

t.test('a runtime that is killed in the middle of a stream: the sender says what it knows', async (t) => {
  await registered('killed');
  const child = home.start(['msg', 'send', 'bob/killed', '-', '--receipt'], { ...alice, input: Array.from({ length: 5000 }, (_, index) => String(index)).join('\n') });
  const result = ended(child);
  await once(child.stdout!, 'data');
  const { stdout } = await home.pfly(['runtime', 'status', '--json'], alice);
  process.kill((JSON.parse(stdout) as { pid: number }).pid, 'SIGKILL');
  const { code, stderr } = await result;
  t.equal(code, 8);
  t.match(stderr, /\d+ messages? delivered.*unknown/);
  t.equal((await home.pfly(['runtime', 'status'], alice)).code, 9, 'its socket is stale');
  t.equal((await home.pfly(['runtime', 'start', '--wait', '60s'], alice)).code, 0, 'and is repaired by the next start');
});
