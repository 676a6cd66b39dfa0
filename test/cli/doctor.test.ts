import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { withHome } from '../support/cli.js';
import { startCoturn, withoutCoturn } from '../support/coturn.js';

interface Examination {
  readonly ok: boolean;
  readonly checks: readonly { readonly check: string; readonly verdict: string; readonly detail: string; readonly next?: string }[];
}

const verdicts = (stdout: string): Record<string, string> => Object.fromEntries((JSON.parse(stdout) as Examination).checks.map(({ check, verdict }) => [check, verdict]));

t.test('servers that can\'t work are refused before anything starts, and so are secrets on a command line', async (t) => {
  const home = withHome(t);
  const start = ['domain', 'start', '--listen', '127.0.0.1:0', '--detach'];
  const secret = join(home.path, 'secret');
  writeFileSync(secret, 'hush\n');
  const cases: readonly (readonly string[])[] = [
    ['--ice-server', 'turns:127.0.0.1'], ['--ice-server', 'turn:127.0.0.1?transport=tcp'], ['--ice-server', 'nonsense'], ['--ice-server', 'turn:user:hush@127.0.0.1', '--turn-secret-file', secret],
    ['--ice-server', 'turn:127.0.0.1'], ['--turn-secret-file', secret], ['--ice-server', 'turn:127.0.0.1', '--turn-secret-file', join(home.path, 'nowhere')],
  ];
  for (const flags of cases) {
    const { code, stderr } = await home.pfly([...start, ...flags]);
    t.equal(code, 2, `${flags.join(' ')}: ${stderr}`);
    t.notMatch(stderr, 'hush');
  }
  t.equal((await home.pfly(['config', 'set', 'iceServers', 'stuns:a'])).code, 2);
  t.equal((await home.pfly(['config', 'set', 'ice', 'never'])).code, 2);
  t.equal((await home.pfly(['config', 'set', 'iceServers', 'turn:127.0.0.1'])).code, 0);
  t.match(await home.pfly(['runtime', 'start']), { code: 2, stderr: /no credentials/ }, 'a TURN server of one\'s own needs its credentials');
});

t.test('doctor: without a domain it says so and ends with 1, with one it ends with 0', async (t) => {
  const home = withHome(t);
  await home.pfly(['config', 'set', 'domain', '127.0.0.1:1']);
  const before = await home.pfly(['doctor', '--json']);
  t.equal(before.code, 1, before.stderr);
  t.match(verdicts(before.stdout), { node: 'ok', webrtc: 'ok', folders: 'ok', store: 'ok', runtime: 'warn', domain: 'fail', 'message node': 'skip', turn: 'skip' });
  t.ok((JSON.parse(before.stdout) as Examination).checks.every(({ verdict, next }) => verdict !== 'fail' || next !== undefined), 'what failed has a next step');
  const url = await home.domain();
  await home.runtime('default', url);
  const after = await home.pfly(['doctor', '--json']);
  t.equal(after.code, 0, after.stdout);
  t.match(verdicts(after.stdout), { runtime: 'ok', domain: 'ok', clock: 'ok', 'message node': 'ok' });
  t.match((await home.pfly(['doctor'])).stdout, /^CHECK +VERDICT +WHAT IS THERE\nnode +ok +\d/);
  t.match(await home.pfly(['doctor'], { profile: 'mistyped' }), { code: 3 });
});

t.test('p2p doctor: direct, then over a relay alone; the secret is in no log and on no command line', { skip: withoutCoturn() }, async (t) => {
  const home = withHome(t);
  const { stun, turn, secret } = await startCoturn(t, 'very-much-hush');
  const started = await home.pfly(['domain', 'start', '--listen', '127.0.0.1:0', '--detach', '--wait', '60s', '--json', '--ice-server', stun, '--ice-server', turn], { env: { PROTOFLY_TURN_SECRET: secret } });
  t.equal(started.code, 0, started.stderr);
  const { url } = JSON.parse(started.stdout) as { url: string };
  for (const profile of ['alice', 'bob']) t.equal((await home.pfly(['config', 'set', 'ice', profile === 'bob' ? 'relay' : 'all'], { profile })).code, 0);
  await Promise.all([home.runtime('alice', url), home.runtime('bob', url)]);
  const alice = { profile: 'alice' };
  t.equal((await home.pfly(['hyperty', 'register', 'in'], { profile: 'bob' })).code, 0);
  const looked = await home.pfly(['p2p', 'doctor', 'bob/in', '--no-connect', '--json'], alice);
  t.match([looked.code, JSON.parse(looked.stdout)], [0, { verdict: 'DIRECT_LIKELY', here: { turn: 'yes' }, peer: { turn: 'yes' } }], looked.stderr);
  const tried = await home.pfly(['p2p', 'doctor', 'bob/in', '--json'], alice);
  t.match([tried.code, JSON.parse(tried.stdout)], [0, { verdict: 'RELAY_OK', pair: {} }], 'one side that wants relays alone is enough');
  t.match((await home.pfly(['p2p', 'doctor', 'bob/in'], alice)).stdout, /^verdict +RELAY_OK: /);
  const all = await Promise.all([home.pfly(['domain', 'status', '--json']), home.pfly(['runtime', 'status', '--json'], alice), home.pfly(['runtime', 'logs'], alice)]);
  t.notMatch(all.map(({ stdout }) => stdout).join(''), secret);
  t.equal((await home.pfly(['runtime', 'stop'], { profile: 'bob' })).code, 0);
  const away = await home.pfly(['p2p', 'doctor', 'bob/in', '--json'], alice);
  t.match([away.code, JSON.parse(away.stdout)], [4, { verdict: 'PEER_OFFLINE', next: String }]);
  t.equal((await home.pfly(['domain', 'stop'])).code, 0);
  const gone = await home.pfly(['p2p', 'doctor', 'bob/in', '--json'], alice);
  t.match([gone.code, JSON.parse(gone.stdout)], [4, { verdict: 'DOMAIN_UNREACHABLE', next: String }]);
  t.equal((await home.pfly(['p2p', 'doctor', 'bob/in'], { profile: 'bob' })).code, 9);
});
