/** Writes pairs of entries until it is killed, and prints each when it has been acknowledged. */
import { writeSync } from 'node:fs';
import { openLmdbStore } from '../../src/store/lmdb/index.js';

const [path = '', round = '0'] = process.argv.slice(2);
const store = openLmdbStore({ path });
const left = store.collection<{ n: number; fill: string }>('left');
const right = store.collection<{ n: number; fill: string }>('right');
const fill = 'x'.repeat(300);

const write = async (worker: number): Promise<void> => {
  for (let n = 0; n < 100_000; n += 1) {
    const key = `${round}-${String(worker)}-${String(n % 50)}`;
    await store.transaction(() => {
      void left.put(key, { n, fill });
      void right.put(key, { n, fill });
    });
    writeSync(1, `${key} ${String(n)}\n`);
  }
};
await Promise.all([0, 1, 2, 3, 4].map(write));
