import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import t from 'tap';
import {
  answerable, fieldsOf, asProtoflyError, bodyWith, decodeMessage, decodeToPassOn, descriptionOf, encodeMessage, errorOfStatus, expectationOf, idsOf, isProvisional, isSuccess, parseAddress, parseMessage,
  ProtoflyError, recipientsOf, refuse, REQUEST_TYPES, respond, systemClock, viaOf, withIds, type Message, type Request, type Response,
} from '../../src/protocol/index.js';
import { BAD_MESSAGES, GOOD_ADDRESSES, GOOD_MESSAGES } from '../support/vectors.js';

const caught = (run: () => unknown): unknown => {
  try {
    run();
  } catch (thrown) {
    return thrown;
  }
  return undefined;
};

const codeOf = (thrown: unknown): string | undefined => (thrown instanceof ProtoflyError ? thrown.code : undefined);

t.test('frames that are understood', async (t) => {
  for (const { rule, title, text, means, encoded } of GOOD_MESSAGES) {
    const message = decodeMessage(text);
    t.strictSame(message, means, `${rule}: ${title}: is read as`);
    t.equal(encodeMessage(message), encoded ?? text, `${rule}: ${title}: is written as`);
    t.strictSame(decodeMessage(encodeMessage(message)), means, `${rule}: ${title}: means the same when it comes back`);
  }
});

t.test('what is passed on is written as it came, and what is made of it is not', async (t) => {
  const text = '{"type":"CREATE", "id":1,"to":"hyperty://a.example/2","from":"hyperty://A.example/1","body":{"value":"x"}}';
  const message = decodeToPassOn(text);
  t.strictSame(message, decodeMessage(text));
  t.equal(encodeMessage(message), text);
  const other = { ...message, id: 2 };
  t.strictSame(decodeMessage(encodeMessage(other)), { ...decodeMessage(text), id: 2 });
  t.notMatch(encodeMessage(other), /CREATE/);
  t.notMatch(encodeMessage(decodeToPassOn(text.replace(', ', ',\n'))), /\n/, 'it stays one line');
  for (const { text: bad } of BAD_MESSAGES) t.ok(codeOf(caught(() => decodeToPassOn(bad))), `as strict as ever: ${bad.slice(0, 40)}`);
});

t.test('frames that are refused, and who is told', async (t) => {
  for (const { rule, title, text, code, answered } of BAD_MESSAGES) {
    const thrown = caught(() => decodeMessage(text));
    t.equal(codeOf(thrown), code, `${rule}: ${title}: is refused`);
    t.ok(thrown instanceof Error && thrown.message.length < 300, `${rule}: ${title}: the words stay short`);
    const request = answerable(fieldsOf(text));
    t.strictSame(request === undefined ? undefined : { id: request.id, from: request.from, to: request.to }, answered, `${rule}: ${title}: is answered`);
    if (request !== undefined) t.strictSame(decodeMessage(encodeMessage(refuse(request, asProtoflyError(thrown)))).to, request.from, `${rule}: ${title}: the answer is a message`);
  }
});

t.test('MSG-2: NaN and the infinities are no ids', async (t) => {
  for (const id of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 7n]) {
    t.equal(codeOf(caught(() => parseMessage({ id, type: 'create', from: 'hyperty://a/1', to: 'hyperty://a/2' }))), 'E_MESSAGE', String(id));
  }
});

t.test('MSG-1: bytes are no body, and holes in a list are no addresses', async (t) => {
  t.equal(codeOf(caught(() => parseMessage({ id: 1, type: 'create', from: 'hyperty://a/1', to: 'hyperty://a/2', body: new Uint8Array(3) }))), 'E_MESSAGE');
  t.equal(codeOf(caught(() => parseMessage({ id: 1, type: 'create', from: 'hyperty://a/1', to: new Array(3) }))), 'E_ADDRESS');
});

t.test('the header a receiver sees cannot come from a prototype', async (t) => {
  const message = decodeMessage('{"id":1,"type":"create","from":"hyperty://a/1","to":"hyperty://a/2","__proto__":{"body":{"value":1}}}');
  t.equal(message.body, undefined);
  t.equal(Object.getPrototypeOf(message), Object.prototype);
  t.equal((Object.prototype as { polluted?: unknown }).polluted, undefined);
});

