/** Writes pairs of entries until it is killed, and prints each acknowledged pair. Arguments: folder, name of the round. */
import { writeSync } from 'node:fs';
import { openLmdbStore } from '../../dist/store/lmdb/index.js';

const [path, round] = process.argv.slice(2);
const store = openLmdbStore({ path });
const left = store.collection('left');
const right = store.collection('right');
const fill = 'x'.repeat(300);

const write = async (worker) => {
  for (let n = 0; n < 100_000; n += 1) {
    const key = `${round}-${worker}-${n % 50}`;
    await store.transaction(() => {
      void left.put(key, { n, fill });
      void right.put(key, { n, fill });
    });
    writeSync(1, `${key} ${n}\n`);
  }
};
await Promise.all([0, 1, 2, 3, 4].map(write));
