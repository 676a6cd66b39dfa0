import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { EXIT_OF } from '../../src/cli/exit-codes.js';
import { isErrorCode } from '../../src/protocol/index.js';
import { withHome, type Ran, type RunInit } from '../support/cli.js';

interface Reported {
  readonly error: { readonly code: string; readonly exit: number; readonly message: string; readonly hint?: string };
}

const home = withHome(t);

/** Runs a command with --json (and `other`) and without. Both must fail alike: with a document on stdout, and text on stderr. */
const fails = async (t: Test, args: readonly string[], exit: number, code: string, init?: RunInit, other?: RunInit): Promise<void> => {
  const [plain, json] = await Promise.all([home.pfly(args, init), home.pfly([...args, '--json'], { ...init, ...other })]);
  t.equal(plain.code, exit, `protofly ${args.join(' ')} ends with ${String(exit)}: ${plain.stderr}`);
  t.equal(plain.stdout, '', 'nothing on stdout');
  t.match(plain.stderr, /^protofly: \S.*\n( {2}\S.*\n)?$/, 'one or two lines on stderr');
  t.equal(json.code, exit, `and with --json: ${json.stdout}`);
  const { error } = JSON.parse(json.stdout) as Reported;
  t.equal(error.code, code);
  t.equal(error.exit, exit, 'the document names the exit code');
  t.ok(error.message.length > 0);
};

const succeeds = (t: Test, { code, stderr }: Ran): void => { t.equal(code, 0, stderr); };

t.test('every error code has an exit code between 1 and 10, or 130 for an interruption', (t) => {
  for (const [code, exit] of Object.entries(EXIT_OF)) {
    t.ok(isErrorCode(code));
    t.ok((exit >= 1 && exit <= 10) || (code === 'E_ABORTED' && exit === 130), `${code}: ${String(exit)}`);
  }
  t.end();
});

t.test('0: done', async (t) => {
  const { code, stdout, stderr } = await home.pfly(['config', 'path']);
  t.equal(code, 0);
  t.equal(stdout, `${join(home.path, 'profiles', 'default', 'settings.json')}\n`);
  t.equal(stderr, '');
});

t.test('1: the machine doesn\'t let us; the stack only with --verbose', async (t) => {
  const env = { PROTOFLY_HOME: '/dev/null/nowhere' };
  const plain = await home.pfly(['config', 'set', 'user', 'alice'], { env });
  t.equal(plain.code, 1);
  t.notMatch(plain.stderr, /^ {4}at /m);
  t.match((await home.pfly(['config', 'set', 'user', 'alice', '--verbose'], { env })).stderr, /^ {4}at /m);
});

t.test('2: wrong usage', async (t) => {
  await fails(t, ['nonsense'], 2, 'E_USAGE');
  await fails(t, ['msg', 'nonsense'], 2, 'E_USAGE');
  await fails(t, ['msg', 'tail', '--nonsense'], 2, 'E_USAGE');
  await fails(t, ['msg', 'send'], 2, 'E_USAGE');
  await fails(t, ['runtime', 'wait', '--timeout', 'soon'], 2, 'E_USAGE');
  await fails(t, ['msg', 'send', 'bob', 'hi', '--split', 'word'], 2, 'E_USAGE');
  await fails(t, ['msg', 'send', 'bob', 'hi', '--timeout', 'soon'], 2, 'E_USAGE');
  await fails(t, ['runtime', 'status', '--profile', '../escape'], 2, 'E_USAGE');
  await fails(t, ['config', 'get', 'nonsense'], 2, 'E_USAGE');
  await fails(t, ['--profile', 'alice'], 2, 'E_USAGE');
  await fails(t, ['config', 'get'], 2, 'E_USAGE', { input: 'user\n' });
  t.match((await home.pfly(['msg', 'sned'])).stderr, /did you mean: protofly msg send/, 'a near command is suggested');
});

