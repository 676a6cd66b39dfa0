import t from 'tap';
import { StoredRecords } from '../../src/domain-server/shard/registry/records.js';
import { Meter } from '../../src/domain-server/shard/message-node/meter.js';
import { parseRecord, type Address, type Clock, type RegistryRecord } from '../../src/protocol/index.js';
import { memoryStore } from '../../src/store/index.js';

const timeAt = (start: number): Clock & { time: number } => {
  const clock = { time: start, now: () => clock.time, date: () => clock.time, setTimeout: () => ({ cancel: () => undefined }) };
  return clock;
};

const RUNTIME = 'hyperty-runtime://a.example/r' as Address;
const BOB = 'user://a.example/bob';
const record = (id: string, fields: Record<string, unknown> = {}): RegistryRecord => parseRecord({ url: `hyperty://a.example/${id}`, runtime: RUNTIME, user: BOB, expires: 10, ...fields });
const urls = (records: Iterable<RegistryRecord>): string[] => [...records].map(({ url }) => url.slice('hyperty://a.example/'.length));

void t.test('an index entry stands for what the record is now', async (t) => {
  const store = memoryStore();
  const records = new StoredRecords({ store, clock: timeAt(0) }, { keepDisconnectedMs: 1000 });
  await records.put(record('1', { name: 'a', guid: 'user-guid://g' }));
  await records.put(record('2', { name: 'a' }));
  t.same(urls(records.find('name', 'a', true)), ['1', '2']);
  await records.put(record('1', { name: 'b', status: 'disconnected' }));
  t.same(urls(records.find('name', 'a', true)), ['2']);
  t.same(urls(records.find('name', 'b', true)), []);
  t.same(urls(records.find('name', 'b', false)), ['1']);
  t.same(urls(records.find('guid', 'user-guid://g', false)), []);
  await records.remove(record('1').url);
  await records.remove(record('2').url);
  await records.remove(record('2').url);
  for (const name of ['records', 'records-index', 'records-due']) t.equal(store.collection(name).count(), 0, name);
});

void t.test('long addresses and names are found, and not taken for one another', async (t) => {
  const records = new StoredRecords({ store: memoryStore(), clock: timeAt(0) }, { keepDisconnectedMs: 1000 });
  const long = 'x'.repeat(1500);
  await records.put(record(`${long}1`, { name: `${long}1` }));
  await records.put(record(`${long}2`, { name: `${long}2` }));
  t.equal(records.count(), 2);
  t.equal(records.get(record(`${long}1`).url)?.name, `${long}1`);
  t.equal(records.get(record(`${long}3`).url), undefined);
  t.same(urls(records.find('name', `${long}2`, true)), [`${long}2`]);
});

void t.test('records expire in the order in which they are due: live, disconnected, gone', async (t) => {
  const clock = timeAt(1000);
  const store = memoryStore();
  const records = new StoredRecords({ store, clock }, { keepDisconnectedMs: 5000 });
  const changed: string[] = [];
  const expire = (from = 0): Promise<boolean> => records.expire(from, ({ url, status }) => { changed.push(`${url.slice(-1)} ${status}`); });
  await records.put(record('1', { expires: 20 }));
  await records.put(record('2', { expires: 10 }));
  await records.put(record('3', { expires: 10, status: 'created' }));
  t.equal(records.nextDue(0), 11_000);
  clock.time = 10_999;
  await expire();
  t.same(changed, []);
  clock.time = 11_000;
  t.equal(await expire(), false);
  t.same(changed, ['2 disconnected', '3 disconnected']);
  t.match(records.get(record('2').url), { status: 'disconnected', lastModified: '1970-01-01T00:00:11.000Z' });
  await records.put(record('3', { expires: 10 }));
  clock.time = 16_000;
  await expire();
  t.equal(records.get(record('2').url), undefined);
  t.equal(records.get(record('3').url)?.status, 'live', 'it was kept alive');
  clock.time = 40_000;
  await expire(21_001);
  t.same(changed.length, 2, 'what was due before a given time is left alone');
  await expire();
  t.same(changed.slice(2), ['1 disconnected', '3 disconnected']);
});

void t.test('many that are due go in batches, and a runtime\'s records are disconnected all', async (t) => {
  const clock = timeAt(0);
  const records = new StoredRecords({ store: memoryStore(), clock }, { keepDisconnectedMs: 5000 });
  for (let i = 0; i < 450; i += 1) void records.put(record(String(i)));
  await records.put(record('other', { runtime: 'hyperty-runtime://a.example/s' }));
  let announced = 0;
  await records.disconnect(RUNTIME, () => { announced += 1; });
  t.equal(announced, 450);
  t.same(urls(records.find('user', BOB, true)), ['other']);
  clock.time = 6000;
  let rounds = 1;
  while (await records.expire(0, () => undefined)) rounds += 1;
  t.equal(rounds, 3);
  t.equal(records.count(), 1);
});

void t.test('a record beyond the largest is refused', (t) => {
  const records = new StoredRecords({ store: memoryStore(), clock: timeAt(0) }, { keepDisconnectedMs: 1, limits: { recordBytes: 500 } });
  t.throws(() => records.put(record('1', { extra: 'x'.repeat(500) })), { code: 'E_TOO_LARGE' });
  t.end();
});

void t.test('the meter tells what came in the last ten seconds', (t) => {
  const clock = timeAt(5000);
  const meter = new Meter(clock);
  for (let i = 0; i < 50; i += 1) meter.receive();
  t.equal(meter.receivedPerSecond, 5);
  clock.time += 9000;
  meter.receive();
  t.equal(meter.receivedPerSecond, 5.1);
  clock.time += 1000;
  t.equal(meter.receivedPerSecond, 0.1);
  clock.time += 1e6;
  t.equal(meter.receivedPerSecond, 0);
  t.equal(meter.received, 51);
  t.end();
});
