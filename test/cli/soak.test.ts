import '../support/bare-children.js';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

/** A short run of the soak test under faults; long runs are started by hand. */
const SCRIPT = fileURLToPath(new URL('../../scripts/soak.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pf-'));
t.teardown(() => { rmSync(folder, { recursive: true, force: true }); });

interface Figures {
  readonly faults: Readonly<Record<string, number>>;
  readonly traffic: Readonly<Record<'sent' | 'acknowledged' | 'arrived' | 'lost' | 'repeated' | 'reordered' | 'refusedAndArrived' | 'unanswered', number>> & {
    readonly paths: Readonly<Partial<Record<string, number>>>;
  };
  readonly grown: readonly string[];
  readonly passed: boolean;
}

const soak = (...args: readonly string[]): Promise<{ error: Error | null; stdout: string; stderr: string }> =>
  new Promise((resolve) => {
    const env = { PATH: process.env['PATH'] ?? '', TMPDIR: folder };
    execFile(process.execPath, [SCRIPT, ...args], { env, timeout: 100_000 }, (error, stdout, stderr) => { resolve({ error, stdout, stderr }); });
  });

t.test('something breaks each second: what was acknowledged came once and in order, and no runtime has grown', async (t) => {
  const { error, stdout, stderr } = await soak('--faults', '--minutes', '0.3', '--pairs', '6', '--runtimes', '3', '--seed', '26', '--quiet', '4', '--json');
  t.equal(error, null, stderr + stdout);
  const { faults, traffic, grown, passed } = JSON.parse(stdout) as Figures;
  t.ok(passed);
  const { lost, repeated, reordered, refusedAndArrived, unanswered, paths } = traffic;
  t.same({ lost, repeated, reordered, refusedAndArrived, unanswered }, { lost: 0, repeated: 0, reordered: 0, refusedAndArrived: 0, unanswered: 0 });
  t.same(grown, []);
  t.ok(traffic.acknowledged > 200 && traffic.arrived >= traffic.acknowledged, `${String(traffic.acknowledged)} of ${String(traffic.sent)} were acknowledged`);
  t.ok((paths['p2p'] ?? 0) > 0 && (paths['msg-node'] ?? 0) > 0, 'some directly, some through the message node');
  for (const kind of ['kill sandbox', 'disconnect', 'stop sandbox', 'kill domain', 'kill runtime']) t.ok((faults[kind] ?? 0) > 0, kind);
  t.same(readdirSync(folder).filter((name) => name.startsWith('pf-soak-')), [], 'nothing is left behind');
});
