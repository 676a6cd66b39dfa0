import t from 'tap';
import { ended, withHome } from '../support/cli.js';
import { faultsIn, Lines, murder, Peer, Program, seq, startFed, withWorld, type World } from '../support/acceptance.js';
import { until } from '../support/until.js';

/** Attached and missing programs, and the messages that wait for them. */
const home = withHome(t);
let world: World;
t.before(async () => { world = await withWorld(home); });

const inboxOf = async (name: string): Promise<{ messages: number; bytes: number }> => (await world.bob.hyperties()).find((hyperty) => hyperty.name === name)!.inbox;
const attachedTo = async (name: string): Promise<number> => (await world.bob.hyperties()).find((hyperty) => hyperty.name === name)!.attached;
const send = (name: string, input: string, ...flags: readonly string[]) => home.pfly(['msg', 'send', `bob/${name}`, '-', ...flags], { profile: 'alice', input });
const tail = (name: string, count: number) => ended(world.bob.start('msg', 'tail', name, '--raw', '--count', String(count), '--timeout', '30s'));

t.test('several programs at one hyperty all get every message, in order; the slowest sets the pace', async (t) => {
  const { bob } = world;
  await bob.register('shared');
  const COUNT = 20_000;
  const tails = [1, 2, 3].map(() => new Lines(bob.start('msg', 'tail', 'shared', '--raw', '--count', String(COUNT), '--timeout', '60s')));
  await until('three are attached', async () => await attachedTo('shared') === 3);
  const sending = startFed(t, home, 'alice', ['msg', 'send', 'bob/shared', '-']);
  const sender = new Lines(sending);
  let accepted = 0;
  // Far more than windows and pipes hold.
  const line = (number: number): string => `${String(number)} ${'y'.repeat(500)}\n`;
  const feed = (): void => {
    while (accepted < COUNT) {
      accepted += 1;
      if (!sending.stdin!.write(line(accepted))) { sending.stdin!.once('drain', feed); return; }
    }
    sending.stdin!.end();
  };
  feed();
  await tails[0]!.reached(1000);
  tails[2]!.child.kill('SIGSTOP');
  let seen = -1;
  await until('the sender and the quick readers stand still', async () => {
    const before = seen;
    seen = accepted + tails[0]!.all.length;
    await new Promise((resolve) => { setTimeout(resolve, 500); });
    return before === seen;
  });
  t.ok(accepted < COUNT, `${String(accepted)} of ${String(COUNT)} were accepted`);
  t.ok(tails[0]!.all.length < COUNT);
  tails[2]!.child.kill('SIGCONT');
  t.same(await Promise.all([sender.ended, ...tails.map((lines) => lines.ended)]), [0, 0, 0, 0]);
  for (const { all } of tails) t.same(faultsIn(all.map((text) => text.split(' ')[0]!), COUNT), []);
});

t.test('tail --count, again and again: nothing lost or repeated in between, while messages keep coming', async (t) => {
  await world.bob.register('sips');
  const COUNT = 5000;
  const sending = send('sips', seq(COUNT));
  const got: string[] = [];
  for (const count of [1, 99, 900, 1500, 2500]) {
    const { code, stdout } = await tail('sips', count);
    t.equal(code, 0);
    const lines = stdout.trimEnd().split('\n');
    t.equal(lines.length, count);
    got.push(...lines);
  }
  t.equal((await sending).code, 0, (await sending).stderr);
  t.same(faultsIn(got, COUNT), []);
  t.equal((await inboxOf('sips')).messages, 0);
});

t.test('what comes while nobody is attached waits on disk, also while the runtime is away, and comes first', async (t) => {
  const { bob, alice } = world;
  await bob.register('waits');
  t.equal((await send('waits', seq(500))).code, 0);
  t.equal((await inboxOf('waits')).messages, 500);
  await bob.run('runtime', 'stop');
  t.equal((await home.pfly(['runtime', 'status'], bob)).code, 9);
  await bob.run('runtime', 'start', '--wait', '30s');
  t.equal((await inboxOf('waits')).messages, 500, 'after an orderly end');
  await murder((await bob.status()).pid);
  await bob.run('runtime', 'start', '--wait', '30s');
  t.equal((await inboxOf('waits')).messages, 500, 'after a death');
  await until('alice reaches it again', async () => (await home.pfly(['msg', 'send', 'bob/waits', '501'], alice)).code === 0);
  const { code, stdout } = await tail('waits', 501);
  t.equal(code, 0);
  t.same(faultsIn(stdout.trimEnd().split('\n'), 501), []);
});

t.test('a full inbox stalls the sender until its time is up; what had a receipt is there, in order', async (t) => {
  await world.bob.register('full');
  const { code, stdout, stderr } = await send('full', seq(3000), '--receipt', '--timeout', '2s');
  t.equal(code, 8, stderr);
  t.match(stderr, /1000 messages delivered/);
  const states = stdout.trimEnd().split('\n').map((line) => (JSON.parse(line) as { state: string }).state);
  t.ok(states.slice(0, 1000).every((state) => state === 'delivered'), 'a receipt for each that has its place');
  t.ok(states.length > 1000 && states.slice(1000).every((state) => state === 'unknown'), 'and word of each that waits for one');
  t.equal((await send('full', 'one more\n', '--timeout', '500ms')).code, 5, 'nothing of this one was delivered: the time is up');
  const { stdout: came } = await tail('full', 1000);
  t.same(faultsIn(came.trimEnd().split('\n'), 1000), []);
});

t.test('a request to nobody is answered at once', async (t) => {
  const { bob, alice } = world;
  await bob.register('nobody');
  const started = Date.now();
  t.equal((await home.pfly(['msg', 'request', 'bob/nobody', 'anybody?', '--timeout', '20s'], alice)).code, 4);
  t.ok(Date.now() - started < 5000);
  t.equal((await home.pfly(['msg', 'request', 'bob/nowhere', 'anybody?'], alice)).code, 3);
  const program = await Program.open(await bob.socket());
  const attached = await program.ask(`${program.runtime}/ua`, 'subscribe', { resource: 'nobody' });
  program.onMessage = ({ id, from, body }) => { program.post({ id, type: 'response', from: String(attached['resource']), to: from, body: { code: 200, value: `you said ${String(body?.value)}` } }); };
  t.equal(await alice.run('msg', 'request', 'bob/nobody', 'anybody?'), 'you said anybody?\n');
  program.close();
});

t.test('a runtime that is started twice, a socket left behind, and two that start at once', async (t) => {
  const { bob, url } = world;
  t.equal((await home.pfly(['runtime', 'start'], bob)).code, 10);
  const { pid } = await bob.status();
  await murder(pid);
  t.equal((await home.pfly(['runtime', 'status'], bob)).code, 9);
  const starts = await Promise.all([1, 2, 3].map(() => home.pfly(['runtime', 'start', '--wait', '30s'], bob)));
  t.same(starts.map(({ code }) => code).sort((a, b) => Number(a) - Number(b)), [0, 10, 10], 'one of three has it');
  t.not((await bob.status()).pid, pid);

  const names = ['carol', 'dave'];
  await Promise.all(names.map((name) => home.runtime(name, url)));
  const runtimes = await Promise.all(names.map((name) => new Peer(home, name).status()));
  t.same(runtimes.map(({ state }) => state), ['live', 'live']);
  t.equal(new Set(runtimes.map(({ runtime }) => runtime)).size, 2);
});
