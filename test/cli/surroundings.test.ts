import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import '../support/bare-children.js';
import { BIN, ended, type Ran } from '../support/cli.js';

/** Unusual machines: a full disk, closed output, no home, text that isn't UTF-8. */

const onLinux = { skip: process.platform !== 'linux' && 'there is no /proc and no /dev/full' };

const folder = (t: Test): string => {
  const path = mkdtempSync(join(tmpdir(), 'pf-'));
  t.teardown(() => { rmSync(path, { recursive: true, force: true }); });
  return path;
};

interface ShellInit {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

/** Runs a shell script in which `pfly` is the program. */
const shell = (script: string, { env = {}, cwd }: ShellInit = {}): Promise<Ran> =>
  ended(spawn('sh', ['-c', `pfly() { "$NODE" "$BIN" "$@"; }; ${script}`], {
    env: { PATH: process.env['PATH'] ?? '', NODE: process.execPath, BIN, ...env }, stdio: ['ignore', 'pipe', 'pipe'], ...(cwd === undefined ? {} : { cwd }),
  }));

/** One or two lines, without a stack and without blaming a bug. */
const ORDERLY = /^protofly: \S.*\n( {2}\S.*\n)?$/;

t.test('a stdout that can\'t be written is told of in words, and ends a command with 1', onLinux, async (t) => {
  const env = { PROTOFLY_HOME: folder(t) };
  for (const args of ['config path', 'config path --json', '--help', '--version', 'msg send --help']) {
    const { code, stderr } = await shell(`pfly ${args} > /dev/full`, { env });
    t.equal(code, 1, args);
    t.match(stderr, ORDERLY, args);
    t.match(stderr, /stdout can't be written: ENOSPC/, args);
  }
  const { code, stderr } = await shell('pfly config get nonsense --json > /dev/full', { env });
  t.equal(code, 2, 'what failed before it decides');
  t.match(stderr, /stdout/);
  t.equal((await shell('pfly --help | head -1 > /dev/null; pfly config path | true', { env })).stderr, '', 'a reader that has gone is no error');
  t.match((await shell('pfly config path --verbose > /dev/full', { env })).stderr, /^ {4}at /m);
});

t.test('folders that can\'t be written are told of, and are no bug; what only reads needs none', onLinux, async (t) => {
  // Nobody can create a folder in /sys, not even root.
  const env = { PROTOFLY_HOME: '/sys/protofly' };
  for (const args of ['config set user eve', 'domain add a.example http://a.example', 'runtime start --domain http://127.0.0.1:9', 'domain start --listen 127.0.0.1:0', 'domain start --listen 127.0.0.1:0 --detach']) {
    const { code, stderr } = await shell(`pfly ${args}`, { env });
    t.equal(code, 1, args);
    t.match(stderr, ORDERLY, args);
    t.match(stderr, /\/sys\/protofly/, args);
    t.notMatch(stderr, /bug/, args);
  }
  for (const args of ['config list', 'config path', 'domain list']) t.equal((await shell(`pfly ${args}`, { env })).code, 0, args);
  t.equal((await shell('pfly runtime status', { env })).code, 9);
  t.match(await shell('pfly doctor', { env }), { code: 1, stdout: /^(?:folders|store) +fail/m });
});

t.test('too few open files are told of, wherever they run out', onLinux, async (t) => {
  const env = { PROTOFLY_HOME: folder(t) };
  for (const count of [20, 26, 40, 60]) {
    const { code, stderr } = await shell(`ulimit -n ${String(count)}; pfly domain start --listen 127.0.0.1:0 --detach`, { env });
    t.equal(code, 1, `${String(count)}: ${stderr}`);
    t.match(stderr, ORDERLY);
    t.match(stderr, /EMFILE.*\n.*ulimit -n/);
  }
});

t.test('where things lie doesn\'t depend on the folder that a command is run in', async (t) => {
  const cwd = folder(t);
  for (const env of [{ HOME: '' }, { HOME: 'relative' }, { HOME: cwd, XDG_CONFIG_HOME: 'relative', XDG_DATA_HOME: 'relative' }]) {
    const { code, stdout, stderr } = await shell('pfly config path --json', { env, cwd });
    t.equal(code, 0, stderr);
    for (const path of Object.values(JSON.parse(stdout) as Record<string, string>)) t.match(path, /^\//, JSON.stringify(env));
  }
  t.match(await shell('pfly config path', { env: { PROTOFLY_HOME: 'relative' }, cwd }), { code: 2, stderr: /PROTOFLY_HOME is not an absolute path/ });
  t.match(await shell('PROTOFLY_HOME=$(printf "/caf\\351") pfly config path'), { code: 2, stderr: /PROTOFLY_HOME isn't UTF-8/ });
});

t.test('a user without a home or a name is told what to say', { skip: (process.getuid?.() !== 0 || spawnSync('setpriv', ['--version']).status !== 0) && 'only root can become such a user' }, async (t) => {
  const nobody = 'setpriv --reuid 54321 --clear-groups';
  const readable = spawnSync('sh', ['-c', `${nobody} cat ${fileURLToPath(import.meta.url)} ${process.execPath}`]).status === 0;
  if (!readable) { t.pass('others can\'t read this folder: left out'); return; }
  t.match(await shell(`${nobody} "$NODE" "$BIN" config path`), { code: 1, stderr: /no home folder\n.*PROTOFLY_HOME/ });
  t.match(await shell(`${nobody} "$NODE" "$BIN" runtime start`, { env: { PROTOFLY_HOME: '/nowhere' } }), { code: 2, stderr: /--user/ });
});

t.test('an argument that isn\'t UTF-8 is refused, U+FFFD is an argument like others', onLinux, async (t) => {
  const env = { PROTOFLY_HOME: folder(t) };
  for (const args of ['msg send bob "$(printf "caf\\351")"', 'msg send bob hi --from "$(printf "\\377")" --json', 'domain add "$(printf "\\351")" http://a.example']) {
    const { code, stdout, stderr } = await shell(`pfly ${args}`, { env });
    t.equal(code, 2, args);
    t.match(stdout + stderr, /argument \d+ isn't UTF-8/, args);
  }
  t.equal((await shell('pfly msg send bob "\ufffd"', { env })).code, 9, 'there is only no runtime');
});

t.test('a folder that is gone while one is in it stands in nobody\'s way, unless a path begins there', async (t) => {
  const env = { PROTOFLY_HOME: folder(t), GONE: join(folder(t), 'gone') };
  const gone = 'mkdir "$GONE"; cd "$GONE"; rmdir "$GONE"; ';
  t.match(await shell(`${gone} pfly config path`, { env }), { code: 0, stderr: '' });
  t.match(await shell(`${gone} pfly config set turnCredentials x`, { env }), { code: 1, stderr: ORDERLY });
});
