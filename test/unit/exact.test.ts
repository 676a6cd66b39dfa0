import fc from 'fast-check';
import t from 'tap';
import { changeIn } from '../../src/cli/messages/exact.js';

const change = (text: string): string | undefined => changeIn(text, JSON.parse(text));

t.test('numbers that a double can\'t hold are found, others aren\'t', (t) => {
  const kept = [
    '0', '-0', '0.1', '1.0', '1E2', '1e23', '0e999', '0.000', '9007199254740992', '100000000000000000000', '1.000000000000000000000', '1.7976931348623157e308', '5e-324', '4.9e-324', '0.10000000000000001',
    '"12345678901234567890"', '{"12345678901234567890":"1e400"}', '["\\"1e400"]',
  ];
  for (const text of kept) t.equal(change(text), undefined, text);
  for (const text of ['12345678901234567890', '-12345678901234567890', '9007199254740993', '123456789012345678', '1e400', '-1e400', '1e-400', '3.141592653589793238', '{"a":[{"b":1e999}]}', '["\\\\",1e400]', `1${'0'.repeat(60)}1${'0'.repeat(60)}`]) {
    t.match(change(text), /number/, text);
  }
  t.end();
});

t.test('a zero at the end of an integer counts', (t) => {
  t.match(change('1180591620717411172350'), /more digits/);
  t.equal(change('1180591620717411172352'), undefined);
  t.end();
});

t.test('what a program with doubles writes is taken, an integer that isn\'t a double is not', (t) => {
  fc.assert(fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) =>
    change(JSON.stringify(value)) === undefined && change(value.toPrecision(17)) === undefined && change(value.toExponential(20)) === undefined));
  fc.assert(fc.property(fc.bigInt({ min: 2n ** 53n, max: 2n ** 70n }), (value) => {
    const isKept = BigInt(Number(value)) === value || String(Number(value)) === String(value);
    return (change(String(value)) === undefined) === isKept;
  }));
  t.pass();
  t.end();
});

t.test('a name that is there twice in one object is found', (t) => {
  for (const text of ['{"a":1,"a":2}', '[{"b":{"a":1,"\\u0061":1}}]']) t.match(change(text), /twice/, text);
  for (const text of ['{}', '[]', '{"a":{"a":{"a":[]}}}', '[{"a":1},{"a":2}]', '{"a":"b:c","d\\":":":"}', '{"__proto__":{"a":1}}', `${'['.repeat(100_000)}${']'.repeat(100_000)}`]) t.equal(change(text), undefined, text.slice(0, 40));
  fc.assert(fc.property(fc.json(), (text) => change(text) === undefined));
  t.end();
});
