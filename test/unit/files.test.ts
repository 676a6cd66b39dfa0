import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { FileReceiver, FileSender, fileSource, isFileMessage, numbered, partName, readFileMessage, safeName, streamSource, type FileSenderInit, type SavedFile, type Source } from '../../src/client/files/index.js';
import { parseAddress, ProtoflyError, type Request, type Response } from '../../src/protocol/index.js';
import { smallDisk, withoutSmallDisk } from '../support/small-disk.js';

const SENDER = parseAddress('hyperty-runtime://a.example/r1/client/3');
const IN = parseAddress('hyperty://b.example/in');

// Timers of the system clock keep no process alive. A program's link would, but there is none here.
const alive = setInterval(() => undefined, 1000);
t.teardown(() => { clearInterval(alive); });

const folderOf = (t: Test): string => {
  const path = mkdtempSync(join(tmpdir(), 'pf-files-'));
  t.teardown(() => { rmSync(path, { recursive: true, force: true }); });
  return path;
};

const fileWith = (t: Test, content: Buffer, name = 'data.bin'): string => {
  const path = join(folderOf(t), name);
  writeFileSync(path, content);
  return path;
};

const shown = (folder: string): string[] => readdirSync(folder).filter((name) => !name.startsWith('.')).sort();
const hidden = (folder: string): string[] => readdirSync(folder).filter((name) => name.startsWith('.')).sort();
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** The fate of one message: how often it arrives, after how many others, and whether its answer arrives. */
interface Fate { readonly copies: number; readonly late: number; readonly answered: boolean }
const FINE: Fate = { copies: 1, late: 0, answered: true };

/** A program that saves files, behind an unreliable connection. */
class World {
  readonly saved: SavedFile[] = [];
  readonly failures: string[] = [];
  readonly answers: Response[] = [];
  receiver: FileReceiver;
  #next = 1;
  #restarting: Promise<void> = Promise.resolve();
  #waiting: { left: number; run: () => void }[] = [];
  readonly #pending = new Map<string, (response: Response) => void>();
  fate: (message: Request) => Fate = () => FINE;
  /** Called with each message before it arrives. */
  before: (message: Request, count: number) => Promise<void> = () => Promise.resolve();

  constructor(readonly folder: string, readonly maxTransfers = 64) {
    this.receiver = this.#make();
  }

