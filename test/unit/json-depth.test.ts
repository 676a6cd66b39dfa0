import fc from 'fast-check';
import t from 'tap';
import { decodeMessage } from '../../src/protocol/index.js';
import { assertShallow } from '../../src/protocol/json-depth.js';

const depthOf = (value: unknown): number =>
  typeof value !== 'object' || value === null ? 0 : 1 + Math.max(0, ...Object.values(value).map(depthOf));

t.test('the depth that is judged on the text is the depth of the value', (t) => {
  fc.assert(fc.property(fc.jsonValue({ maxDepth: 12 }), fc.integer({ min: 0, max: 12 }), (value, most) => {
    const text = JSON.stringify(value);
    for (const json of [text, Buffer.from(text)]) {
      let isRefused = false;
      try { assertShallow(json, most); } catch { isRefused = true; }
      if (isRefused !== depthOf(value) > most) return false;
    }
    return true;
  }), { numRuns: 500 });
  t.end();
});

t.test('brackets and escaped quotes in strings don\'t count', (t) => {
  for (const text of [JSON.stringify(['[[[[{{{{']), JSON.stringify({ 'a"[[[[': '\\"[[[\\\\' }), `["${'\\\\'.repeat(50)}", "[[[["]`]) {
    t.doesNotThrow(() => { assertShallow(text, 2); }, text);
  }
  t.end();
});

t.test('a frame of 8 million brackets is refused within milliseconds', (t) => {
  for (const frame of ['['.repeat(8_000_000), '{"a":'.repeat(3_000_000), `{"id":1,"type":"read","from":"x","to":"y","body":${'['.repeat(4_000_000)}${']'.repeat(4_000_000)}}`]) {
    // As it comes from a socket: in one piece, not as a rope of repeated pieces.
    const text = Buffer.from(frame).toString();
    const started = performance.now();
    t.throws(() => decodeMessage(text), { code: 'E_MESSAGE', message: /nested/ });
    const took = performance.now() - started;
    t.ok(took < 50, `${String(Math.round(took))} ms`);
  }
  t.end();
});

t.test('a body of the deepest nesting passes, and one more doesn\'t', (t) => {
  const nested = (depth: number): string => `{"id":1,"type":"create","from":"hyperty://a/b","to":"hyperty://a/c","body":{"value":${'['.repeat(depth)}${']'.repeat(depth)}}}`;
  t.equal(decodeMessage(nested(100)).type, 'create');
  t.throws(() => decodeMessage(nested(101)), { code: 'E_MESSAGE', message: /nested deeper than 10/ });
  t.end();
});
