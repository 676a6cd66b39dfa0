import '../support/bare-children.js';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import t, { type Test } from 'tap';
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

/** The same for a stub that is stopped by its interpreter, or with its whole sandbox by those who watch it. */
const endedAs = async (t: Test, file: string, reason: RegExp): Promise<Attack> => {
  const result = await attack(t, file, ({ stub }) => stub.link.closed);
  t.match((await result.stub.link.closed).reason, reason);
  return result;
};

/** The same for a stub that must be stopped with its sandbox. The log must state the reason. */
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
  t.ok(scene.logged('refused a connection to 127.0.0.1:22') >= 4);
});

for (const [file, why] of [['imports-a-module', /imports nothing, not even node:fs/], ['loops-when-loaded', /kept its process busy for 1 s/], ['loops-in-activate', /kept its process busy for 1 s/], ['never-ready', /isn't ready/]] as const) {
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

for (const file of ['loops-later', 'loops-in-a-promise', 'microtasks-without-end']) {
  // On a busy machine its process may be silent for too long before.
  await t.test(`a stub that keeps its process busy is stopped: ${file}`, (t) => endedAs(t, file, /^it kept its process busy for 1 s$|^it gave no sign of life for 3 s$/).then(() => undefined));
}

for (const file of ['fills-the-heap', 'fills-buffers']) {
  await t.test(`a stub that fills its memory is stopped, and the reason is told: ${file}`, async (t) => {
    const { scene, stub } = await endedAs(t, file, /^ran out of memory$|^uses too much memory|^it kept its process busy/);
    t.ok(scene.logged(`is stopped: ${(await stub.link.closed).reason}`) === 1);
  });
}

await t.test('a stub that posts messages of its own on and on is held back, then stopped', async (t) => {
  // On a busy machine its interpreter may stop it before.
  const { scene } = await endedAs(t, 'floods-on-and-on', /floods the bus$|^it kept its process busy for 1 s$/);
  t.ok(scene.count(`${RUNTIME}/registry`) < 10_000, `${String(scene.count(`${RUNTIME}/registry`))} came through`);
});

await t.test('a stub that posts a million messages of its own at once is stopped by a bound', async (t) => {
  const { scene, stub } = await attack(t, 'floods-at-once', ({ stub }) => stub.link.closed);
  t.match((await stub.link.closed).reason, /floods the bus$|bytes wait to be sent$|uses too much memory|no sign of life|ran out of memory|kept its process busy/);
  t.comment((await stub.link.closed).reason);
  t.ok(scene.count(`${RUNTIME}/registry`) < 10_000, `${String(scene.count(`${RUNTIME}/registry`))} came through`);
});

await t.test('a stub that carries a million messages at once, whatever the bus says, is stopped by a bound', async (t) => {
  const before = process.memoryUsage.rss();
  const { stub, scene } = await attack(t, 'floods-as-carrier', ({ stub }) => stub.link.closed);
  t.comment(`${(await stub.link.closed).reason}; ${String(scene.count(CARRIED_TO))} came through; the daemon grew by ${String(Math.round((process.memoryUsage.rss() - before) / 2 ** 20))} MiB`);
  t.match((await stub.link.closed).reason, /bytes wait to be sent$|uses too much memory|no sign of life|ran out of memory|kept its process busy/);
  t.ok(scene.count(CARRIED_TO) < 1e6);
});

await t.test('a stub that carries as much as it can leaves others their turn', async (t) => {
  const { scene, stub } = await attack(t, 'carries-without-end', ({ scene }) => scene.until(() => scene.count(CARRIED_TO) >= 50_000));
  t.ok(scene.count(CARRIED_TO) >= 50_000, 'nothing is held against it');
  await stub.undeploy();
});

await t.test('a stub that speaks in the name of others is stopped', (t) => stopped(t, 'forges-senders', /forges senders$/).then(() => undefined));

await t.test('a stub that makes its own frames for the pipe sends nothing with them', async (t) => {
  const { scene, stub } = await attack(t, 'forges-frames', ({ scene }) => scene.until(() => scene.count(`${RUNTIME}/still`) === 1));
  t.same(scene.heard.get(`${RUNTIME}/still`)?.[0]?.body?.value, Array(8).fill('E_MESSAGE'));
  t.equal(scene.count(RUNTIME), 0);
  await stub.undeploy();
});

// On a busy machine the stub may be too busy to answer, and is stopped for its silence.
await t.test('a stub that opens ports without end is stopped', (t) => endedAs(t, 'opens-ports', /opens too many ports$|floods the bus$|no sign of life for 3 s$|kept its process busy/).then(() => undefined));

await t.test('what a stub logs without end is left out, and said to be', async (t) => {
  const { scene, stub } = await attack(t, 'floods-the-log', ({ scene }) => scene.until(() => scene.count(RUNTIME) === 1 && scene.logged('more lines') > 0));
  t.ok(scene.lines.length < 1000, `${String(scene.lines.length)} lines of 2,001`);
  t.ok(scene.lines.every((line) => line.length < 1200), 'none is long');
  t.equal(scene.lines.filter((line) => line.startsWith('warn') && line.includes('forged')).length, 0, 'a line is a line');
  await stub.undeploy();
});

await t.test('a stub that throws wherever it is called goes on, and each time is logged', async (t) => {
  const { scene, stub } = await attack(t, 'throws', ({ scene, stub }) => {
    void stub.link.send({ id: 1, type: 'read', from: RUNTIME, to: CARRIED_TO });
    void stub.link.send({ id: 2, type: 'read', from: RUNTIME, to: stub.link.name as typeof RUNTIME });
    const expected = ['listener failed: listener', 'listener failed: async listener', 'callback failed: timer', 'callback failed: interval', 'callback failed: clock', 'callback failed: microtask', 'callback failed: socket', 'callback failed: something'];
    return scene.until(() => expected.every((part) => scene.logged(part) > 0) && scene.count(`${RUNTIME}/still`) > 2);
  });
  await stub.undeploy();
  t.match(await stub.link.closed, { how: 'closed' });
  t.ok(scene.count(`${RUNTIME}/still`) > 2);
});
