import '../support/bare-children.js';
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { endianness } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import t from 'tap';
import { asProtoflyError, type ProtoflyError } from '../../src/protocol/index.js';
import { openLmdbStore } from '../../src/store/lmdb/index.js';
import { temporaryFolder } from '../support/domain-server.js';
import { smallDisk, withoutSmallDisk, type SmallDisk } from '../support/small-disk.js';
import { until } from '../support/until.js';

const skip = withoutSmallDisk();
const root = fileURLToPath(new URL('../..', import.meta.url));

/** Bundles the writer into one file, which starts much faster than its source. The file must lie where lmdb can be resolved. */
const writer = (): string => {
  const outfile = join(root, `dist/.build/test/store-churn-${String(process.pid)}.mjs`);
  buildSync({ entryPoints: [join(root, 'test/support/store-churn.ts')], bundle: true, platform: 'node', format: 'esm', packages: 'external', outfile, logLevel: 'warning' });
  return outfile;
};
const errorOf = async (promise: Promise<unknown>): Promise<ProtoflyError | undefined> => promise.then(() => undefined, asProtoflyError);

t.test('a full disk: what finds no room is refused, what is there stays, and all is as before when there is room again', { skip }, async (t) => {
  const disk = await smallDisk(t, 4);
  const path = join(disk.path, 'state');
  const store = openLmdbStore({ path });
  t.teardown(() => store.close());
  const [a, b] = [store.collection<string>('a'), store.collection<string>('b')];
  await Promise.all([a.put('kept', 'yes'), b.put('gone', 'x'.repeat(200_000))]);
  disk.fill();
  let refused = 0;
  for (let i = 0; i < 20; i += 1) {
    const error = await errorOf(store.transaction(() => { void a.put('half', 'x'.repeat(20_000 * (i % 7))); void b.put(`new ${String(i)}`, 'x'.repeat(50_000)); }));
    if (error === undefined) continue;
    refused += 1;
    t.match(error, { code: 'E_STORE', message: `no space left on the disk of ${path} (ENOSPC)`, hint: /make room/ });
    t.match(error.cause, { code: 'ENOSPC' });
    t.equal(b.get(`new ${String(i)}`), undefined, 'nothing of what was refused is seen');
  }
  t.ok(refused > 15, `${String(refused)} of 20 were refused`);
  t.equal(a.get('kept'), 'yes');
  t.match(await errorOf(Promise.resolve().then(() => store.collection('another').put('k', 'x'.repeat(500_000)))), { code: 'E_STORE', message: /ENOSPC/ });
  disk.free();
  await a.put('again', 'x'.repeat(50_000));
  await store.collection('another').put('k', 1);
  t.equal(await b.delete('gone'), true);
  await store.close();
  const after = openLmdbStore({ path });
  t.same([...after.collection('a').entries()].map(([key]) => key).filter((key) => key !== 'half'), ['again', 'kept']);
  await after.close();
});

t.test('closing doesn\'t wait for room', { skip }, async (t) => {
  const disk = await smallDisk(t, 4);
  const store = openLmdbStore({ path: disk.path });
  const c = store.collection<string>('c');
  await c.put('k', 'v');
  disk.fill();
  for (let i = 0; i < 6; i += 1) t.ok(await errorOf(c.put('k', 'x'.repeat(400_000))));
  const last = errorOf(c.put('k', 'x'.repeat(400_000)));
  await store.close();
  t.match(await last, { code: 'E_STORE' });
});

t.test('a new store on a full disk is an E_STORE, and can be made later', { skip }, async (t) => {
  const disk = await smallDisk(t, 4);
  for (const left of [0, 4096, 8192, 12_288, 16_384, 65_536, 250_000]) {
    const path = join(disk.path, String(left));
    disk.fill(left);
    const opened = errorOf(Promise.resolve().then(async () => {
      const store = openLmdbStore({ path });
      try {
        await store.collection('c').put('k', 'x'.repeat(400_000));
      } finally {
        await store.close();
      }
    }));
    t.match(await opened, { code: 'E_STORE', message: /ENOSPC/ }, `with ${String(left)} bytes left`);
    t.same(readdirSync(path).filter((name) => name.endsWith('.part')), []);
    disk.free();
    const store = openLmdbStore({ path });
    await store.collection('c').put('k', 1);
    await store.close();
    rmSync(path, { recursive: true });
  }
});

