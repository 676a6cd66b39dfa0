/**
 * Writes and deletes entries of three collections in transactions until it is killed. Prints, one per line: the
 * entries found at its start, each attempt, each acknowledgement and each refusal.
 * Arguments: the store's folder, a seed, and the number above which this run counts.
 */
import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { asProtoflyError } from '../../src/protocol/index.js';
import { openLmdbStore } from '../../src/store/lmdb/index.js';

interface Value {
  readonly n: number;
  readonly fill: string;
  readonly sum: string;
}

const [path = '', seed = '1', last = '0'] = process.argv.slice(2);
let state = Number(seed);
const random = (below: number): number => { state = (state * 1103515245 + 12345) % 2147483648; return Math.floor((state / 2147483648) * below); };
const nap = new Int32Array(new SharedArrayBuffer(4));
/** Writes lines to stdout before it returns. Waits while the pipe is full, and ends the process when its reader has gone. */
const say = (lines: readonly string[]): void => {
  const bytes = Buffer.from(`${lines.join('\n')}\n`);
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(1, bytes, at);
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'EAGAIN') process.exit(1);
      Atomics.wait(nap, 0, 0, 1);
    }
  }
};
const sumOf = (n: number, fill: string): string => createHash('sha256').update(`${String(n)}${fill}`).digest('hex');
const names = ['a', 'b', 'c'] as const;

process.on('unhandledRejection', (reason) => { say([`wrong unhandled ${String(reason)}`]); });
const store = openLmdbStore({ path });
const collections = names.map((name) => store.collection<Value>(name));
for (const [at, collection] of collections.entries()) {
  let count = 0;
  for (const [key, { n, fill, sum }] of collection.entries()) {
    count += 1;
    say([sum === sumOf(n, fill) ? `have ${names[at]!} ${key} ${String(n)}` : `wrong value at ${key}`]);
  }
  if (count !== collection.count()) say([`wrong count ${String(count)}, not ${String(collection.count())}`]);
}
say(['ready']);

let n = Number(last);
const sizeOfNext = (): number => [600, 600, 600, 6000, 40_000][random(5)]!;

const worker = async (number: number): Promise<void> => {
  for (;;) {
    n += 1;
    const [mine, done]: [number, string[]] = [n, []];
    try {
      const written = store.transaction(() => {
        for (let i = random(6); i >= 0; i -= 1) {
          const [at, key, fill] = [random(3), `${String(number)}-${String(random(100))}`, 'x'.repeat(random(sizeOfNext()))];
          const isDelete = random(10) < 4;
          if (isDelete) void collections[at]!.delete(key);
          else void collections[at]!.put(key, { n: mine, fill, sum: sumOf(mine, fill) });
          done.push(`${names[at]!} ${key} ${isDelete ? '-' : ''}${String(mine)}`);
        }
      });
      say(done.map((line) => `try ${line}`));
      await written;
      say(done.map((line) => `ack ${line}`));
    } catch (thrown) {
      const { code, message } = asProtoflyError(thrown);
      say([`refused ${code} ${message}`]);
    }
    if (random(5) === 0) await pause(random(4));
  }
};
await Promise.all([0, 1, 2, 3].map(worker));
