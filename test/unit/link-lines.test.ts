import t from 'tap';
import { LineSplitter } from '../../src/link/stream/lines.js';

const splitter = (maxLine: number): { lines: LineSplitter; rejected: string[]; take: () => string[] } => {
  const rejected: string[] = [];
  const lines = new LineSplitter({ maxLine, onReject: (error) => { rejected.push(error.code); } });
  const take = (): string[] => {
    const got: string[] = [];
    for (let line = lines.next(); line !== undefined; line = lines.next()) got.push(line);
    return got;
  };
  return { lines, rejected, take };
};

t.test('however the bytes are cut, the lines are the same', (t) => {
  const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
  t.comment(`SEED=${String(seed)}`);
  let state = seed;
  const next = (below: number): number => (state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff) % below;
  for (let round = 0; round < 300; round++) {
    const expected: string[] = [];
    const refused: string[] = [];
    const pieces: Buffer[] = [];
    for (let count = next(20); count >= 0; count--) {
      const kind = next(6);
      const text = kind === 0 ? '' : kind === 1 ? 'é€😀'.repeat(next(8)) : 'x'.repeat(next(90));
      if (kind === 2) pieces.push(Buffer.from([0x61, 0xff, 0x0a]));
      else if (kind === 3) pieces.push(Buffer.from(`${'y'.repeat(101 + next(300))}\n`));
      else pieces.push(Buffer.from(`${text}\n`));
      if (kind === 2) refused.push('E_MESSAGE');
      else if (kind === 3) refused.push('E_TOO_LARGE');
      else if (text !== '') expected.push(text);
    }
    const bytes = Buffer.concat(pieces);
    const { lines, rejected, take } = splitter(100);
    const got: string[] = [];
    for (let at = 0; at < bytes.length;) {
      const size = 1 + next(next(2) === 0 ? 4 : 200);
      lines.push(bytes.subarray(at, at + size));
      at += size;
      if (next(2) === 0) got.push(...take());
    }
    got.push(...take());
    if (JSON.stringify(got) !== JSON.stringify(expected) || JSON.stringify(rejected.sort()) !== JSON.stringify(refused.sort())) {
      t.same({ got, rejected }, { got: expected, rejected: refused });
    }
  }
  t.pass('300 rounds');
  t.end();
});

t.test('a line of the greatest size in 16384 pieces costs time in proportion to its size', (t) => {
  const { lines, take } = splitter(16 * 1024 * 1024);
  const piece = Buffer.alloc(1024, 'x');
  const start = performance.now();
  for (let count = 0; count < 16 * 1024; count++) lines.push(piece);
  lines.push(Buffer.from('\n'));
  const [line] = take();
  t.equal(line?.length, 16 * 1024 * 1024);
  // Copying all earlier chunks with each new one would be 128 GiB.
  t.ok(performance.now() - start < 5000);
  t.end();
});

t.test('a line exactly at the limit passes, one byte more doesn\'t; an endless one isn\'t kept', (t) => {
  const { lines, take, rejected } = splitter(10);
  lines.push(Buffer.from(`${'x'.repeat(10)}\n${'y'.repeat(11)}\n`));
  lines.push(Buffer.from('1234567890'));
  lines.push(Buffer.from('\n'));
  for (let count = 0; count < 1000; count++) lines.push(Buffer.alloc(1000, 'z'));
  lines.push(Buffer.from('z\nlast\n'));
  t.same(take(), ['x'.repeat(10), '1234567890', 'last']);
  t.same(rejected, ['E_TOO_LARGE', 'E_TOO_LARGE']);
  t.end();
});

t.test('only an empty line at the very end is an orderly end', (t) => {
  const table: readonly (readonly [readonly string[], boolean])[] = [
    [['a\n'], false], [['a\n\n'], true], [['a\n', '\n'], true], [['\n'], true], [['a', '\n', '\n'], true], [['a', '\n'], false],
    [['a\n\nb\n'], false], [['a\n\nb'], false], [['\n', 'b'], false], [['a\n\n', 'b\n'], false], [['x'.repeat(200), '\n\n'], true], [['x'.repeat(200)], false], [[], false],
  ];
  for (const [pieces, expected] of table) {
    const { lines, take } = splitter(100);
    for (const piece of pieces) lines.push(Buffer.from(piece));
    take();
    lines.end();
    t.equal(lines.endedInOrder, expected, JSON.stringify(pieces.map((piece) => piece.slice(0, 10))));
  }
  t.end();
});