t.test('3: no such profile, address, domain', async (t) => {
  await fails(t, ['runtime', 'status'], 3, 'E_NOT_FOUND', { profile: 'nobody' });
  await fails(t, ['msg', 'send', 'bob', 'hi'], 3, 'E_NOT_FOUND', { profile: 'nobody' });
  await fails(t, ['config', 'list'], 3, 'E_NOT_FOUND', { profile: 'nobody' });
  await fails(t, ['domain', 'remove', 'example.com'], 3, 'E_NOT_FOUND');
});

t.test('4: not reachable now, and nothing is left running', async (t) => {
  const port = await new Promise<number>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => { resolve(port); });
    });
  });
  await fails(t, ['runtime', 'start', '--domain', `127.0.0.1:${String(port)}`, '--user', 'eve', '--wait', '3s'], 4, 'E_UNREACHABLE', { profile: 'eve' }, { profile: 'adam' });
  t.equal((await home.pfly(['runtime', 'status'], { profile: 'eve' })).code, 9);
  await fails(t, ['catalogue', 'list', '--domain', `127.0.0.1:${String(port)}`], 4, 'E_UNREACHABLE');
});

t.test('6: refused: a folder for sockets that others can enter', async (t) => {
  const temporary = join(home.path, 'tmp');
  mkdirSync(join(temporary, `protofly-${String(process.getuid?.() ?? 0)}`), { recursive: true, mode: 0o777 });
  chmodSync(join(temporary, `protofly-${String(process.getuid?.() ?? 0)}`), 0o777);
  await fails(t, ['runtime', 'status'], 6, 'E_REFUSED', { env: { PROTOFLY_HOME: join(home.path, 'long'.repeat(25)), TMPDIR: temporary } });
});

t.test('9: the runtime is not running', async (t) => {
  for (const args of [['runtime', 'status'], ['runtime', 'stop'], ['hyperty', 'list'], ['msg', 'send', 'bob', 'hi'], ['msg', 'tail'], ['p2p', 'list'], ['registry', 'resolve', 'bob'], ['domain', 'status']]) {
    await fails(t, args, 9, 'E_NOT_RUNNING');
  }
});

