import assert from 'node:assert/strict';
import fc from 'fast-check';
import t from 'tap';
import {
  checkDescriptor, checkPublicKey, checkSource, contentHash, endorse, generatePublisherKey, isEndorsed, publicHalf, sign, verify,
} from '../../src/security/index.js';
import { signedPackage } from '../support/packages.js';

const CODES = new Set(['E_DESCRIPTOR', 'E_UNSIGNED', 'E_PUBLISHER', 'E_SIGNATURE']);

/** Returns the accepted value; undefined if it was refused with a known code. */
const accepted = async <T>(run: Promise<T>): Promise<T | undefined> => {
  try {
    return await run;
  } catch (thrown) {
    if (CODES.has((thrown as { code?: string }).code ?? '')) return undefined;
    throw thrown;
  }
};

/** Flips one bit in a value's JSON text; undefined if the result isn't JSON. */
const withByteFlipped = (value: unknown, at: number, bit: number): unknown => {
  const text = JSON.stringify(value);
  const index = at % text.length;
  try {
    return JSON.parse(`${text.slice(0, index)}${String.fromCharCode(text.charCodeAt(index) ^ bit)}${text.slice(index + 1)}`);
  } catch {
    return undefined;
  }
};

t.test('what was signed is accepted: a descriptor, and its code in either encoding', async (t) => {
  const key = await generatePublisherKey();
  for (const encoding of ['utf-8', 'base64'] as const) {
    const { descriptor, source, hash } = await signedPackage(key, { source: 'export default "Grüße";', encoding });
    const checked = await checkDescriptor(JSON.parse(JSON.stringify(descriptor)), [publicHalf(key)], 'it');
    t.same(checked.value, descriptor);
    t.equal(checked.keyId, key.kid);
    t.equal((await checkSource(source, checked.value, [publicHalf(key)], 'it')).value, 'export default "Grüße";');
    t.equal(contentHash('export default "Grüße";'), hash);
  }
});

t.test('any change of any byte of a descriptor, of its code or of a signature is refused', async (t) => {
  const key = await generatePublisherKey();
  const keys = [publicHalf(key)];
  const { descriptor, source } = await signedPackage(key, { source: 'export default (url) => ({ name: url });', change: { configuration: { url: 'ws://a.example/ws' }, extra: { kept: [1, 2.5, null] } } as never });
  const flips = [fc.nat(), fc.constantFrom(1, 2, 4, 8, 16, 32, 64)] as const;
  let refused = 0;
  // A document has several encodings (spare bits of base64url, an omitted default): the parsed value counts.
  await fc.assert(fc.asyncProperty(...flips, async (at, bits) => {
    const found = await accepted(checkDescriptor(withByteFlipped(descriptor, at, bits), keys, 'it'));
    if (found === undefined) refused += 1;
    else assert.deepStrictEqual({ ...found.value, signature: '' }, { ...descriptor, signature: '' });
  }), { numRuns: 500 });
  await fc.assert(fc.asyncProperty(...flips, async (at, bits) => {
    const found = await accepted(checkSource(withByteFlipped(source, at, bits), descriptor, keys, 'it'));
    if (found === undefined) refused += 1;
    else assert.equal(found.value, source.sourceCode);
  }), { numRuns: 500 });
  t.ok(refused > 800, `${String(refused)} of 1000 were refused`);
});

t.test('fields that are added, taken away or replaced are refused', async (t) => {
  const key = await generatePublisherKey();
  const keys = [publicHalf(key)];
  const { descriptor, source } = await signedPackage(key);
  const { constraints: _, ...less } = descriptor;
  await t.rejects(checkDescriptor(less, keys, 'it'), { code: 'E_SIGNATURE' });
  await t.rejects(checkDescriptor({ ...descriptor, note: 'mine' }, keys, 'it'), { code: 'E_SIGNATURE' });
  await t.rejects(checkDescriptor({ ...descriptor, constraints: { websocket: true, webrtc: true } }, keys, 'it'), { code: 'E_SIGNATURE' });
  await t.rejects(checkDescriptor({ ...descriptor, signature: '' }, keys, 'it'), { code: 'E_UNSIGNED' });
  await t.rejects(checkDescriptor({ ...descriptor, signature: 'no signature' }, keys, 'it'), { code: 'E_SIGNATURE' });
  await t.rejects(checkSource({ ...source, signature: '' }, descriptor, keys, 'it'), { code: 'E_UNSIGNED' });
  await t.rejects(checkSource({ ...source, sourceCodeClassname: 'other' }, descriptor, keys, 'it'), { code: 'E_SIGNATURE' });
});

t.test('a signature counts for what it was made over and for nothing else', async (t) => {
  const key = await generatePublisherKey();
  const keys = [publicHalf(key)];
  const one = await signedPackage(key, { source: 'one' });
  const other = await signedPackage(key, { source: 'other' });
  await t.rejects(checkSource(other.source, one.descriptor, keys, 'it'), { code: 'E_SIGNATURE' }, 'code of another package');
  await t.rejects(checkDescriptor({ ...one.descriptor, signature: one.source.signature }, keys, 'it'), { code: 'E_SIGNATURE', message: /another purpose/ });
  await t.rejects(checkSource({ ...one.source, signature: one.descriptor.signature }, one.descriptor, keys, 'it'), { code: 'E_SIGNATURE' });
  await t.rejects(verify(await sign(key, 'a', 'text'), 'b', keys, 'it'), { code: 'E_SIGNATURE' });
});

t.test('a key that is not among those believed is named', async (t) => {
  const [key, stranger] = await Promise.all([generatePublisherKey(), generatePublisherKey()]);
  const { descriptor } = await signedPackage(stranger);
  await t.rejects(checkDescriptor(descriptor, [publicHalf(key)], 'the package'), { code: 'E_PUBLISHER', message: new RegExp(`the package .*${stranger.kid}`) });
  await t.rejects(checkDescriptor(descriptor, [{ ...publicHalf(key), kid: stranger.kid }], 'it'), { code: 'E_SIGNATURE' }, 'the id alone does not help');
  await t.rejects(checkPublicKey({ ...publicHalf(key), kid: stranger.kid }), { code: 'E_DESCRIPTOR' }, 'an id that is not the key\'s own');
  t.notOk('d' in publicHalf(key));
});

t.test('an endorsement counts for one successor in one domain, by a key that is believed', async (t) => {
  const [first, second, third] = await Promise.all([generatePublisherKey(), generatePublisherKey(), generatePublisherKey()]);
  const endorsement = await endorse(first, 'a.example', second);
  t.ok(await isEndorsed(endorsement, 'a.example', second, [publicHalf(first)]));
  t.notOk(await isEndorsed(endorsement, 'b.example', second, [publicHalf(first)]));
  t.notOk(await isEndorsed(endorsement, 'a.example', third, [publicHalf(first)]));
  t.notOk(await isEndorsed(endorsement, 'a.example', second, [publicHalf(third)]));
  t.notOk(await isEndorsed('', 'a.example', second, [publicHalf(first)]));
  t.notOk(await isEndorsed(await sign(first, 'protofly-descriptor', '{"domain":"a.example"}'), 'a.example', second, [publicHalf(first)]));
});
