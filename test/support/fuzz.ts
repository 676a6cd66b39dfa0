import fc from 'fast-check';

/**
 * Hostile input by grammar and by bytes: messages that are almost right, and texts that are almost messages. All of it
 * follows from a seed.
 */

const NAMES = ['value', 'resource', 'resources', 'criteria', 'attribute', 'code', 'flow', 'expect', 'store', 'ttl', 'source', 'after', 'ids', 'range', 'sender', 'scheme', 'number', 'p2p', 'path', 'wait', 'key', 'version', 'schema', 'authorise', 'batch', '__proto__', 'constructor', 'toString', ''];
const TYPES = ['create', 'read', 'update', 'delete', 'subscribe', 'unsubscribe', 'execute', 'forward', 'ping', 'response', 'open', 're-open', 'close', 'OPEN', 'nothing'];

/** Words that mean something to the other side: addresses, resources, names. */
export type Words = readonly string[];

const anyText = fc.oneof(fc.string({ maxLength: 30 }), fc.string({ unit: 'binary', maxLength: 30 }), fc.constantFrom('__proto__', 'constructor', '\0', '\uFEFF', '\uD800', '../../etc/passwd', '%00', 'x'.repeat(5000)));
const anyNumber = fc.oneof(fc.integer(), fc.double(), fc.constantFrom(0, -0, -1, 1e308, 2 ** 53, NaN, Infinity));

const anyValue = (words: Words): fc.Arbitrary<unknown> => {
  const scalar = fc.oneof(fc.constantFrom(...words), anyText, anyNumber, fc.boolean(), fc.constant(null), fc.constant([1e9, 'x', -1]));
  return fc.oneof(
    { depthSize: 'small', maxDepth: 4 }, { weight: 6, arbitrary: scalar },
    { weight: 1, arbitrary: fc.array(fc.oneof(scalar, fc.constant({ value: 1 })), { maxLength: 6 }) },
    { weight: 1, arbitrary: fc.dictionary(fc.constantFrom(...NAMES), scalar, { maxKeys: 5 }) },
  );
};

/** A message whose fields are of the vocabulary, right or not. */
const almostMessage = (words: Words): fc.Arbitrary<object> => {
  const value = anyValue(words);
  const address = fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...words) }, { weight: 1, arbitrary: value });
  return fc.record({
    id: fc.oneof({ weight: 4, arbitrary: fc.integer({ min: 1, max: 50 }) }, { weight: 1, arbitrary: value }),
    type: fc.oneof({ weight: 8, arbitrary: fc.constantFrom(...TYPES) }, { weight: 1, arbitrary: value }),
    from: address,
    to: fc.oneof({ weight: 5, arbitrary: address }, { weight: 1, arbitrary: fc.array(address, { maxLength: 5 }) }),
    body: fc.oneof({ weight: 6, arbitrary: fc.dictionary(fc.constantFrom(...NAMES), value, { maxKeys: 6 }) }, { weight: 1, arbitrary: value }),
    extra: value,
  }, { requiredKeys: [] });
};

const change = (text: string, [at, byte, how]: readonly [number, number, string]): string => {
  const place = text.length === 0 ? 0 : at % text.length;
  if (how === 'cut') return text.slice(0, place);
  if (how === 'double') return text.slice(0, place) + text;
  if (how === 'drop') return text.slice(0, place) + text.slice(place + 1 + (byte % 8));
  return text.slice(0, place) + String.fromCharCode(byte) + text.slice(place + 1);
};

/** A text that is a message, almost one, or none. It holds no line end. */
const anyFrame = (words: Words): fc.Arbitrary<string> => {
  const whole = almostMessage(words).map((message) => JSON.stringify(message));
  const broken = fc.tuple(whole, fc.array(fc.tuple(fc.nat(100_000), fc.nat(255), fc.constantFrom('flip', 'cut', 'double', 'drop')), { minLength: 1, maxLength: 3 }))
    .map(([text, changes]) => changes.reduce(change, text));
  const large = fc.constantFrom('['.repeat(200_000), `{"a":${'{"a":'.repeat(50_000)}`, JSON.stringify({ id: 1, type: 'ping', body: { value: 'x'.repeat(300_000) } }), `{"id":1,"type":"create","from":"x","to":[${'"hyperty://a/b",'.repeat(20_000)}"x"]}`, '1e'.repeat(50_000));
  return fc.oneof({ weight: 60, arbitrary: whole }, { weight: 30, arbitrary: broken }, { weight: 10, arbitrary: anyText }, { weight: 1, arbitrary: large }).map((text) => text.replaceAll('\n', ' '));
};

const BATCH = 100;

/** Yields batches of frames for ever. */
export function* frames(seed: number, words: Words): Generator<readonly string[]> {
  const arbitrary = anyFrame(words);
  for (let round = 0; ; round += 1) yield fc.sample(arbitrary, { seed: seed + round, numRuns: BATCH });
}

/** Yields batches of JSON values made of `words` for ever. */
export function* values(seed: number, words: Words): Generator<readonly unknown[]> {
  const arbitrary = fc.dictionary(fc.constantFrom(...words), anyValue(words), { maxKeys: 12 });
  for (let round = 0; ; round += 1) yield fc.sample(arbitrary, { seed: seed + round, numRuns: BATCH });
}