  /** Replaces the program by another one. */
  restart(): Promise<void> {
    this.#restarting = this.#restarting.then(async () => {
      await this.receiver.close();
      this.receiver = this.#make();
    });
    return this.#restarting;
  }

  request = (value: unknown, timeoutMs: number, from = SENDER): Promise<Response> => {
    const message: Request = { id: `m${String(this.#next++)}`, type: 'create', from, to: IN, body: { value, expect: 'response' } };
    const fate = this.fate(message);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => { reject(new ProtoflyError('E_TIMEOUT', 'no answer')); }, timeoutMs).unref();
      this.#pending.set(String(message.id), (response) => {
        if (!fate.answered) return;
        clearTimeout(timer);
        resolve(response);
      });
      for (let copy = 0; copy < fate.copies; copy++) this.#waiting.push({ left: fate.late, run: () => { void this.#arrive(message); } });
      this.#move();
    });
  };

  async ask(value: unknown, from = SENDER): Promise<Response['body']> {
    return (await this.request(value, 2000, from)).body;
  }

  sender(source: Source, init: FileSenderInit = {}): FileSender {
    return new FileSender({ source, request: this.request }, { timeoutMs: 3000, stallMs: 40, ...init });
  }

  async #arrive(message: Request): Promise<void> {
    await this.before(message, Number(String(message.id).slice(1)));
    await this.receiver.take(message, IN);
  }

  /** Delivers late messages after others have overtaken them, or when nothing else comes. */
  #move(): void {
    const now = this.#waiting.filter(({ left }) => left <= 0);
    this.#waiting = this.#waiting.filter(({ left }) => left > 0);
    for (const waiting of this.#waiting) waiting.left -= 1;
    for (const { run } of now) run();
    if (this.#waiting.length > 0) setImmediate(() => { this.#move(); });
  }

  #make(): FileReceiver {
    return new FileReceiver(
      { answer: (response) => { this.answers.push(response); this.#pending.get(String(response.id))?.(response); } },
      { folder: this.folder, maxTransfers: this.maxTransfers, onFile: (file) => { this.saved.push(file); }, onFailure: (_, name, { message }) => { this.failures.push(`${name}: ${message}`); } },
    );
  }
}

const sendPath = async (world: World, path: string, init?: FileSenderInit) => {
  const source = await fileSource(path);
  try {
    return await world.sender(source, init).send();
  } finally {
    await source.close();
  }
};

const fileOf = (body: Response['body']): { transfer: string; offset: number } => (body.value as { file: { transfer: string; offset: number } }).file;
const base64 = (text: string): string => Buffer.from(text).toString('base64');

t.test('FIL-7: names that would do harm become names that don\'t', async (t) => {
  const table: readonly (readonly [given: string, kept: string])[] = [
    ['report.pdf', 'report.pdf'], ['../../etc/passwd', 'passwd'], ['/etc/shadow', 'shadow'], ['C:\\Windows\\system32\\x.dll', 'x.dll'], ['..', '__'], ['.', '_'], ['', 'file'], ['/', 'file'],
    ['.bashrc', '_bashrc'], ['-rf', '_rf'], ['--help', '__help'], ['a\u0000b', 'a_b'], ['a\nb\u001b[31m.txt', 'a_b_[31m.txt'], ['gpj.\u202eexe', 'gpj._exe'], ['zero\u200bwidth', 'zero_width'],
    ['CON', '_CON'], ['con.txt', '_con.txt'], ['Lpt1.tar.gz', '_Lpt1.tar.gz'], ['conto.txt', 'conto.txt'], ['nul ', '_nul'], ['x. . .', 'x'], ['a<b>|?*:"', 'a_b______'],
    ['cafe\u0301.txt', 'caf\u00e9.txt'], ['\ud800lone', '_lone'.replace('_', '\ufffd')], ['a\u00a0b', 'a b'], ['.x.protofly-part', '_x.protofly-part'], ['dir/', 'dir'], ['日本語.txt', '日本語.txt'],
  ];
  for (const [given, kept] of table) t.equal(safeName(given), kept, JSON.stringify(given));
  t.equal(Buffer.byteLength(safeName(`${'ü'.repeat(500)}.tar.gz`)) <= 200, true);
  t.match(safeName(`${'x'.repeat(500)}.json`), /^x+\.json$/, 'the ending stays');
  t.same([numbered('a.txt', 0), numbered('a.txt', 2), numbered('a', 1)], ['a.txt', 'a (2).txt', 'a (1)']);
});

t.test('FIL-7: whatever the name, it is one plain segment of bounded length, and its own safe name', async () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: fc.constantFrom('.', '/', '\\', ' ', '-', 'con', 'NUL', '\u0000', '\u202e', 'e\u0301', 'x', '🙂', '\ud83d') }), fc.string({ minLength: 300, maxLength: 900, unit: 'grapheme' }));
  fc.assert(fc.property(text, (given) => {
    const name = safeName(given);
    const safe = name !== '' && !/[/\\<>:"|?*\p{C}]/u.test(name) && !/^[.-]|[. ]$/.test(name) && name.isWellFormed() && name === name.normalize('NFC')
      && Buffer.byteLength(partName(numbered(name, 9999))) + 5 <= 255 && basename(join('/d', name)) === name && dirname(join('/d', name)) === '/d' && !/^(con|prn|aux|nul|com\d|lpt\d) *(\.|$)/i.test(name);
    if (!safe) throw new Error(JSON.stringify(name));
    if (safeName(name) !== name) throw new Error(`${JSON.stringify(name)} becomes ${JSON.stringify(safeName(name))}`);
  }), { numRuns: 2000 });
});

t.test('FIL-2: a file arrives as it was, also an empty one, with the permissions of any new file', async (t) => {
  const world = new World(folderOf(t));
  for (const size of [0, 1, 65_535, 65_536, 65_537, 3_000_001]) {
    const content = randomBytes(size);
    const sent = await sendPath(world, fileWith(t, content, `f${String(size)}`));
    t.match(sent, { size, sha256: sha256(content), resumedFrom: 0 });
    const path = join(world.folder, `f${String(size)}`);
    t.ok(readFileSync(path).equals(content), `${String(size)} bytes`);
    t.equal(statSync(path).mode & 0o777, 0o666 & ~process.umask());
  }
  t.same(hidden(world.folder), []);
  t.same(world.saved.map(({ size }) => size), [0, 1, 65_535, 65_536, 65_537, 3_000_001]);
});

