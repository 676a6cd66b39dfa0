import '../support/bare-children.js';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
import { ProtoflyError } from '../../src/protocol/index.js';
import type { DeployedStub, Sandbox } from '../../src/sandbox/index.js';
import { CARRIED_TO, RUNTIME, Scene, show } from '../support/hostile-harness.js';

const server = createServer((_request, response) => { response.end('own'); });
server.listen(0, '127.0.0.1');
await once(server, 'listening');
t.teardown(() => { server.close(); });
const own = `127.0.0.1:${String((server.address() as AddressInfo).port)}`;

const quiet = await new Scene().measure(Promise.resolve());
t.comment(`quiet: ${show(quiet)}`);

interface Attack {
  readonly scene: Scene;
  readonly sandbox: Sandbox;
  readonly stub: DeployedStub;
}

/**
 * Runs one hostile stub beside another sandbox, while two clients of the same bus exchange messages. `over`
 * resolves when the attack has lasted long enough. Then the neighbour must be alive and answer.
 */
const attack = async (t: Test, file: string, over: (attack: Attack) => Promise<unknown>): Promise<Attack> => {
  const scene = new Scene();
  const [sandbox, neighbour] = await Promise.all([scene.sandbox(t, 'hostile'), scene.sandbox(t, 'neighbour')]);
  let ended: string | undefined;
  void neighbour.ended.then((reason) => { ended = reason; });
  const stub = await scene.deploy(sandbox, file, own);
  const done = over({ scene, sandbox, stub });
  t.comment(`${file}: ${show(await scene.measure(done))}`);
  await done;
  t.equal(ended, undefined, 'the other sandbox goes on');
  const other = await scene.deploy(neighbour, 'carries-without-end', own);
  const before = scene.count(CARRIED_TO);
  await scene.until(() => scene.count(CARRIED_TO) > before);
  await other.undeploy();
  return { scene, sandbox, stub };
};

/** The same for a stub that must be stopped. The log must state the reason. */
const stopped = async (t: Test, file: string, reason: RegExp): Promise<Attack> => {
  const result = await attack(t, file, ({ sandbox, stub }) => Promise.all([sandbox.ended, stub.link.closed]));
  t.match(await result.sandbox.ended, reason);
  t.match(await result.stub.link.closed, { how: 'gone', reason });
  return result;
};

await t.test('no way leads out of a stub\'s realm: to files, processes, other servers, or the code around it', async (t) => {
  const { scene } = await attack(t, 'reaches-out', ({ scene }) => scene.until(() => scene.count(RUNTIME) === 1));
  t.same(scene.heard.get(RUNTIME)?.[0]?.body?.value, []);
  t.ok(scene.logged('refused an import of node:fs') >= 1);
  t.ok(scene.logged('refused a connection to 127.0.0.1:22') >= 3);
});

