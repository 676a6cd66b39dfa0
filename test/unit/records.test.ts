import t from 'tap';
import { MessageBus } from '../../src/bus/index.js';
import { isResponse, parseAddress, registryAddress, respond, type RegistryRecord } from '../../src/protocol/index.js';
import { Records, type Cached } from '../../src/runtime/directory/records.js';
import { memoryStore, type Store } from '../../src/store/index.js';
import { failingStore } from '../support/failing-store.js';
import { ManualClock, turns } from '../support/manual-clock.js';

const BOB = parseAddress('hyperty://example.com/bob');
const record: RegistryRecord = { url: BOB, runtime: parseAddress('hyperty-runtime://example.com/r2'), dataSchemes: [], resources: [], status: 'live', expires: 3600 };

const world = (store: Store = memoryStore()) => {
  const clock = new ManualClock();
  const bus = new MessageBus({ clock }, { firstId: 1 });
  const state = { answers: true, asked: 0, record, pages: 1, pagesAfter: [] as unknown[], log: [] as string[] };
  bus.addListener(registryAddress('example.com'), (message) => {
    if (isResponse(message)) return;
    state.asked += 1;
    if (!state.answers) return;
    const { resource, after } = message.body ?? {};
    if (resource !== '/hyperty') void bus.post(respond(message, 200, { value: state.record }));
    else {
      const url = parseAddress(`hyperty://example.com/${String(state.asked)}`);
      void bus.post(respond(message, 200, { value: { [url]: { ...record, url } }, ...(state.asked < state.pages ? { more: true, next: url } : {}) }));
      state.pagesAfter.push(after);
    }
  });
  const records = new Records(
    { bus, clock, cache: store.collection<Cached>('records'), nodes: { isAway: () => false }, named: { admit: () => undefined }, users: { check: () => Promise.resolve() }, log: (_level, text) => { state.log.push(text); } },
    { runtime: parseAddress('hyperty-runtime://example.com/r1'), domain: 'example.com', user: parseAddress('user://example.com/alice') },
  );
  return { clock, records, state };
};

t.test('a registry that is slow holds nobody up for long who has an old record, and isn\'t asked again at once', async (t) => {
  const { clock, records, state } = world();
  t.match(await records.find(BOB, 'program'), record);
  clock.advance(61_000);
  t.equal(records.known(BOB), undefined, 'no longer fresh');
  state.answers = false;
  let found: RegistryRecord | undefined;
  void records.find(BOB, 'program').then((old) => { found = old; });
  clock.advance(900);
  await turns(2);
  t.equal(found, undefined);
  clock.advance(100);
  await turns(2);
  t.match(found, record, 'after a second');
  t.match(records.known(BOB), record, 'and at once for a while');
  t.equal(state.asked, 2);
  clock.advance(5000);
  t.equal(records.known(BOB), undefined);
  state.answers = true;
  t.match(await records.find(BOB, 'program'), record);
  t.equal(state.asked, 3);
});

t.test('an old record that proves wrong while its registry is asked is not believed again', async (t) => {
  const { clock, records, state } = world();
  await records.find(BOB, 'program');
  clock.advance(61_000);
  state.answers = false;
  const finding = records.find(BOB, 'program');
  await records.forget(BOB);
  clock.advance(1000);
  t.equal(await finding, undefined);
  t.equal(records.known(BOB), undefined);
});

t.test('a registry answers for the address that it was asked for, and for none above it', async (t) => {
  const { clock, records, state } = world();
  await records.find(BOB, 'program');
  clock.advance(61_000);
  state.record = { ...record, url: parseAddress('hyperty://example.com'), runtime: parseAddress('hyperty-runtime://example.com/evil') };
  t.match(await records.find(BOB, 'program'), record);
  t.equal((await records.hostOf(BOB)), record.runtime);
});

t.test('a cache that can\'t be written keeps nobody from finding a record', async (t) => {
  const store = failingStore();
  store.isFull = true;
  const { records, state } = world(store);
  t.match(await records.find(BOB, 'program'), record);
  t.match(records.known(BOB), record, 'it is at hand all the same');
  await turns(2);
  t.match(state.log, [/the cache of records can't be written: no space left/]);
  records.forget(BOB);
  t.equal(records.known(BOB), undefined);
  await turns(2);
  t.equal(state.log.length, 1, 'what isn\'t on disk needn\'t be forgotten there');
});

t.test('a search goes on until the registry has no more, and not for ever', async (t) => {
  const { records, state } = world();
  state.pages = 3;
  t.same((await records.discover({})).map(({ url }) => url), ['hyperty://example.com/1', 'hyperty://example.com/2', 'hyperty://example.com/3']);
  t.same(state.pagesAfter, [undefined, 'hyperty://example.com/1', 'hyperty://example.com/2']);
  state.pages = Infinity;
  t.equal((await records.discover({})).length, 20);
});