t.test('files that aren\'t a database, and databases that were cut short, are an E_STORE that names the file', async (t) => {
  for (const [what, damage] of Object.entries({
    'something else': (file: string) => { writeFileSync(file, 'x'.repeat(20_000)); },
    'a few bytes': (file: string) => { writeFileSync(file, 'x'); },
    'half of the head': (file: string) => { truncateSync(file, 4100); },
    'zeros in its place': (file: string) => { writeFileSync(file, Buffer.alloc(20_000)); },
  })) {
    const path = temporaryFolder(t);
    const store = openLmdbStore({ path });
    await store.collection('c').put('k', 1);
    await store.close();
    const file = join(path, 'data.mdb');
    damage(file);
    t.throws(() => openLmdbStore({ path }), { code: 'E_STORE', message: `${file} is damaged, or not a database` }, what);
  }
});

/** Returns the used extent of the database and the size of its file, in bytes. @see lmdb's MDB_meta */
const extentOf = (file: string): { readonly used: number; readonly size: number } => {
  const head = readFileSync(file).subarray(0, 2 * 4096);
  const [last] = [0, 4096].map((at) => ({ page: Number(head.readBigUInt64LE(at + 144)), transaction: head.readBigUInt64LE(at + 152) })).sort((a, b) => Number(b.transaction - a.transaction));
  return { used: (last!.page + 1) * 4096, size: statSync(file).size };
};

t.test('the room that a transaction may need has its place on disk before: lmdb never makes its file longer', { skip: endianness() !== 'LE' }, async (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
  t.comment(`seed ${String(seed)}`);
  let state = seed;
  const random = (below: number): number => { state = (state * 1103515245 + 12345) % 2147483648; return Math.floor((state / 2147483648) * below); };
  const path = temporaryFolder(t);
  const store = openLmdbStore({ path });
  t.teardown(() => store.close());
  const collections = ['a', 'b', 'c'].map((name) => store.collection<string>(name));
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 60; round += 1) {
    const [size, isDelete] = [[20, 300, 1990, 2030, 9000, 200_000][random(6)]!, random(4) === 0];
    const count = size > 5000 ? 1 + random(10) : [1, 3, 30, 600][random(4)]!;
    await Promise.all(Array.from({ length: count }, () => {
      const collection = collections[random(3)]!;
      const key = `${'k'.repeat(random(3) === 0 ? random(400) : 1)}${String(random(2000))}`;
      return isDelete ? collection.delete(key) : collection.put(key, 'x'.repeat(random(size)));
    }));
    const extent = extentOf(join(path, 'data.mdb'));
    if (!isDelete) least = Math.min(least, extent.size - extent.used);
  }
  t.ok(least >= 64 * 4096, `${String(least)} bytes are left at least: what deletes may use`);
});

/** Tracks the writers' output: the last acknowledged number of each key, and those tried since. A minus is a delete. */
class Ledger {
  readonly wrong: string[] = [];
  last = 0;
  acknowledged = 0;
  refused = 0;
  readonly #entries = new Map<string, { sure: number; tried: number[] }>();
  readonly #found = new Map<string, number>();

  forget(): void {
    this.#entries.clear();
  }

