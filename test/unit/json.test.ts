import fc from 'fast-check';
import t from 'tap';
import { answerable, fieldsOf, MAX_JSON_DEPTH, MAX_JSON_VALUES, parseJson } from '../../src/protocol/index.js';

const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
const PADDING = ' '.repeat(2000);

t.test('MSG-9: text is refused before it is parsed if that would cost much', (t) => {
  t.doesNotThrow(() => parseJson(PADDING + nested(MAX_JSON_DEPTH)));
  t.throws(() => parseJson(PADDING + nested(MAX_JSON_DEPTH + 1)), { code: 'E_MESSAGE', message: /deeper/ });
  t.throws(() => parseJson(`[${'{"a":'.repeat(MAX_JSON_DEPTH)}`), { code: 'E_MESSAGE', message: /deeper/ });
  t.doesNotThrow(() => parseJson(`[${'1,'.repeat(MAX_JSON_VALUES - 1)}1]`));
  t.throws(() => parseJson(`[${'1,'.repeat(MAX_JSON_VALUES)}1]`), { code: 'E_TOO_LARGE' });
  t.doesNotThrow(() => parseJson(`[${'1,'.repeat(MAX_JSON_VALUES)}1]`, Infinity));
  t.end();
});

t.test('MSG-9: brackets and commas in strings don\'t count', (t) => {
  for (const inside of ['[', ',', '\\"[', '\\\\\\"{', '"', '\\']) {
    const text = JSON.stringify([inside.repeat(300_000), 'x']);
    t.same(parseJson(text), JSON.parse(text));
  }
  t.throws(() => parseJson(`"${'\\'.repeat(5000)}"${nested(2000)}`), { code: 'E_MESSAGE' });
  t.throws(() => parseJson(`"${'a'.repeat(5000)}`), { code: 'E_MESSAGE' });
  t.end();
});

t.test('any JSON is parsed as before', (t) => {
  fc.assert(fc.property(fc.json({ maxDepth: 5 }), (text) => { t.ok(JSON.stringify(parseJson(PADDING + text)) === JSON.stringify(JSON.parse(text))); }), { numRuns: 300 });
  t.end();
});

t.test('a header is told from a frame that is too expensive to parse', (t) => {
  const header = '"id":7,"type":"create","from":"hyperty://a.example/a","to":"hyperty://a.example/b"';
  t.match(answerable(fieldsOf(`{${header},"body":{"value":${nested(5000)}}}`)), { id: 7, from: 'hyperty://a.example/a', to: 'hyperty://a.example/b' });
  t.equal(answerable(fieldsOf(`{${header.replace('create', 'Response')},"body":{"value":${nested(5000)}}}`)), undefined);
  t.equal(answerable(fieldsOf(`{"body":{"value":${nested(5000)}},${header}}`)), undefined);
  t.end();
});