t.test('which way a file took is what most of its answers tell; nothing where they tell nothing', async (t) => {
  const world = new World(folderOf(t));
  const via = async (way: (chunk: number) => string | undefined, size: number): Promise<string | undefined> => {
    let chunk = 0;
    const request = async (value: unknown, timeoutMs: number): Promise<Response> => {
      const response = await world.request(value, timeoutMs);
      return { ...response, body: { ...response.body, path: way(chunk++) } };
    };
    const source = await fileSource(fileWith(t, randomBytes(size)));
    try {
      return (await new FileSender({ source, request }).send()).via;
    } finally {
      await source.close();
    }
  };
  t.equal(await via(() => 'p2p', 200_000), 'p2p');
  t.equal(await via((chunk) => (chunk < 6 ? 'msg-node' : 'p2p'), 500_000), 'msg-node', 'the first five of eight, after the offer');
  t.equal(await via(() => 'local', 0), 'local', 'an empty file has its end');
  t.equal(await via(() => undefined, 1000), undefined);
  t.equal(await via(() => '/something/else', 1000), undefined);
});

t.test('FIL-4, FIL-5: whatever is lost, repeated or overtaken on the way, and whenever the receiver begins anew, the file arrives once and as it was', async (t) => {
  const fate = fc.record({ copies: fc.constantFrom(1, 1, 1, 1, 1, 1, 0, 2), late: fc.constantFrom(0, 0, 0, 1, 3, 12), answered: fc.constantFrom(true, true, true, true, true, false) });
  await fc.assert(fc.asyncProperty(
    fc.integer({ min: 0, max: 40 * 65_536 }), fc.array(fate, { maxLength: 25 }), fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 2 }), fc.boolean(),
    async (size, fates, restarts, asStream) => {
      const world = new World(folderOf(t));
      const content = randomBytes(size);
      world.fate = (message) => {
        // If the answer to the end is lost repeatedly, a second copy is left (FIL-6). Everything else may be
        // lost.
        const { file } = message.body?.value as { file: { end?: true } };
        const own = fates[Number(String(message.id).slice(1)) - 1] ?? FINE;
        return file.end === true ? { ...own, answered: true } : own;
      };
      world.before = async (_, count) => { if (restarts.includes(count)) await world.restart(); };
      const source = asStream ? streamSource((async function* () { await Promise.resolve(); yield content; })(), { name: 'data.bin' }) : await fileSource(fileWith(t, content));
      // With a shorter time, a busy machine's answer to the end would count as lost.
      await world.sender(source, { timeoutMs: 10_000, stallMs: 150 }).send();
      await Promise.all([source.close(), world.receiver.close()]);
      if (!readFileSync(join(world.folder, 'data.bin')).equals(content)) throw new Error('not what was sent');
      if (shown(world.folder).length !== 1 || hidden(world.folder).length !== 0) throw new Error(`left behind: ${readdirSync(world.folder).join(', ')}`);
    },
  ), { numRuns: 25, interruptAfterTimeLimit: 10_000 });
});

t.test('FIL-5: an attempt that was given up is gone on with, by another sender and another receiver', async (t) => {
  const world = new World(folderOf(t));
  const content = randomBytes(2_000_000);
  const path = fileWith(t, content);
  const given = new AbortController();
  await t.rejects(sendPath(world, path, { signal: given.signal, onProgress: (sent) => { if (sent > 700_000) given.abort(new ProtoflyError('E_ABORTED', 'enough')); } }), { code: 'E_ABORTED' });
  await world.restart();
  t.same(hidden(world.folder), ['.data.bin.protofly-part', '.data.bin.protofly-part.json']);
  t.equal(statSync(join(world.folder, '.data.bin.protofly-part')).mode & 0o777, 0o600, 'nobody else reads what isn\'t complete');
  // After a cut within a chunk, the transfer resumes there.
  truncateSync(join(world.folder, '.data.bin.protofly-part'), 700_001);
  const { resumedFrom } = await sendPath(world, path);
  t.equal(resumedFrom, 700_001);
  t.ok(readFileSync(join(world.folder, 'data.bin')).equals(content));
  t.same(hidden(world.folder), []);
});