const arbitraryAddress = fc.constantFrom(...GOOD_ADDRESSES.map(([text]) => text));
const arbitraryMessage = fc.record({
  id: fc.oneof({ weight: 6, arbitrary: fc.integer() }, { weight: 1, arbitrary: fc.double() }, { weight: 1, arbitrary: fc.string({ maxLength: 300, unit: 'binary' }) }),
  type: fc.oneof({ weight: 9, arbitrary: fc.constantFrom(...REQUEST_TYPES, 'response', 'RESPONSE', 'Read') }, { weight: 1, arbitrary: fc.string({ maxLength: 12 }) }),
  from: fc.oneof({ weight: 9, arbitrary: arbitraryAddress }, { weight: 1, arbitrary: fc.string() }),
  to: fc.oneof({ weight: 5, arbitrary: arbitraryAddress }, { weight: 3, arbitrary: fc.array(arbitraryAddress, { maxLength: 5 }) }, { weight: 1, arbitrary: fc.anything() }),
  body: fc.oneof(fc.record({ code: fc.oneof(fc.integer({ min: 50, max: 1100 }), fc.string()), value: fc.jsonValue() }, { requiredKeys: [] }), fc.dictionary(fc.string(), fc.jsonValue()), fc.anything()),
});

t.test('any frame is a message or a ProtoflyError, and a message stays what it is', async (t) => {
  const seed = Number(process.env['FC_SEED'] ?? Date.now() % 2 ** 31);
  t.comment(`seed ${String(seed)} (again with FC_SEED=${String(seed)})`);
  let understood = 0;
  fc.assert(fc.property(fc.oneof({ weight: 3, arbitrary: arbitraryMessage }, { weight: 1, arbitrary: fc.record({ id: fc.anything(), type: fc.anything() }, { requiredKeys: [] }) }, { weight: 1, arbitrary: fc.anything({ withBigInt: true, withNullPrototype: true, withSparseArray: true, withTypedArray: true, withDate: true, withMap: true }) }), (frame) => {
    let message: Message;
    try {
      message = parseMessage(frame);
    } catch (thrown) {
      return thrown instanceof ProtoflyError && thrown.status === 400;
    }
    understood += 1;
    return isDeepStrictEqual(parseMessage(message), message);
  }), { seed, numRuns: 3000 });
  t.ok(understood > 200, `the property was not empty: ${String(understood)} frames were messages`);

  fc.assert(fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json(), arbitraryMessage.map((frame) => caught(() => JSON.stringify(frame)) === undefined ? JSON.stringify(frame) : '')), (text) => {
    const thrown = caught(() => {
      const message = decodeMessage(text);
      if (encodeMessage(decodeMessage(encodeMessage(message))) !== encodeMessage(message)) throw new Error('not idempotent');
    });
    const request = answerable(fieldsOf(text));
    return (thrown === undefined || thrown instanceof ProtoflyError) && (request === undefined || decodeMessage(encodeMessage(request)).id === request.id);
  }), { seed, numRuns: 3000 });
});

const request = decodeMessage('{"id":7,"type":"read","from":"hyperty://a/1","to":"hyperty://b/2"}') as Request;

t.test('MSG-5: a response carries the id of its request, and goes back', async (t) => {
  t.strictSame(respond(request, 200, { value: 1 }), { id: 7, type: 'response', from: 'hyperty://b/2', to: 'hyperty://a/1', body: { value: 1, code: 200 } });
  t.equal(respond(request, 200, {}, parseAddress('hyperty://c/3')).from, 'hyperty://c/3');
  t.equal(respond(request, 404, { code: 200 }).body.code, 404, 'the code given counts, not one in the body');
  t.strictSame(refuse(request, new ProtoflyError('E_NOT_FOUND', 'nobody', { hint: 'look' })).body, { code: 404, description: 'nobody', error: 'E_NOT_FOUND', hint: 'look' });
});

