import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { withHome } from '../support/cli.js';
import { Program, withWorld, type Connection, type World } from '../support/acceptance.js';
import { until } from '../support/until.js';

/** Many set-ups, from both sides at once and one after the other. */
const home = withHome(t);
let world: World;
t.before(async () => {
  world = await withWorld(home);
  await Promise.all([world.alice.register('in'), world.bob.register('in')]);
});

/** True if each side has exactly one live connection, and it is the same. */
const isOne = (alice: readonly Connection[], bob: readonly Connection[]): boolean => {
  const [here, there] = [alice, bob].map((list) => list.filter(({ status }) => status === 'live'));
  return here!.length === 1 && there!.length === 1 && here![0]!.role !== there![0]!.role;
};

const disconnected = async (): Promise<void> => {
  const { alice, bob } = world;
  await alice.ask('registry', 'execute', { resource: '/p2p/disconnect', value: { address: 'bob/in' } });
  await until('both sides have closed', async () => (await alice.live()).length + (await bob.live()).length === 0);
};

t.test('both sides connect at the same moment, eight times: one connection each time, and both commands end well', async (t) => {
  const { alice, bob } = world;
  for (let round = 1; round <= 8; round++) {
    const both = await Promise.all([home.pfly(['p2p', 'connect', 'bob/in'], alice), home.pfly(['p2p', 'connect', 'alice/in'], bob)]);
    t.same(both.map(({ code }) => code), [0, 0], both.map(({ stderr }) => stderr).join('') || `round ${String(round)}`);
    await until('there is one connection', async () => isOne(await alice.connections(), await bob.connections()), 5000);
    await disconnected();
  }
});

t.test('the same, in the same millisecond', async (t) => {
  const { alice, bob } = world;
  const programs = await Promise.all([alice, bob].map(async (peer) => Program.open(await peer.socket())));
  const connect = (program: Program, address: string) => program.ask(`${program.runtime}/registry`, 'execute', { resource: '/p2p/connect', value: { address } });
  for (let round = 1; round <= 20; round++) {
    const answers = await Promise.all([connect(programs[0]!, 'bob/in'), connect(programs[1]!, 'alice/in')]);
    t.same(answers.map(({ code }) => code), [200, 200], answers.map(({ description }) => description).join('') || `round ${String(round)}`);
    await until('there is one connection', async () => isOne(await alice.connections(), await bob.connections()), 5000);
    await disconnected();
  }
  for (const program of programs) program.close();
  const counters = await Promise.all([alice, bob].map(async (peer) => (await peer.status()).counters['rejected']));
  t.same(counters, [0, 0], 'nothing of a set-up came by a way on which it isn\'t believed');
});

interface Figures {
  readonly cycles: number;
  readonly grown: readonly string[];
}

t.test('sixty connections opened and closed leave memory, threads and descriptors where they were', async (t) => {
  const script = fileURLToPath(new URL('../../scripts/soak.js', import.meta.url));
  const soak = (): Promise<{ error: Error | null; stdout: string; stderr: string }> => new Promise((resolve) => {
    // Leaves out the test runner's environment for children, which would reach into the sandboxes.
    execFile(process.execPath, [script, '60'], { env: { PATH: process.env['PATH'] ?? '' } }, (failure, out, err) => { resolve({ error: failure, stdout: out, stderr: err }); });
  });
  const first = await soak();
  // A sandbox that ended was replaced, so its figures can't be compared. Twice in a row is more than chance.
  const hasEnded = first.stderr.includes('the process has ended');
  if (hasEnded) t.comment(first.stderr);
  const { error, stdout, stderr } = hasEnded ? await soak() : first;
  t.equal(error, null, stderr + stdout);
  const { cycles, grown } = JSON.parse(stdout) as Figures;
  t.equal(cycles, 60);
  t.same(grown, []);
});