t.test('with a domain and two runtimes', async (t) => {
  const url = await home.domain();
  await Promise.all([home.runtime('alice', url), home.runtime('bob', url, '--no-p2p')]);
  const alice = { profile: 'alice' };
  succeeds(t, await home.pfly(['hyperty', 'register', 'in'], { profile: 'bob' }));

  await t.test('0: what was sent is in the inbox, and comes out as it was', async (t) => {
    succeeds(t, await home.pfly(['msg', 'send', 'bob/in', 'hello', 'world'], alice));
    const { code, stdout } = await home.pfly(['msg', 'tail', 'in', '--raw', '--count', '1', '--timeout', '30s'], { profile: 'bob' });
    t.same([code, stdout], [0, 'hello world\n']);
  });
  await t.test('2: several addresses can be meant', async (t) => {
    succeeds(t, await home.pfly(['hyperty', 'register', 'other'], { profile: 'bob' }));
    await fails(t, ['msg', 'send', 'bob', 'hi'], 2, 'E_AMBIGUOUS', alice);
    succeeds(t, await home.pfly(['hyperty', 'unregister', 'other'], { profile: 'bob' }));
  });
  await t.test('3: nobody has that address', async (t) => {
    await fails(t, ['msg', 'send', 'bob/nothing', 'hi'], 3, 'E_NOT_FOUND', alice);
    await fails(t, ['msg', 'send', 'hyperty://localhost/nothing', 'hi'], 3, 'E_NOT_FOUND', alice);
    t.match((await home.pfly(['msg', 'send', 'hyperty://localhost/nothing', 'hi'], alice)).stderr, /hyperty discover/, 'and how to find out who is there');
    await fails(t, ['msg', 'send', 'bob/in', 'hi', '--from', 'nothing'], 3, 'E_NOT_FOUND', alice);
    await fails(t, ['msg', 'tail', 'nothing'], 3, 'E_NOT_FOUND', alice);
    await fails(t, ['p2p', 'status', 'bob'], 3, 'E_NOT_FOUND', alice);
  });
  await t.test('4: known, but no program is attached', (t) => fails(t, ['msg', 'request', 'bob/in', 'hi'], 4, 'E_UNAVAILABLE', alice));
  await t.test('4: a domain that nobody knows, and what to do about it', async (t) => {
    await fails(t, ['msg', 'send', 'hyperty://nowhere.invalid/x', 'hi'], 4, 'E_UNREACHABLE', alice);
    t.match((await home.pfly(['msg', 'send', 'hyperty://nowhere.invalid/x', 'hi'], alice)).stderr, /domain add nowhere\.invalid URL/);
  });
  await t.test('5: time is up', (t) => fails(t, ['msg', 'tail', 'in', '--timeout', '200ms'], 5, 'E_TIMEOUT', { profile: 'bob' }));
  await t.test('5: time is up, and how much has come by then', async (t) => {
    const { code, stderr } = await home.pfly(['msg', 'tail', 'in', '--count', '3', '--timeout', '200ms'], { profile: 'bob' });
    t.equal(code, 5);
    t.match(stderr, /0 of 3 messages came in 200 ms/);
    t.equal((await home.pfly(['runtime', 'status', '--watch', '--timeout', '100ms'], alice)).code, 5);
  });
  await t.test('5: what became of a message is unknown, and that is said', async (t) => {
    const { pid } = JSON.parse((await home.pfly(['runtime', 'status', '--json'], { profile: 'bob' })).stdout) as { pid: number };
    process.kill(pid, 'SIGSTOP');
    try {
      const { code, stdout } = await home.pfly(['msg', 'send', 'bob/in', 'hi', '--receipt', '--json', '--timeout', '1s'], alice);
      t.equal(code, 5);
      t.match(stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as object), [{ state: 'unknown', reason: 'no receipt for 1000 ms' }, { error: { code: 'E_TIMEOUT', uncertain: true } }]);
      t.match(JSON.parse((await home.pfly(['msg', 'request', 'bob/in', 'hi?', '--json', '--timeout', '1s'], alice)).stdout), { error: { code: 'E_TIMEOUT', uncertain: true } });
      t.match((await home.pfly(['msg', 'send', 'bob/in', 'hi', '--timeout', '1s'], alice)).stderr, /^protofly: no receipt for 1000 ms; it may have arrived all the same\n/);
    } finally {
      process.kill(pid, 'SIGCONT');
    }
  });
  await t.test('7: not direct', (t) => fails(t, ['msg', 'send', 'bob/in', 'hi', '--require-direct', '--timeout', '5s'], 7, 'E_NOT_DIRECT', alice));
  await t.test('8: partly done, and stderr says how much', async (t) => {
    const { code, stderr } = await home.pfly(['msg', 'send', 'bob/in', '-', '--split', 'json'], { ...alice, input: '1 {"two":2}\n{nonsense}' });
    t.equal(code, 8);
    t.match(stderr, /2 messages delivered/);
  });
  await t.test('10: already running, already registered', async (t) => {
    await fails(t, ['runtime', 'start'], 10, 'E_CONFLICT', alice);
    await fails(t, ['hyperty', 'register', 'in'], 10, 'E_CONFLICT', { profile: 'bob' });
    await fails(t, ['domain', 'start', '--listen', '127.0.0.1:0', '--detach'], 10, 'E_CONFLICT');
  });
  await t.test('a stopped runtime starts again without being told its domain and user', async (t) => {
    succeeds(t, await home.pfly(['runtime', 'stop'], alice));
    t.equal((await home.pfly(['runtime', 'status'], alice)).code, 9);
    const { code, stdout } = await home.pfly(['runtime', 'start', '--wait', '60s', '--json'], alice);
    t.equal(code, 0);
    t.equal((JSON.parse(stdout) as { user: string }).user, 'user://localhost/alice');
  });
});

t.test('a broken settings file is named, not overwritten', async (t) => {
  mkdirSync(join(home.path, 'profiles', 'broken'), { recursive: true });
  writeFileSync(join(home.path, 'profiles', 'broken', 'settings.json'), '{nonsense');
  await fails(t, ['config', 'list'], 2, 'E_USAGE', { profile: 'broken' });
});