for (const [file, why] of [['imports-a-module', /imports nothing, not even node:fs/], ['loops-when-loaded', /timed out/], ['never-ready', /isn't ready/]] as const) {
  await t.test(`a module that can't be had is refused, and its sandbox goes on: ${file}`, async (t) => {
    const scene = new Scene();
    const sandbox = await scene.sandbox(t, 'hostile');
    const refused = scene.deploy(sandbox, file, own).then(() => undefined, (thrown: unknown) => thrown);
    t.comment(`${file}: ${show(await scene.measure(refused))}`);
    t.match(await refused, { code: 'E_DESCRIPTOR', message: why });
    await scene.until(() => scene.logged(`/protostub/${file}: the stub's module can't be evaluated`) === 1);
    const next = await scene.deploy(sandbox, 'carries-without-end', own);
    await scene.until(() => scene.count(CARRIED_TO) > 0);
    await next.undeploy();
  });
}

await t.test('a stub that keeps its process busy is stopped, when it is activated or later', async (t) => {
  const inActivate = async (): Promise<void> => {
    const scene = new Scene();
    const sandbox = await scene.sandbox(t, 'hostile');
    const refused = scene.deploy(sandbox, 'loops-in-activate', own).then(() => undefined, (thrown: unknown) => thrown);
    t.comment(`loops-in-activate: ${show(await scene.measure(refused))}`);
    const error = await refused;
    t.ok(error instanceof ProtoflyError && error.code === 'E_UNREACHABLE');
    t.equal(await sandbox.ended, 'it gave no sign of life for 3 s');
  };
  await Promise.all([inActivate(), ...['loops-later', 'microtasks-without-end'].map((file) => stopped(t, file, /^it gave no sign of life for 3 s$/))]);
});

await t.test('a stub that fills the heap is stopped, and the reason is told', (t) => stopped(t, 'fills-the-heap', /^(ran out of memory|uses too much memory \(\d+ MiB\))$/).then(() => undefined));

await t.test('a stub that fills buffers is stopped, and the reason is told', async (t) => {
  const { scene } = await stopped(t, 'fills-buffers', /^uses too much memory \(\d+ MiB\)$/);
  t.equal(scene.logged('hostile is stopped: uses too much memory'), 1);
});

await t.test('a stub that posts messages of its own on and on is held back, then stopped', async (t) => {
  const { scene } = await stopped(t, 'floods-on-and-on', /floods the bus$/);
  t.ok(scene.count(`${RUNTIME}/registry`) < 10_000, `${String(scene.count(`${RUNTIME}/registry`))} came through`);
});

await t.test('a stub that posts a million messages of its own at once is stopped by a bound', async (t) => {
  const { scene, stub } = await attack(t, 'floods-at-once', ({ stub }) => stub.link.closed);
  t.match((await stub.link.closed).reason, /floods the bus$|bytes wait to be sent$|uses too much memory|no sign of life/);
  t.comment((await stub.link.closed).reason);
  t.ok(scene.count(`${RUNTIME}/registry`) < 10_000, `${String(scene.count(`${RUNTIME}/registry`))} came through`);
});

await t.test('a stub that carries a million messages at once, whatever the bus says, is stopped by a bound', async (t) => {
  const before = process.memoryUsage.rss();
  const { stub, scene } = await attack(t, 'floods-as-carrier', ({ stub }) => stub.link.closed);
  t.comment(`${(await stub.link.closed).reason}; ${String(scene.count(CARRIED_TO))} came through; the daemon grew by ${String(Math.round((process.memoryUsage.rss() - before) / 2 ** 20))} MiB`);
  t.match((await stub.link.closed).reason, /bytes wait to be sent$|uses too much memory|no sign of life|ran out of memory/);
  t.ok(scene.count(CARRIED_TO) < 1e6);
});

await t.test('a stub that carries as much as it can leaves others their turn', async (t) => {
  const { scene, stub } = await attack(t, 'carries-without-end', ({ scene }) => scene.until(() => scene.count(CARRIED_TO) >= 50_000));
  t.ok(scene.count(CARRIED_TO) >= 50_000, 'nothing is held against it');
  await stub.undeploy();
});

await t.test('a stub that speaks in the name of others is stopped', (t) => stopped(t, 'forges-senders', /forges senders$/).then(() => undefined));

await t.test('a stub that makes its own frames for the pipe loses its channel, and they come to nothing', async (t) => {
  const { scene, sandbox, stub } = await attack(t, 'forges-frames', ({ stub }) => stub.link.closed);
  t.match((await stub.link.closed).reason, /one line and not empty$/);
  const again = await scene.deploy(sandbox, 'forges-frames', own);
  t.match((await again.link.closed).reason, /one line and not empty$/, 'its sandbox takes it again');
  t.same([scene.count(CARRIED_TO), scene.count(RUNTIME)].map((count) => count > 0), [true, false], 'only the neighbour is heard');
});

// On a busy machine the stub may be too busy to answer, and is stopped for its silence.
await t.test('a stub that opens ports without end is stopped', (t) => stopped(t, 'opens-ports', /opens too many ports$|floods the bus$|no sign of life for 3 s$/).then(() => undefined));

await t.test('what a stub logs without end is left out, and said to be', async (t) => {
  const { scene, stub } = await attack(t, 'floods-the-log', ({ scene }) => scene.until(() => scene.count(RUNTIME) === 1 && scene.logged('more lines') > 0));
  t.ok(scene.lines.length < 1000, `${String(scene.lines.length)} lines of 100,001`);
  t.ok(scene.lines.every((line) => line.length < 1200), 'none is long');
  t.equal(scene.lines.filter((line) => line.startsWith('warn') && line.includes('forged')).length, 0, 'a line is a line');
  await stub.undeploy();
});

await t.test('a stub that throws wherever it is called goes on, and each time is logged', async (t) => {
  const { scene, stub } = await attack(t, 'throws', ({ scene, stub }) => {
    void stub.link.send({ id: 1, type: 'read', from: RUNTIME, to: CARRIED_TO });
    void stub.link.send({ id: 2, type: 'read', from: RUNTIME, to: stub.link.name as typeof RUNTIME });
    const expected = ['listener failed: listener', 'listener failed: async listener', 'callback failed: timer', 'callback failed: interval', 'callback failed: clock', 'callback failed: microtask', 'callback failed: socket', 'was rejected: rejection', 'was rejected: something', 'callback failed: something'];
    return scene.until(() => expected.every((part) => scene.logged(part) > 0) && scene.count(`${RUNTIME}/still`) > 2);
  });
  await stub.undeploy();
  t.match(await stub.link.closed, { how: 'closed' });
  t.ok(scene.count(`${RUNTIME}/still`) > 2);
});

await t.test('a stub whose exception nobody can catch costs its sandbox, and the log has it', async (t) => {
  const { scene } = await stopped(t, 'ends-its-process', /^the process ended after an error that nobody handled$/);
  t.ok(scene.logged('Error: out of a listener') > 0);
});
