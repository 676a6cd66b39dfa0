import t from 'tap';
import { parseAddress, type RegistryRecord } from '../../src/protocol/index.js';
import { tryConnection, type Tried } from '../../src/runtime/p2p/doctor/trial.js';
import { connecting } from '../../src/runtime/p2p/connecting.js';
import { ConnectionList } from '../../src/runtime/p2p/connection-list.js';
import { P2pConnection } from '../../src/runtime/p2p/p2p-connection.js';
import { ManualClock, turns } from '../support/manual-clock.js';

const BOB = parseAddress('hyperty-runtime://localhost/bob');
const record: RegistryRecord = { url: parseAddress('hyperty://localhost/in'), runtime: BOB, dataSchemes: [], resources: [], status: 'live', expires: 3600 };
const quiet = (): void => undefined;
const SETUP_MS = 15_000;

/** The registry's list of connections, and its wait for one. The test decides the result of set-ups. */
const world = () => {
  const clock = new ManualClock();
  const list = new ConnectionList({ clock, log: quiet, intake: { lost: quiet }, onOver: quiet });
  let count = 0;
  const add = (role: 'requester' | 'handler'): P2pConnection => {
    count += 1;
    const address = parseAddress(`hyperty-runtime://localhost/alice/${role}/${String(count)}`);
    return list.add(new P2pConnection({ clock }, { address, stub: address, role, remoteRuntime: BOB, generation: count, record }));
  };
  const own: P2pConnection[] = [];
  const setUp = async (): Promise<void> => {
    own.push(add('requester'));
    await Promise.resolve();
  };
  const tried = (): Promise<Tried> => tryConnection({
    live: (remote) => list.live(remote),
    list: () => list.all(),
    connect: (wanted, onChange, signal) => connecting(
      { clock, isBusy: (remote) => list.current(remote).length > 0, setUp, onChange: (listener) => list.onChange(listener) },
      { record: wanted, onChange, setupMs: SETUP_MS, signal },
    ),
  }, record);
  return { clock, list, add, own, tried };
};

t.test('a set-up that nobody answers: the other side took no part', async (t) => {
  const { clock, list, own, tried } = world();
  const result = tried();
  await turns();
  list.step(own[0]!, 'in-progress');
  clock.advance(SETUP_MS);
  t.match(await result, { trial: { result: 'failed', answered: false }, reason: 'no P2P connection to hyperty-runtime://localhost/bob within 15000 ms' });
});

t.test('one that was answered, and then found no path, whether that is known in time or not', async (t) => {
  for (const ends of [true, false]) {
    const { clock, list, own, tried } = world();
    const result = tried();
    await turns();
    list.step(own[0]!, 'in-progress');
    list.step(own[0]!, 'in-progress', undefined, { answered: true });
    if (ends) list.step(own[0]!, 'failed', 'no path was found', { orderly: false });
    else clock.advance(SETUP_MS);
    t.match(await result, { trial: { result: 'failed', answered: true } });
  }
});

t.test('both sides at once: one that gave way says nothing against the other side, whose set-up is still under way at the end', async (t) => {
  const { clock, list, add, own, tried } = world();
  const result = tried();
  await turns();
  list.step(own[0]!, 'in-progress');
  clock.advance(100);
  const theirs = add('handler');
  own[0]!.gaveWay = true;
  list.step(own[0]!, 'failed', 'gave way to a set-up from the other side');
  list.step(theirs, 'in-progress');
  clock.advance(SETUP_MS);
  t.match(await result, { trial: { result: 'failed', answered: true } });
});

t.test('both sides at once: the other side refuses because its own goes first, and that never comes', async (t) => {
  const { clock, list, own, tried } = world();
  const result = tried();
  await turns();
  list.step(own[0]!, 'failed', 'refused', { refusedWith: 486 });
  clock.advance(SETUP_MS);
  t.equal(own.length, 2, 'tried once more from here');
  t.match(await result, { trial: { result: 'failed', answered: true } });
});

t.test('what the other side had begun before counts, what was over before doesn\'t', async (t) => {
  for (const isOver of [false, true]) {
    const { clock, list, add, tried } = world();
    const theirs = add('handler');
    list.step(theirs, 'in-progress');
    if (isOver) list.step(theirs, 'failed', 'no path was found');
    const result = tried();
    clock.advance(SETUP_MS);
    t.match(await result, { trial: { result: 'failed', answered: !isOver } });
  }
});

t.test('a live connection is the answer, at once or when it comes', async (t) => {
  const { list, own, tried } = world();
  const result = tried();
  await turns();
  list.step(own[0]!, 'in-progress');
  list.step(own[0]!, 'live', undefined, { pair: { local: '10.0.0.1:1 host', remote: '10.0.0.2:2 relay' } });
  t.match(await result, { trial: { result: 'live', relayed: true }, connection: own[0] });
});
