import fc from 'fast-check';
import t from 'tap';
import { ProtoflyError } from '../../src/protocol/index.js';
import { applyChange, diff, makeObject, MAX_OBJECT_SIZE, type Change, type DataObject } from '../../src/runtime/objects/index.js';

const seed = Number(process.env['FC_SEED'] ?? Date.now() % 2 ** 31);
console.log(`# FC_SEED=${String(seed)}`);
const check = <T>(property: fc.IProperty<T>, numRuns = 500): void => { fc.assert(property, { seed, numRuns }); };

const after = (data: unknown, ...changes: Change[]): unknown => changes.reduce(applyChange, makeObject(data)).data;
const code = (run: () => unknown): string | undefined => {
  try {
    run();
    return undefined;
  } catch (error) {
    return error instanceof ProtoflyError ? error.code : String(error);
  }
};

t.test('a change is set, added or removed where its path leads', async (t) => {
  const table: readonly (readonly [string, unknown, Change, unknown])[] = [
    ['sets', { a: 1 }, { attribute: 'a', value: 2 }, { a: 2 }],
    ['sets deep', { a: { b: [{ c: 1 }] } }, { attribute: 'a.b.0.c', value: null }, { a: { b: [{ c: null }] } }],
    ['makes objects on the way', {}, { attribute: 'a.b', value: 1 }, { a: { b: 1 } }],
    ['appends by position', { a: [1] }, { attribute: 'a.1', value: 2 }, { a: [1, 2] }],
    ['replaces the whole', { a: 1 }, { attribute: '', value: { b: 2 } }, { b: 2 }],
    ['adds items', { a: [1] }, { attribute: 'a', attributeType: 'array', operation: 'add', value: [2, 3] }, { a: [1, 2, 3] }],
    ['adds to a list that isn\'t there', {}, { attribute: 'a', attributeType: 'array', operation: 'add', value: [1] }, { a: [1] }],
    ['adds one item without a list around it', { a: [] }, { attribute: 'a', attributeType: 'array', operation: 'add', value: 1 }, { a: [1] }],
    ['adds items without attributeType', { a: [1] }, { attribute: 'a', operation: 'add', value: [2] }, { a: [1, 2] }],
    ['inserts', { a: [1, 3] }, { attribute: 'a.1', operation: 'add', value: [2] }, { a: [1, 2, 3] }],
    ['adds an attribute', {}, { attribute: 'a', attributeType: 'object', operation: 'add', value: 1 }, { a: 1 }],
    ['removes items that are equal', { a: [{ x: 1 }, { x: 2 }, { x: 1 }] }, { attribute: 'a', attributeType: 'array', operation: 'remove', value: [{ x: 1 }, 9] }, { a: [{ x: 2 }, { x: 1 }] }],
    ['removes by position', { a: [1, 2, 3] }, { attribute: 'a.1', operation: 'remove' }, { a: [1, 3] }],
    ['removes an attribute', { a: { b: 1, c: 2 } }, { attribute: 'a.b', operation: 'remove' }, { a: { c: 2 } }],
    ['removes a list', { a: [1] }, { attribute: 'a', attributeType: 'object', operation: 'remove', value: [1] }, {}],
    ['removes nothing where nothing is', { a: 1 }, { attribute: 'b.c', operation: 'remove' }, { a: 1 }],
  ];
  for (const [name, before, change, expected] of table) t.strictSame(after(before, change), expected, name);
});

t.test('a change never touches what was there before', async (t) => {
  const value = { list: [{ x: 1 }], other: { y: 1 } };
  const before = makeObject(value);
  value.list.push({ x: 9 });
  const changed = applyChange(before, { attribute: 'list.0.x', value: 2 });
  t.strictSame(before.data, { list: [{ x: 1 }], other: { y: 1 } });
  t.equal(changed.data['other'], before.data['other'], 'what didn\'t change is shared');
  t.throws(() => { (changed.data as Record<string, unknown>)['list'] = 1; }, 'and it is frozen');
});