t.test('FIL-6: a beginning that isn\'t that of the file is found out at the end, thrown away, and the file sent from its start', async (t) => {
  const world = new World(folderOf(t));
  const content = randomBytes(900_000);
  const path = fileWith(t, content);
  const given = new AbortController();
  await t.rejects(sendPath(world, path, { signal: given.signal, onProgress: () => { given.abort(new ProtoflyError('E_ABORTED', 'enough')); } }));
  await world.restart();
  writeFileSync(join(world.folder, '.data.bin.protofly-part'), randomBytes(300_000));
  t.equal((await sendPath(world, path)).resumedFrom, 300_000);
  t.ok(readFileSync(join(world.folder, 'data.bin')).equals(content));
  t.same(readdirSync(world.folder), ['data.bin'], 'and nothing else is left');
});

t.test('FIL-6: a file that changes while it is sent is an error, and leaves nothing', async (t) => {
  const world = new World(folderOf(t));
  for (const change of [(path: string) => { writeFileSync(path, randomBytes(900_000)); }, (path: string) => { truncateSync(path, 100_000); }]) {
    const path = fileWith(t, randomBytes(900_000));
    let changed = false;
    const onProgress = (): void => {
      if (!changed) change(path);
      changed = true;
    };
    await t.rejects(sendPath(world, path, { onProgress }), { code: 'E_CONFLICT', message: /has changed/ });
  }
  t.same(readdirSync(world.folder), []);
});

t.test('FIL-6: an answer to the end that is lost is asked for again, and makes no second file', async (t) => {
  const world = new World(folderOf(t));
  let ends = 0;
  world.fate = (message) => {
    const { file } = message.body?.value as { file: { end?: true } };
    if (file.end === true) ends += 1;
    return { ...FINE, answered: file.end !== true || ends > 1 };
  };
  await sendPath(world, fileWith(t, randomBytes(200_000)), { timeoutMs: 20_000, stallMs: 200 });
  t.same([ends, readdirSync(world.folder)], [2, ['data.bin']]);
});

t.test('FIL-7: no file is ever replaced, and no link followed', async (t) => {
  const world = new World(folderOf(t));
  const outside = fileWith(t, Buffer.from('precious'), 'outside');
  writeFileSync(join(world.folder, 'data.bin'), 'mine');
  symlinkSync(outside, join(world.folder, 'data (1).bin'));
  symlinkSync(outside, join(world.folder, '.data.bin.protofly-part'));
  const content = randomBytes(100_000);
  await sendPath(world, fileWith(t, content));
  t.equal(readFileSync(join(world.folder, 'data.bin'), 'utf8'), 'mine');
  t.equal(readFileSync(outside, 'utf8'), 'precious');
  t.ok(readFileSync(join(world.folder, 'data (2).bin')).equals(content));
});

t.test('FIL-3: two of the same name at once, from two senders, are two files', async (t) => {
  const world = new World(folderOf(t));
  const contents = [randomBytes(500_000), randomBytes(500_000)];
  await Promise.all(contents.map((content) => sendPath(world, fileWith(t, content))));
  const [first, second] = ['data.bin', 'data (1).bin'].map((name) => sha256(readFileSync(join(world.folder, name))));
  t.same([first, second].sort(), contents.map(sha256).sort());
  t.same(hidden(world.folder), []);
});

