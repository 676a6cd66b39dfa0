import fc from 'fast-check';
import t from 'tap';
import { CarrierDecoder, cutText } from '../../src/kit/carried.js';
import { decodeMessage, encodeMessage, REQUEST_TYPES, respond, type Message, type Request } from '../../src/protocol/index.js';

const FROM = 'hyperty://example.com/a';
const TO = 'hyperty-runtime://example.com/r/ua';

const messages = fc.record({
  id: fc.oneof(fc.integer(), fc.string({ minLength: 1, maxLength: 20 }).filter((id) => id.isWellFormed())),
  type: fc.constantFrom(...REQUEST_TYPES),
  from: fc.constantFrom(FROM, TO, 'HYPERTY://example.com/b'),
  to: fc.oneof(fc.constantFrom(FROM, TO), fc.constant([FROM, TO])),
  body: fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 })).filter((body) => !JSON.stringify(body).includes('__proto__')),
}, { requiredKeys: ['id', 'type', 'from', 'to'] });

await t.test('a carried message says what the whole one says, and travels with the same text', (t) => {
  const decoder = new CarrierDecoder();
  fc.assert(fc.property(messages, (message) => {
    const text = JSON.stringify(message);
    const whole = decodeMessage(text);
    const { id, type, from, to, body = {} } = decoder.decode(text);
    t.same({ id, type, from, to, body }, { ...whole, body: whole.body ?? {} });
    t.same(JSON.parse(JSON.stringify(decoder.decode(text))), JSON.parse(JSON.stringify(whole)));
    t.same(encodeMessage({ ...decoder.decode(text), id: 'another' }), JSON.stringify({ ...whole, id: 'another' }), 'a copy has the body, and not the text');
    return encodeMessage(decoder.decode(text)) === text;
  }), { numRuns: 300 });
  t.end();
});

await t.test('the header alone is read: a body is refused when it is asked for', (t) => {
  const decoder = new CarrierDecoder();
  for (const body of ['{', '[]', '{"__proto__":1}', `${'{"a":'.repeat(200)}1${'}'.repeat(200)}`, '{"value":1},"body":{}']) {
    const text = `{"id":"x","type":"create","from":"${FROM}","to":"${TO}","body":${body}}`;
    const message = decoder.decode(text);
    t.match(message, { id: 'x', type: 'create', from: FROM, to: TO });
    t.equal(encodeMessage(message), text);
    if (!body.endsWith(',"body":{}')) t.throws(() => message.body, { code: 'E_MESSAGE' }, body.slice(0, 20));
  }
  t.end();
});

await t.test('what is no message is refused, and what is unusual is read as a whole', (t) => {
  const decoder = new CarrierDecoder();
  const head = (fields: string): string => `{"id":1,${fields},"body":{"value":1}}`;
  for (const text of [
    '', '{}', '{"id":', head('"type":"create"'), head(`"type":"dance","from":"${FROM}","to":"${TO}"`), head(`"type":"create","from":"nobody","to":"${TO}"`),
    head(`"type":"create","from":"${FROM}","to":[]`), `{"id":"","type":"create","from":"${FROM}","to":"${TO}","body":{}}`, `{"id":1e999,"type":"create","from":"${FROM}","to":"${TO}","body":{}}`,
    `{"id":1,"type":"response","from":"${FROM}","to":"${TO}","body":{}}`,
  ]) t.throws(() => decoder.decode(text), text);
  for (const text of [
    `{"type":"create","id":1,"from":"${FROM}","to":"${TO}","body":{"value":1}}`, ` {"id":1,"type":"create","from":"${FROM}","to":"${TO}","body":{"value":1}}`,
    `{"id":"a\\"b","type":"create","from":"${FROM}","to":"${TO}","body":{"value":1}}`, `{"id":1,"x":{"body":2},"type":"create","from":"${FROM}","to":"${TO}","body":{"value":1}}`,
  ]) {
    const { id, type, from, to, body } = decoder.decode(text);
    t.same({ id, type, from, to, body }, decodeMessage(text));
  }
  const response = respond({ id: 1, type: 'read', from: FROM, to: TO } as Request, 200, { value: 'yes' });
  t.same(decoder.decode(JSON.stringify(response)) as Message, response);
  t.end();
});

await t.test('a cut text is whole again when its parts are put together', (t) => {
  fc.assert(fc.property(messages, (message) => {
    const text = JSON.stringify(message);
    const parts = cutText(text);
    return parts === undefined || `{"id":${parts.id}${parts.middle}${parts.rest}` === text;
  }));
  t.end();
});