t.test('what doesn\'t fit is refused with E_MESSAGE and a size above the limit with E_TOO_LARGE', async (t) => {
  const object = makeObject({ a: { b: 1 }, list: [1, 2], text: 'x', none: null });
  const refused: readonly (readonly [string, unknown])[] = [
    ['a path to the prototype', { attribute: '__proto__.polluted', value: 1 }],
    ['a constructor', { attribute: 'a.constructor.prototype', value: 1 }],
    ['a prototype', { attribute: 'prototype', value: 1 }],
    ['an empty segment', { attribute: 'a..b', value: 1 }],
    ['a path that isn\'t text', { attribute: 7, value: 1 }],
    ['a very long path', { attribute: 'a'.repeat(1025), value: 1 }],
    ['a very deep path', { attribute: Array(65).fill('a').join('.'), value: 1 }],
    ['a path through text', { attribute: 'text.length', value: 1 }],
    ['a position that isn\'t there', { attribute: 'list.3', value: 1 }],
    ['a position that is no number', { attribute: 'list.push', value: 1 }],
    ['no value', { attribute: 'a' }],
    ['a function', { attribute: 'a', value: () => 1 }],
    ['not a number', { attribute: 'a', value: NaN }],
    ['a date', { attribute: 'a', value: new Date(0) }],
    ['bytes', { attribute: 'a', value: new Uint8Array(3) }],
    ['a hole in a list', { attribute: 'a', value: [1, , 2] }],
    ['a key named __proto__', { attribute: 'a', value: JSON.parse('{"__proto__":{"x":1}}') as unknown }],
    ['items for what isn\'t a list', { attribute: 'a', attributeType: 'array', operation: 'add', value: [1] }],
    ['items for null', { attribute: 'none', attributeType: 'array', operation: 'add', value: [1] }],
    ['items from what isn\'t a list', { attribute: 'a', attributeType: 'array', operation: 'remove', value: [1] }],
    ['an unknown operation', { attribute: 'a', operation: 'explode', value: 1 }],
    ['an unknown attributeType', { attribute: 'a', attributeType: 'set', value: 1 }],
    ['a list as the whole', { attribute: '', value: [] }],
    ['the removal of the whole', { attribute: '', operation: 'remove' }],
    ['items for the whole', { attribute: '', attributeType: 'array', operation: 'add', value: [1] }],
  ];
  for (const [name, change] of refused) t.equal(code(() => applyChange(object, change as Change)), 'E_MESSAGE', name);
  t.equal(({} as Record<string, unknown>)['polluted'], undefined);

  const circle: unknown[] = [];
  circle.push(circle, circle, circle);
  t.equal(code(() => makeObject({ circle })), 'E_MESSAGE', 'a circle ends');
  const wide = Array.from({ length: 30 }).reduce<unknown>((inner) => [inner, inner, inner], 1);
  t.equal(code(() => makeObject({ wide })), 'E_TOO_LARGE', 'a value that unfolds to a huge one ends soon');
  for (const value of [undefined, null, [], 'text']) t.equal(code(() => makeObject(value)), 'E_MESSAGE');

  const half = 'x'.repeat(MAX_OBJECT_SIZE / 2);
  const one = applyChange(object, { attribute: 'a', value: half });
  t.equal(code(() => applyChange(one, { attribute: 'b', value: half })), 'E_TOO_LARGE');
  t.equal(code(() => applyChange(applyChange(one, { attribute: 'a', operation: 'remove' }), { attribute: 'b', value: half })), undefined, 'room that was freed can be used');
});

const key = fc.constantFrom('a', 'b', 'list', 'c', '0', '1', 'dotted.key', '');
const json: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small' },
    fc.constantFrom(null, true, 0, -0, 1.5, 'x', ''),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(key, tie('value'), { maxKeys: 3 }),
  ),
})).value;
const dataArbitrary = fc.dictionary(key, json, { maxKeys: 4 });
const changeArbitrary: fc.Arbitrary<Change> = fc.record({
  attribute: fc.oneof({ weight: 9, arbitrary: fc.array(fc.constantFrom('a', 'b', 'list', 'c', '0', '1', '2'), { minLength: 1, maxLength: 3 }).map((path) => path.join('.')) }, { weight: 1, arbitrary: fc.constant('') }),
  attributeType: fc.constantFrom('object' as const, 'array' as const),
  operation: fc.constantFrom('add' as const, 'remove' as const),
  value: json,
}, { requiredKeys: ['attribute'] });

/** Applies all applicable changes, and returns them. */
const run = (start: DataObject, changes: readonly Change[]): { object: DataObject; applied: Change[] } => {
  const applied: Change[] = [];
  let object = start;
  for (const change of changes) {
    try {
      object = applyChange(object, change);
      applied.push(change);
    } catch (error) {
      if (!(error instanceof ProtoflyError)) throw error;
    }
  }
  return { object, applied };
};

t.test('random changes give the same object at the reporter and, through JSON, at the observer', async (t) => {
  let applied = 0;
  check(fc.property(dataArbitrary, fc.array(changeArbitrary, { maxLength: 30 }), (data, changes) => {
    const start = makeObject(data);
    const reporter = run(start, changes);
    applied += reporter.applied.length;
    const observer = run(makeObject(JSON.parse(JSON.stringify(start.data))), JSON.parse(JSON.stringify(reporter.applied)) as Change[]);
    if (JSON.stringify(observer.object) !== JSON.stringify(reporter.object)) throw new Error('they differ');
    if (makeObject(reporter.object.data).size !== reporter.object.size) throw new Error('the size isn\'t the size');
  }));
  t.ok(applied > 1000, `${String(applied)} changes did apply`);
});

t.test('the difference between two objects makes the one of the other', async (t) => {
  check(fc.property(dataArbitrary, dataArbitrary, (one, other) => {
    const [before, goal] = [makeObject(one), makeObject(other)];
    const reached = diff(before, goal).reduce(applyChange, before);
    if (diff(reached, goal).length > 0 || reached.size !== goal.size) throw new Error('they differ');
  }));
  t.strictSame(diff(makeObject({ a: [1, 2], b: 1 }), makeObject({ a: [1, 2, 3], b: 1 })), [{ attribute: 'a', attributeType: 'array', operation: 'add', value: [3] }], 'what was appended is told as added');
});