  hear(line: string): void {
    const [what, ...rest] = line.split(' ');
    const [key, n] = [`${rest[0] ?? ''} ${rest[1] ?? ''}`, Number(rest[2])];
    if (what === 'have') this.#found.set(key, n);
    else if (what === 'ready') this.#compare();
    else if (what === 'try') {
      this.last = Math.max(this.last, Math.abs(n));
      this.#entry(key).tried.push(n);
    } else if (what === 'ack') {
      this.acknowledged += 1;
      const entry = this.#entry(key);
      const at = entry.tried.indexOf(n);
      if (at >= 0) Object.assign(entry, { sure: n, tried: entry.tried.slice(at + 1) });
    } else if (what === 'refused' && /^refused E_STORE no space left on the disk of .*\(ENOSPC\)$/.test(line)) this.refused += 1;
    else this.wrong.push(line);
  }

  #entry(key: string): { sure: number; tried: number[] } {
    let entry = this.#entries.get(key);
    if (entry === undefined) this.#entries.set(key, entry = { sure: -1, tried: [] });
    return entry;
  }

  /** Compares the entries found: each must be the last acknowledged one, or one tried since. */
  #compare(): void {
    for (const key of new Set([...this.#entries.keys(), ...this.#found.keys()])) {
      const entry = this.#entry(key);
      const found = this.#found.get(key);
      const may = [entry.sure, ...entry.tried];
      if (found === undefined ? !may.some((n) => n < 0) : !may.includes(found)) this.wrong.push(`${key} is ${String(found)}, not one of ${may.join(', ')}`);
      Object.assign(entry, { sure: found ?? -1, tried: [] });
    }
    this.#found.clear();
  }
}

/** One life of a writer: its disk fills up and gets room again all the time; then there is room, it has to write, and is killed. */
const life = async (script: string, disk: SmallDisk, ledger: Ledger, random: (below: number) => number): Promise<void> => {
  const child = spawn(process.execPath, [script, join(disk.path, 'state'), String(1 + random(1e9)), String(ledger.last)], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => { said = `${said}${chunk.toString()}`.slice(-2000); });
  let end: string | undefined;
  const ended = new Promise<void>((resolve) => { child.once('close', (code, signal) => { end = `${String(code)} ${String(signal)}`; resolve(); }); });
  let ready = false;
  createInterface({ input: child.stdout }).on('line', (line) => { ledger.hear(line); ready ||= line === 'ready'; });
  try {
    await until('the writer is ready', () => ready || end !== undefined, 60_000);
    for (let turn = 0; turn < 30 && end === undefined; turn += 1) {
      const what = random(3);
      if (what === 0) disk.free();
      else disk.fill(what === 1 ? 0 : random(200_000));
      await pause(random(30));
    }
    disk.free();
    const before = ledger.acknowledged;
    await until('it writes again', () => ledger.acknowledged > before || end !== undefined, 60_000);
    if (random(2) === 0) disk.fill();
    if (end !== undefined) ledger.wrong.push(`the writer has ended by itself: ${end}: ${said}`);
  } finally {
    child.kill('SIGKILL');
    await ended;
    disk.free();
  }
};

t.test('through many lives, ended by SIGKILL, on a disk that is full now and then: nobody dies, and nothing acknowledged is lost', { skip, timeout: 280_000 }, async (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
  t.comment(`seed ${String(seed)}`);
  let state = seed;
  const random = (below: number): number => { state = (state * 1103515245 + 12345) % 2147483648; return Math.floor((state / 2147483648) * below); };
  const disk = await smallDisk(t, 4);
  const script = writer();
  t.teardown(() => { rmSync(script, { force: true }); });
  const ledger = new Ledger();
  const lives = Number(process.env['LIVES'] ?? 8);
  for (let number = 0; number < lives; number += 1) {
    // A database that has grown once has room inside.
    if (number % 3 === 2) { rmSync(join(disk.path, 'state'), { recursive: true, force: true }); ledger.forget(); }
    await life(script, disk, ledger, random);
    if (ledger.wrong.length > 0) break;
  }
  t.same(ledger.wrong, []);
  t.comment(`${String(ledger.acknowledged)} acknowledged, ${String(ledger.refused)} refused`);
  t.ok(ledger.acknowledged > lives && ledger.refused > 0);
});
