import '../support/bare-children.js';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { memoryStore } from '../../src/store/index.js';
import { openLmdbStore } from '../../src/store/lmdb/index.js';
import { SortedMap } from '../../src/store/sorted-map.js';
import { storeContract } from './store-contract.js';

const folder = (t: Test): string => {
  const path = mkdtempSync(join(tmpdir(), 'protofly.store-'));
  t.teardown(() => { rmSync(path, { recursive: true, force: true }); });
  return path;
};

void t.test('memory', (t) => {
  storeContract(t, () => memoryStore());
  t.end();
});

void t.test('lmdb', (t) => {
  storeContract(t, (t) => {
    const path = folder(t);
    const store = openLmdbStore({ path });
    t.teardown(() => store.close());
    return store;
  });

  void t.test('what was written is there when it is opened again', async (t) => {
    const path = folder(t);
    const store = openLmdbStore({ path });
    await store.collection('c').put('k', { v: 1 });
    void store.collection('c').put('not awaited', 2);
    await store.close();
    const again = openLmdbStore({ path });
    t.same([...again.collection('c').entries()], [['k', { v: 1 }], ['not awaited', 2]]);
    await again.close();
  });

  void t.test('large values come whole from a range, also when the database has grown', async (t) => {
    const store = openLmdbStore({ path: folder(t) });
    t.teardown(() => store.close());
    const c = store.collection<string>('c');
    for (let size = 20_000; size < 400_000; size += 40_000) {
      await c.put(String(size), 'ü'.repeat(size));
      t.same([...c.entries()].filter(([key, value]) => value !== 'ü'.repeat(Number(key))), []);
    }
  });

  void t.test('a folder that can not be one is an E_STORE', (t) => {
    const path = join(folder(t), 'file');
    writeFileSync(path, 'no database');
    t.throws(() => openLmdbStore({ path }), { code: 'E_STORE' });
    t.end();
  });
  t.end();
});

void t.test('the sorted map agrees with a sorted list through random changes', (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
  t.comment(`seed ${String(seed)}`);
  let state = seed;
  const random = (below: number): number => { state = (state * 1103515245 + 12345) % 2147483648; return Math.floor((state / 2147483648) * below); };
  const map = new SortedMap<number>();
  const model = new Map<string, number>();
  for (let i = 0; i < 20_000; i += 1) {
    const key = `k${String(random(3000))}`;
    if (random(3) === 0) { if (map.delete(key) !== model.delete(key)) t.fail(`deleting ${key}`); } else { map.set(key, i); model.set(key, i); }
  }
  const sorted = [...model.keys()].sort();
  t.same([...map.ascending('')], sorted);
  t.same([...map.ascending('k2')], sorted.filter((key) => key >= 'k2'));
  t.same([...map.descending(() => true)], sorted.reverse());
  t.equal(map.size, model.size);
  t.end();
});

void t.test('every acknowledged write survives SIGKILL, transactions whole', async (t) => {
  const path = folder(t);
  const writer = fileURLToPath(new URL('../support/store-writer.js', import.meta.url));
  const acknowledged = new Map<string, number>();
  const rounds = 6;
  for (let round = 0; round < rounds; round += 1) {
    const child = spawn(process.execPath, [writer, path, String(round)], { stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = new Promise((resolve) => { child.once('exit', resolve); });
    let lines = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      const [key = '', value = ''] = line.split(' ');
      acknowledged.set(key, Number(value));
      lines += 1;
      if (lines === 40 + round * 37) child.kill('SIGKILL');
    }
    await ended;
    t.ok(lines >= 40, `round ${String(round)}: ${String(lines)} acknowledged`);
    const store = openLmdbStore({ path });
    const left = store.collection<{ n: number }>('left');
    const right = store.collection<{ n: number }>('right');
    const lost = [...acknowledged].filter(([key, n]) => (left.get(key)?.n ?? -1) < n);
    t.same(lost, [], 'nothing acknowledged is missing');
    t.same([...left.entries()].map(([key, { n }]) => [key, n]), [...right.entries()].map(([key, { n }]) => [key, n]), 'both halves of each transaction are there');
    await store.close();
  }
});
