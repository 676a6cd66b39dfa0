import type { Test } from 'tap';
import { ProtoflyError } from '../../src/protocol/index.js';
import type { Range, Store } from '../../src/store/store.js';

/** The contract of every store. `open` returns a new, empty one. */
export const storeContract = (t: Test, open: (t: Test) => Store): void => {
  const keys = (store: Store, range: Range): string[] => [...store.collection('c').entries(range)].map(([key]) => key);

  void t.test('a value comes back as it was put, and as a copy', async (t) => {
    const c = open(t).collection<unknown>('c');
    const value = { a: [1, null, 'ü😀', { deep: true }], empty: {} };
    const put = c.put('k', value);
    t.same(c.get('k'), value, 'visible at once');
    await put;
    value.a.push('changed');
    t.same(c.get('k'), { a: [1, null, 'ü😀', { deep: true }], empty: {} });
    (c.get('k') as { a: unknown[] }).a.push('changed');
    t.same(c.get('k'), { a: [1, null, 'ü😀', { deep: true }], empty: {} });
    for (const plain of [0, '', false, null, 'text']) { await c.put('p', plain); t.equal(c.get('p'), plain); }
    t.equal(c.get('absent'), undefined);
  });

  void t.test('a later put wins, before and after it is durable', async (t) => {
    const c = open(t).collection<number>('c');
    const first = c.put('k', 1);
    const second = c.put('k', 2);
    t.equal(c.get('k'), 2);
    await first;
    const third = c.put('k', 3);
    await second;
    t.equal(c.get('k'), 3);
    await third;
    t.equal(c.get('k'), 3);
    t.equal(c.count(), 1);
  });

  void t.test('delete says whether there was such a key', async (t) => {
    const c = open(t).collection<number>('c');
    void c.put('k', 1);
    const gone = c.delete('k');
    t.equal(c.get('k'), undefined);
    t.equal(c.count(), 0);
    t.equal(await gone, true);
    t.equal(await c.delete('k'), false);
    await c.put('k', 2);
    t.equal(await c.delete('k'), true);
    t.same([...c.entries()], []);
  });

  void t.test('entries come in the order of their UTF-8 bytes, whether durable or not', async (t) => {
    const store = open(t);
    const c = store.collection<number>('c');
    const all = ['a', 'a/b', 'a0', 'aa', 'b', 'b\u0001', 'z', '~', 'é', '\uffee', '😀', '😁'];
    const inBytes = [...all].sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)));
    for (const [i, key] of all.entries()) if (i % 2 === 0) await c.put(key, i);
    for (const [i, key] of all.entries()) if (i % 2 === 1) void c.put(key, i);
    const check = (): void => {
      t.same(keys(store, {}), inBytes);
      t.same(keys(store, { reverse: true }), [...inBytes].reverse());
      t.same(keys(store, { prefix: 'a' }), ['a', 'a/b', 'a0', 'aa']);
      t.same(keys(store, { prefix: 'a', reverse: true }), ['aa', 'a0', 'a/b', 'a']);
      t.same(keys(store, { after: 'a' }), inBytes.slice(inBytes.indexOf('a') + 1));
      t.same(keys(store, { after: 'a', reverse: true }), inBytes.slice(inBytes.indexOf('a') + 1).reverse());
      t.same(keys(store, { after: 'a5', limit: 2 }), ['aa', 'b']);
      t.same(keys(store, { prefix: 'a', after: 'a/b' }), ['a0', 'aa']);
      t.same(keys(store, { prefix: 'a', after: 'a/b', reverse: true }), ['aa', 'a0']);
      t.same(keys(store, { prefix: 'b', after: 'a' }), ['b', 'b\u0001']);
      t.same(keys(store, { prefix: 'a', after: 'c' }), []);
      t.same(keys(store, { prefix: 'nothing' }), []);
      t.same(keys(store, { reverse: true, limit: 1 }), inBytes.slice(-1));
      t.same(keys(store, { limit: 0 }), []);
      t.equal(c.count(), all.length);
    };
    check();
    await c.put('last', 1);
    await c.delete('last');
    check();
  });

  void t.test('an iteration sees a snapshot', async (t) => {
    const c = open(t).collection<number>('c');
    for (let i = 0; i < 50; i += 1) void c.put(`k${String(i).padStart(2, '0')}`, i);
    await c.put('k99', 99);
    const seen: string[] = [];
    for (const [key] of c.entries()) {
      seen.push(key);
      void c.delete(key);
      void c.put(`n${key}`, 1);
    }
    t.equal(seen.length, 51);
    t.equal(c.count(), 51);
    t.equal([...c.entries({ prefix: 'n' })].length, 51);
  });

  void t.test('a transaction keeps all of its writes or none', async (t) => {
    const store = open(t);
    const a = store.collection<number>('a');
    const b = store.collection<number>('b');
    await a.put('kept', 1);
    t.equal(await store.transaction(() => {
      void a.put('x', 1);
      void b.put('y', 2);
      void a.delete('kept');
      return (a.get('x') ?? 0) + (b.get('y') ?? 0);
    }), 3);
    t.equal(a.get('kept'), undefined);
    const failure = new Error('no');
    await t.rejects(store.transaction(() => {
      void a.put('x', 10);
      void a.put('x', 11);
      void b.delete('y');
      void b.put('new', 1);
      throw failure;
    }), failure);
    t.equal(a.get('x'), 1);
    t.equal(b.get('y'), 2);
    t.equal(b.get('new'), undefined);
    t.equal(b.count(), 1);
    await t.rejects(store.transaction(() => { void a.put('x', 12); void a.put('bad', undefined as unknown as number); }), { code: 'E_STORE' });
    t.equal(a.get('x'), 1, 'a write that can not be made undoes the others');
    await t.rejects(store.transaction(() => Promise.resolve(a.put('x', 13))), { code: 'E_STORE' }, 'a transaction is synchronous');
    t.equal(a.get('x'), 1);
  });

  void t.test('an undone write does not come back with a later batch', async (t) => {
    const store = open(t);
    const a = store.collection<number>('a');
    const before = a.put('x', 1);
    const undone = store.transaction(() => { void a.put('x', 2); void a.put('z', 2); throw new Error('no'); });
    await t.rejects(undone);
    await before;
    await a.put('other', 1);
    t.equal(a.get('x'), 1);
    t.equal(a.get('z'), undefined);
  });

  void t.test('keys have 1 to 500 characters, values are JSON', (t) => {
    const c = open(t).collection<unknown>('c');
    for (const key of ['', 'x'.repeat(501), '\ud800']) t.throws(() => c.put(key, 1), ProtoflyError, JSON.stringify(key.slice(0, 3)));
    t.throws(() => c.put('k', () => 1), { code: 'E_STORE' });
    t.throws(() => c.put('k', 1n), { code: 'E_STORE' });
    void c.put('€'.repeat(500), 1);
    t.equal(c.get('€'.repeat(500)), 1);
    t.end();
  });

  void t.test('collections do not share keys; the same name gives the same data', async (t) => {
    const store = open(t);
    await store.collection('a').put('k', 1);
    await store.collection('b').put('k', 2);
    t.equal(store.collection('a').get('k'), 1);
    t.equal(store.collection('b').get('k'), 2);
    t.equal(store.collection('b').count(), 1);
  });

  void t.test('many writes from one turn, and a large value', async (t) => {
    const c = open(t).collection<unknown>('c');
    await Promise.all(Array.from({ length: 5000 }, (_, i) => c.put(`k${String(i)}`, { i })));
    t.equal(c.count(), 5000);
    t.same(c.get('k4999'), { i: 4999 });
    const large = 'x'.repeat(8 * 1024 * 1024);
    await c.put('large', large);
    t.equal(c.get('large'), large);
  });

  void t.test('close is idempotent; afterwards nothing works', async (t) => {
    const store = open(t);
    const c = store.collection('c');
    const put = c.put('k', 1);
    await Promise.all([store.close(), store.close()]);
    await put;
    await store.close();
    t.throws(() => c.get('k'), { code: 'E_STORE' });
    t.throws(() => c.put('k', 1), { code: 'E_STORE' });
    await t.rejects(store.transaction(() => 1), { code: 'E_STORE' });
  });
};