t.test('FIL-8: what is malformed is refused with a code, and costs only the file that it belongs to', async (t) => {
  const world = new World(folderOf(t));
  const codes = async (...values: unknown[]): Promise<number[]> => Promise.all(values.map(async (value) => (await world.ask(value)).code));
  const offer = { id: 'x', name: 'n' };
  t.same(new Set(await codes(
    { file: { ...offer, id: '' } }, { file: { ...offer, id: 7 } }, { file: { ...offer, name: '' } }, { file: { ...offer, name: 'x'.repeat(5000) } }, { file: { ...offer, name: ['n'] } },
    { file: { ...offer, size: -1 } }, { file: { ...offer, size: 1.5 } }, { file: { ...offer, size: '9' } }, { file: { ...offer, sha256: 'abc' } }, { file: { ...offer, mimetype: {} } },
    { file: { transfer: 't', offset: -1 }, content: 'YQ==' }, { file: { transfer: 't', offset: 0 } }, { file: { transfer: 't', offset: 0 }, content: 'no base64!' }, { file: { transfer: 't', offset: 0 }, content: 'YR==' },
    { file: { transfer: 't', end: true } }, { file: { transfer: 't', end: true, size: 1, sha256: 'x' } }, { file: { transfer: '' } },
  )), new Set([400]));
  t.equal((await world.ask({ file: { transfer: 't', offset: 0 }, content: 'A'.repeat(2_000_000) })).code, 413);

  const fine = fileOf(await world.ask({ file: { id: 'fine', name: 'fine' } }));
  const bad = fileOf(await world.ask({ file: { id: 'bad', name: 'bad', size: 3 } }));
  t.equal((await world.ask({ file: { transfer: bad.transfer, offset: 0 }, content: base64('too long') })).code, 400, 'behind the file\'s end');
  t.equal((await world.ask({ file: { transfer: bad.transfer, offset: 0 }, content: base64('abc') })).code, 400, 'that file is over');
  t.equal((await world.ask({ file: { transfer: fine.transfer, offset: 99_000_000 }, content: base64('x') })).code, 400, 'far ahead');
  t.notOk(existsSync(join(world.folder, 'fine')));
  const again = fileOf(await world.ask({ file: { id: 'fine', name: 'fine' } }));
  t.not(again.transfer, fine.transfer);
  t.equal((await world.ask({ file: { transfer: again.transfer, offset: 0 }, content: base64('abc') })).code, 200);
  t.equal((await world.ask({ file: { transfer: again.transfer, end: true, size: 3, sha256: sha256(Buffer.from('abc')) } })).code, 200);
  t.equal((await world.ask({ file: { transfer: again.transfer, end: true, size: 3, sha256: sha256(Buffer.from('abc')) } })).code, 200, 'an end that comes again is answered again');
  t.same(shown(world.folder), ['fine']);
});

t.test('FIL-3: a transfer is its sender\'s alone; one of another receiver isn\'t answered', async (t) => {
  const world = new World(folderOf(t));
  const { transfer } = fileOf(await world.ask({ file: { id: 'mine', name: 'mine' } }));
  const other = parseAddress('hyperty-runtime://a.example/r2/client/1');
  const answers = world.answers.length;
  const chunk = (token: string): Request => ({ id: 'c', type: 'create', from: other, to: IN, body: { expect: 'response', value: { file: { transfer: token, offset: 0 }, content: base64('x') } } });
  await world.receiver.take(chunk(transfer), IN);
  await world.receiver.take({ ...chunk('of another receiver'), from: SENDER }, IN);
  t.equal(world.answers.length, answers);
  t.same(readdirSync(world.folder), [], 'and nothing was written');
});

t.test('FIL-3: another sender\'s offer of the same content doesn\'t touch what the first has sent', async (t) => {
  const world = new World(folderOf(t));
  const { transfer } = fileOf(await world.ask({ file: { id: 'same', name: 'n' } }));
  await world.ask({ file: { transfer, offset: 0 }, content: base64('abc') });
  t.equal(fileOf(await world.ask({ file: { id: 'same', name: 'n' } }, parseAddress('hyperty-runtime://a.example/r2/client/1'))).offset, 0);
  t.equal(fileOf(await world.ask({ file: { id: 'same', name: 'n' } }, parseAddress('hyperty-runtime://a.example/r1/client/9'))).offset, 3, 'another program of the same runtime goes on with it');
  t.match(await world.ask({ file: { transfer, offset: 3 }, content: base64('d') }), { code: 403 }, 'and the one before is told');
});

t.test('FIL-8: so many files at once and no more', async (t) => {
  const world = new World(folderOf(t), 2);
  const tokens: string[] = [];
  for (const id of ['a', 'b', 'late']) tokens.push(fileOf(await world.ask({ file: { id, name: id } })).transfer);
  const chunk = (transfer: string): unknown => ({ file: { transfer, offset: 0 }, content: base64('x') });
  for (const token of tokens.slice(0, 2)) t.equal((await world.ask(chunk(token))).code, 200);
  t.match(await world.ask({ file: { id: 'c', name: 'c' } }), { code: 429, error: 'E_TOO_MANY' });
  t.match(await world.ask(chunk(tokens[2]!)), { code: 429, error: 'E_TOO_MANY' }, 'an offer that was accepted before holds no place');
  t.equal((await world.ask({ file: { id: 'a', name: 'a' } })).code, 200, 'one that is known comes in');
  t.equal((await world.ask({ file: { id: 'c', name: 'c' } })).code, 200, 'and gives its place back until its sender goes on here');
});