t.test('MSG-6: what a code means', async (t) => {
  const rows: [code: number, provisional: boolean, success: boolean][] = [[100, true, false], [183, true, false], [199, true, false], [200, false, true], [299, false, true], [300, false, false], [404, false, false], [999, false, false]];
  for (const [code, provisional, success] of rows) {
    const response = respond(request, code);
    t.strictSame([isProvisional(response), isSuccess(response)], [provisional, success], String(code));
  }
  const rows2: [status: number, code: string][] = [[400, 'E_MESSAGE'], [401, 'E_UNAUTHENTICATED'], [403, 'E_REFUSED'], [404, 'E_NOT_FOUND'], [408, 'E_UNAVAILABLE'], [409, 'E_CONFLICT'], [413, 'E_TOO_LARGE'], [429, 'E_TOO_MANY'], [486, 'E_REFUSED'], [500, 'E_INTERNAL'], [503, 'E_UNREACHABLE'], [777, 'E_INTERNAL']];
  for (const [status, code] of rows2) t.equal(errorOfStatus(status).code, code, String(status));
});

t.test('the optional fields are read with care', async (t) => {
  const body = (fields: Record<string, unknown>): Message => ({ ...request, body: fields });
  t.equal(descriptionOf(respond(request, 404, { desc: 'old' })), 'old');
  t.equal(descriptionOf(respond(request, 404, { description: 'new', desc: 'old' })), 'new');
  t.equal(descriptionOf(respond(request, 404, { description: 7 })), undefined);
  t.strictSame(['receipt', 'response', 'both', undefined].map((expect) => expectationOf(body({ expect }))), ['receipt', 'response', undefined, undefined]);
  t.strictSame(viaOf(body({ via: 'a' })), ['a']);
  t.strictSame(viaOf(body({ via: ['a', 7, 'b'] })), ['a', 'b']);
  t.strictSame(viaOf(body({ via: {} })), []);
  t.strictSame(viaOf(request), []);
  t.strictSame(recipientsOf(request), ['hyperty://b/2']);
});

t.test('whatever is thrown becomes a ProtoflyError', async (t) => {
  const known = new ProtoflyError('E_TIMEOUT', 'late');
  t.equal(asProtoflyError(known), known);
  const unprintable: unknown = Object.assign(Object.create(null) as object, { toString: () => { throw new Error('no'); } });
  for (const thrown of [undefined, null, 7, 'text', Symbol('s'), unprintable, new TypeError('typed')]) {
    const error = asProtoflyError(thrown);
    t.equal(error.code, 'E_INTERNAL');
    t.equal(error.cause, thrown);
  }
  t.equal(asProtoflyError('text').message, 'text');
  t.equal((respond(request, 500) satisfies Response).body.code, asProtoflyError('x').status);
});

t.test('a very long time is not a very short one', async (t) => {
  const original = globalThis.setTimeout;
  const asked: (number | undefined)[] = [];
  t.teardown(() => { globalThis.setTimeout = original; });
  globalThis.setTimeout = ((run: () => void, milliseconds?: number) => {
    asked.push(milliseconds);
    return original(run, milliseconds);
  }) as typeof setTimeout;
  for (const milliseconds of [2 ** 40, 1000]) systemClock.setTimeout(() => undefined, milliseconds).cancel();
  t.strictSame(asked, [2 ** 31 - 1, 1000]);
});

t.test('a body with other fields: the rest stays as it was, whatever it is called', (t) => {
  const body = { value: 1, constructor: 2, toString: 3, path: 'theirs', flow: [] };
  t.strictSame(bodyWith(body, { path: 'p2p', generation: undefined, flow: undefined }), { value: 1, constructor: 2, toString: 3, path: 'p2p' });
  t.strictSame(body.path, 'theirs');
  t.strictSame(bodyWith(undefined, { path: 'local' }), { path: 'local' });
  t.end();
});

t.test('one answer to many: each gets its part', (t) => {
  const response: Response = { id: 9, type: 'response', from: parseAddress('hyperty://b.example/2'), to: parseAddress('hyperty://a.example/1'), body: { code: 200, path: 'p2p', flow: ['e', 1, 3] } };
  const many = withIds(response, [7, 8, 9]);
  t.strictSame(many, { ...response, body: { code: 200, path: 'p2p', receiptOf: [7, 8, 9] } });
  t.strictSame(idsOf(many), [7, 8, 9]);
  t.strictSame(withIds(many, [8]), { ...response, id: 8, body: { code: 200, path: 'p2p' } });
  t.strictSame(idsOf(response), [9]);
  t.strictSame(idsOf({ ...response, body: { code: 200, receiptOf: 'none' } }), [9], 'what makes no sense says nothing');
  t.end();
});
