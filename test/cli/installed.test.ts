import { cpSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { withHome } from '../support/cli.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

interface Stub {
  readonly kind: string;
  readonly from: string;
  readonly status: string;
}

t.test('an installed copy without its built-in stubs: everything comes from the catalogue', async (t) => {
  const copy = mkdtempSync(join(tmpdir(), 'pf-'));
  t.teardown(() => { rmSync(copy, { recursive: true, force: true }); });
  for (const part of ['bin', 'dist', 'package.json', 'oclif.manifest.json']) cpSync(join(ROOT, part), join(copy, part), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'), 'dir');
  const home = withHome(t, join(copy, 'bin/run.js'));
  const must = async (profile: string, ...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await home.pfly(args, { profile });
    t.equal(code, 0, `${args.join(' ')}: ${stderr}`);
    return stdout;
  };

  // A domain's first start publishes the packages of the installation.
  await home.domain();
  t.equal((await home.pfly(['domain', 'stop'])).code, 0);
  rmSync(join(copy, 'dist/protostubs'), { recursive: true });
  const url = await home.domain();

  await Promise.all(['alice', 'bob'].map((user) => home.runtime(user, url)));
  await must('bob', 'hyperty', 'register', 'in');
  t.match(JSON.parse(await must('alice', 'msg', 'send', 'bob/in', 'by the message node', '--receipt')), { state: 'delivered', via: 'msg-node' });
  await must('alice', 'p2p', 'connect', 'bob/in', '--timeout', '30s');
  t.match(JSON.parse(await must('alice', 'msg', 'send', 'bob/in', 'directly', '--receipt')), { state: 'delivered', via: 'p2p' });
  const { protostubs } = JSON.parse(await must('alice', 'registry', 'list', '--json')) as { readonly protostubs: readonly Stub[] };
  t.same(protostubs.map(({ kind }) => kind).sort(), ['msg-node', 'p2p-handler', 'p2p-requester']);
  t.ok(protostubs.every(({ from, status }) => from === 'catalogue' && status === 'live'));

  // Cached packages work without the catalogue.
  await must('alice', 'runtime', 'stop');
  await home.runtime('alice', url);
  const again = JSON.parse(await must('alice', 'registry', 'list', '--json')) as { readonly protostubs: readonly Stub[] };
  t.ok(again.protostubs.length >= 2 && again.protostubs.every(({ from }) => from === 'cache'));
});