t.test('FIL-3: an offer takes no place, no name and no file: its sender may choose another receiver', async (t) => {
  const world = new World(folderOf(t), 1);
  const codes = new Set<number>();
  for (let id = 0; id < 1100; id++) codes.add((await world.ask({ file: { id: String(id), name: 'n' } })).code);
  t.same([...codes], [200]);
  t.same(readdirSync(world.folder), []);
  const path = fileWith(t, Buffer.from('chosen'), 'n');
  await sendPath(world, path);
  t.same(readdirSync(world.folder), ['n']);
});

/**
 * Two programs that save files in one folder, each of which gets everything. The sender prefers the answer of
 * one of them, if there is one.
 */
class Twins {
  readonly saved: SavedFile[][] = [[], []];
  prefers = 0;
  /** True while only the first program is there. */
  isAlone = false;
  #next = 1;
  readonly #receivers: FileReceiver[];
  readonly #pending = new Map<string, (by: number, response: Response) => void>();

  constructor(folder: string) {
    this.#receivers = this.saved.map((saved, by) => new FileReceiver(
      { answer: (response) => { this.#pending.get(String(response.id))?.(by, response); } },
      { folder, onFile: (file) => { saved.push(file); } },
    ));
  }

  async ask(value: unknown): Promise<Response['body']> {
    const message: Request = { id: `m${String(this.#next++)}`, type: 'create', from: SENDER, to: IN, body: { value, expect: 'response' } };
    const answers: (Response | undefined)[] = [];
    const answered = new Promise<void>((resolve) => { this.#pending.set(String(message.id), (by, response) => { answers[by] = response; resolve(); }); });
    await Promise.all([answered, ...this.#receivers.slice(0, this.isAlone ? 1 : 2).map((receiver) => receiver.take(message, IN))]);
    return (answers[this.prefers] ?? answers[1 - this.prefers]!).body;
  }
}

t.test('FIL-3: two programs that save in one folder don\'t touch each other\'s files of the same name', async (t) => {
  const folder = folderOf(t);
  const twins = new Twins(folder);
  const offered = async (id: string, by: number): Promise<string> => {
    twins.prefers = by;
    return fileOf(await twins.ask({ file: { id, name: 'n' } })).transfer;
  };
  const written = async (transfer: string, text: string): Promise<void> => { t.match(await twins.ask({ file: { transfer, offset: 0 }, content: base64(text) }), { code: 200 }); };
  // The second program comes later: otherwise both would begin with the same name.
  twins.isAlone = true;
  const first = await offered('x', 0);
  twins.isAlone = false;
  const second = await offered('y', 1);
  await written(first, 'first');
  await written(second, 'second');
  for (const [transfer, text] of [[first, 'first'], [second, 'second']] as const) {
    t.match(await twins.ask({ file: { transfer, end: true, size: text.length, sha256: sha256(Buffer.from(text)) } }), { code: 200 });
  }
  t.same(twins.saved.map((saved) => saved.map(({ path }) => readFileSync(path, 'utf8'))), [['first'], ['second']]);
  t.same(readdirSync(folder).sort(), ['n', 'n (1)']);
});

t.test('FIL-3: a sender that goes on with the other program leaves one file, whole; the first lets go of it', async (t) => {
  const folder = folderOf(t);
  const twins = new Twins(folder);
  const content = Buffer.from('abcdef');
  const offer = { file: { id: 'x', name: 'n', size: 6 } };
  const first = fileOf(await twins.ask(offer));
  t.match(await twins.ask({ file: { transfer: first.transfer, offset: 0 }, content: base64('abc') }), { code: 200 });
  twins.prefers = 1;
  const second = fileOf(await twins.ask(offer));
  t.not(second.transfer, first.transfer);
  t.equal(second.offset, 3, 'what the other program has written isn\'t sent again');
  t.match(await twins.ask({ file: { transfer: second.transfer, offset: 3 }, content: base64('def') }), { code: 200 });
  t.match(await twins.ask({ file: { transfer: second.transfer, end: true, size: 6, sha256: sha256(content) } }), { code: 200 });
  t.same(readdirSync(folder), ['n']);
  t.match(await twins.ask({ file: { transfer: first.transfer, offset: 3 }, content: base64('XXX') }), { code: 408 }, 'a chunk that comes late');
  t.ok(readFileSync(join(folder, 'n')).equals(content), 'changes nothing');
  t.same(readdirSync(folder), ['n']);
});

t.test('FIL-3: a part that another program has begun anew isn\'t taken for one\'s own', async (t) => {
  const folder = folderOf(t);
  const twins = new Twins(folder);
  const { transfer } = fileOf(await twins.ask({ file: { id: 'x', name: 'n', size: 6 } }));
  t.match(await twins.ask({ file: { transfer, offset: 0 }, content: base64('abc') }), { code: 200 });
  rmSync(join(folder, '.n.protofly-part'));
  writeFileSync(join(folder, '.n.protofly-part'), 'x');
  t.match(await twins.ask({ file: { transfer, offset: 3 }, content: base64('def') }), { code: 200 }, 'not seen yet');
  t.match(await twins.ask({ file: { transfer, end: true, size: 6, sha256: sha256(Buffer.from('abcdef')) } }), { code: 408 });
  t.same(shown(folder), []);
});

t.test('FIL-8: what can\'t be written is refused when it is offered', async (t) => {
  const world = new World(folderOf(t));
  t.match(await world.ask({ file: { id: 'huge', name: 'huge', size: Number.MAX_SAFE_INTEGER } }), { code: 403, error: 'E_REFUSED' });
  rmSync(world.folder, { recursive: true });
  t.match(await world.ask({ file: { id: 'a', name: 'a' } }), { code: 403, error: 'E_REFUSED' });
  mkdirSync(world.folder);
  t.equal((await world.ask({ file: { id: 'a', name: 'a' } })).code, 200);
});

t.test('FIL-8: a folder that can\'t be written is told to the sender at once, and nothing is left open', async (t) => {
  const folder = folderOf(t);
  const world = new World(join(folder, 'gone'));
  mkdirSync(world.folder);
  const path = fileWith(t, randomBytes(3_000_000));
  const seen: number[] = [];
  world.before = (message) => {
    const { file } = message.body?.value as { file: { offset?: number } };
    if (file.offset === 0 && existsSync(world.folder)) rmSync(world.folder, { recursive: true });
    return Promise.resolve();
  };
  await t.rejects(sendPath(world, path, { onProgress: (sent) => { seen.push(sent); } }), { code: 'E_REFUSED', message: /can't write it: ENOENT/ });
  t.same(seen, []);
  t.match(world.failures, [/^data.bin: /]);
});

t.test('FIL-1: where nobody takes files the sender is told what to do; silence is nobody', async (t) => {
  const world = new World(folderOf(t));
  const source = await fileSource(fileWith(t, Buffer.from('x')));
  t.teardown(() => source.close());
  const send = (request: (value: unknown, timeoutMs: number) => Promise<Response>) => new FileSender({ source, request }, { timeoutMs: 100 }).send();
  const answer = (body: Response['body']) => () => Promise.resolve<Response>({ id: 1, type: 'response', from: IN, to: SENDER, body });
  await t.rejects(send(answer({ code: 408, error: 'E_UNAVAILABLE' })), { code: 'E_UNAVAILABLE', hint: /--save/ });
  await t.rejects(send(() => Promise.reject(new ProtoflyError('E_TIMEOUT', 'no answer'))), { code: 'E_UNAVAILABLE', hint: /--save/ });
  await t.rejects(send(answer({ code: 200, value: 'thanks' })), { code: 'E_REFUSED', hint: /--save/ }, 'a program that answers everything takes no files by that');
  await t.rejects(send(answer({ code: 200, value: { file: { transfer: 't', offset: 99 } } })), { code: 'E_REFUSED' }, 'nobody has more than there is');
  t.same(world.saved, []);
});

t.test('FIL-5: a receiver that stays away ends it when the time is up, one that comes back doesn\'t', async (t) => {
  const world = new World(folderOf(t));
  const path = fileWith(t, randomBytes(2_000_000));
  let away = false;
  world.fate = () => (away ? { ...FINE, copies: 0 } : FINE);
  await t.rejects(sendPath(world, path, { timeoutMs: 300, stallMs: 40, onProgress: (sent) => { away = sent > 500_000; } }), { code: 'E_TIMEOUT' });
  away = false;
  let back = false;
  const { resumedFrom } = await sendPath(world, path, { timeoutMs: 2000, stallMs: 40, onProgress: (sent) => {
    if (back || sent < 1_200_000) return;
    [away, back] = [true, true];
    setTimeout(() => { away = false; }, 100);
  } });
  t.ok(resumedFrom > 500_000 && back);
  t.same(shown(world.folder), ['data.bin']);
});

t.test('a stream is held no longer than needed: what the receiver hasn\'t got, and no more', async (t) => {
  let pulled = 0;
  const source = streamSource((async function* () {
    for (; pulled < 100; pulled++) { await Promise.resolve(); yield Buffer.alloc(65_536, pulled); }
  })(), { name: 's' });
  const [first, second] = await Promise.all([source.read(0), source.read(0)]);
  t.ok(first.equals(second) && pulled <= 1, 'asked twice, read once');
  await source.read(65_536);
  t.equal((await source.read(70_000)).length, 2 * 65_536 - 70_000, 'also from the middle');
  source.release(65_536);
  await t.rejects(source.read(0), { code: 'E_UNAVAILABLE' });
  t.equal(pulled, 1, 'nothing was read that wasn\'t asked for');
  await source.close();
});

t.test('what is no readable file is said before anything is sent', async (t) => {
  const folder = folderOf(t);
  await t.rejects(fileSource(join(folder, 'none')), { code: 'E_NOT_FOUND' });
  await t.rejects(fileSource(folder), { code: 'E_USAGE', message: /is a folder/ });
  await t.rejects(fileSource('/dev/null'), { code: 'E_USAGE', message: /is no file/ });
  const secret = fileWith(t, Buffer.from('x'));
  chmodSync(secret, 0);
  if (process.getuid?.() !== 0) await t.rejects(fileSource(secret), { code: 'E_USAGE' });
});

t.test('messages that only look a little like files are messages', async (t) => {
  const message = (value: unknown, expect: unknown = 'response', type: Request['type'] = 'create'): Request => ({ id: 1, type, from: SENDER, to: IN, body: { value, expect } });
  t.ok(isFileMessage(message({ file: { id: 'i', name: 'n' } })));
  for (const other of [message('file'), message(null), message({ file: 'x' }), message({ file: { name: 'n' } }), message({ file: { id: 'i', name: 'n' } }, 'receipt'), message({ file: { id: 'i', name: 'n' } }, 'response', 'execute')]) t.notOk(isFileMessage(other));
  fc.assert(fc.property(fc.object({ key: fc.constantFrom('file', 'id', 'name', 'transfer', 'offset', 'size', 'end', 'sha256', 'content'), maxDepth: 3 }), (value) => {
    try {
      readFileMessage(message(value));
    } catch (thrown) {
      if (!(thrown instanceof ProtoflyError)) throw thrown;
    }
  }), { numRuns: 2000 });
});

t.test('FIL-8: a disk that fills up refuses in words, keeps what can be gone on with, and takes files when there is room', { skip: withoutSmallDisk() }, async (t) => {
  const disk = await smallDisk(t, 2);
  const world = new World(disk.path);
  const stream = (): Source => streamSource((async function* () { for (let piece = 0; piece < 40; piece++) { await Promise.resolve(); yield randomBytes(100_000); } })(), { name: 'stream' });
  await t.rejects(world.sender(stream()).send(), { code: 'E_REFUSED', message: /there is no room for it/ });
  t.same(hidden(disk.path), [], 'nothing stays of a stream: its sender can\'t go on');
  const path = fileWith(t, randomBytes(1_500_000));
  let count = 0;
  world.before = () => {
    if (++count === 16) disk.fill();
    return Promise.resolve();
  };
  await t.rejects(sendPath(world, path), { code: 'E_REFUSED', message: /there is no room for it/ });
  t.ok(hidden(disk.path).includes('.data.bin.protofly-part'), 'the beginning of a file stays');
  world.before = () => Promise.resolve();
  disk.free();
  const { resumedFrom } = await sendPath(world, path);
  t.ok(resumedFrom > 0, String(resumedFrom));
  t.same(shown(disk.path), ['data.bin']);
});
