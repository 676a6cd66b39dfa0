import { spawn } from 'node:child_process';
import { chmodSync, chownSync, lchownSync, lstatSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { BIN, ended, withHome, type Ran } from '../support/cli.js';

/** What lies on disk is closed to other users, whatever the umask. */
const home = withHome(t);
const others = (path: string): string[] => {
  const found = lstatSync(path);
  const open = (found.mode & 0o077) === 0 ? [] : [`${path} ${(found.mode & 0o777).toString(8)}`];
  return found.isDirectory() ? [...open, ...readdirSync(path).flatMap((name) => others(join(path, name)))] : open;
};

/** Runs a command under umask 000. */
const loosely = (profile: string, ...args: readonly string[]): Promise<Ran> =>
  ended(spawn('sh', ['-c', 'umask 000; exec "$0" "$@"', process.execPath, BIN, ...args], { env: { PATH: process.env['PATH'], PROTOFLY_HOME: home.path, PROTOFLY_PROFILE: profile } }));

let url = '';
t.test('folders have mode 0700 and files 0600 under umask 000', async (t) => {
  const domain = await loosely('bob', 'domain', 'start', '--listen', '127.0.0.1:0', '--detach', '--json');
  url = (JSON.parse(domain.stdout) as { url: string }).url;
  t.equal((await loosely('bob', 'runtime', 'start', '--domain', url, '--user', 'bob', '--wait', '60s')).code, 0);
  t.equal((await loosely('eve', 'config', 'set', 'user', 'eve')).code, 0);
  t.same(readdirSync(home.path).flatMap((name) => others(join(home.path, name))), []);
});

t.test('what is too open already is closed at the next start', async (t) => {
  t.equal((await home.pfly(['runtime', 'stop'], { profile: 'bob' })).code, 0);
  const profile = join(home.path, 'profiles', 'bob');
  for (const path of [profile, join(profile, 'state')]) chmodSync(path, 0o777);
  for (const path of ['settings.json', 'runtime.log', 'state/data.mdb', 'state/lock.mdb']) chmodSync(join(profile, path), 0o666);
  const users = join(home.path, 'users');
  for (const path of [users, join(users, 'localhost')]) chmodSync(path, 0o777);
  chmodSync(join(users, 'localhost', 'bob.json'), 0o666);
  await home.runtime('bob', url);
  t.same([...others(profile), ...others(users)], []);
});

t.test('what belongs to another user is refused', { skip: process.getuid?.() === 0 ? false : 'only root can give files away' }, async (t) => {
  const [profile, elsewhere] = [join(home.path, 'profiles', 'mallory'), join(home.path, 'elsewhere')];
  mkdirSync(profile);
  mkdirSync(elsewhere);
  const start = () => home.pfly(['runtime', 'start', '--domain', url, '--user', 'mallory'], { profile: 'mallory' });
  symlinkSync(elsewhere, join(profile, 'state'));
  lchownSync(join(profile, 'state'), 12345, 12345);
  const linked = await start();
  t.match([linked.code, linked.stderr], [6, /state belongs to another user[\s\S]*chown/], 'a symbolic link of theirs');
  chownSync(profile, 12345, 12345);
  const owned = await start();
  t.match([owned.code, owned.stderr], [6, /mallory belongs to another user/], 'a folder of theirs');
});
