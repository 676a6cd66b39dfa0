import { ProtoflyError, type DataChange } from './index.js';

/** A JSON value in a data object. All values are frozen: they may be shared and are never changed in place. */
export type Json = null | boolean | number | string | readonly Json[] | JsonRecord;
export interface JsonRecord {
  readonly [key: string]: Json;
}

/** A data object's content, and its size as counted against `MAX_OBJECT_SIZE`. */
export interface DataObject {
  readonly data: JsonRecord;
  readonly size: number;
}

export type Change = Omit<DataChange, 'version'>;

/** Maximum size of an object: roughly the length of its JSON, in UTF-16 code units. */
export const MAX_OBJECT_SIZE = 1024 * 1024;
/** Maximum nesting depth of an object, and maximum number of path segments. Well below a message's limit. */
const MAX_OBJECT_DEPTH = 64;
const MAX_PATH_LENGTH = 1024;

const BRACKETS = 2;
const SEPARATOR = 1;
const QUOTES = 3;

const bad = (why: string): ProtoflyError => new ProtoflyError('E_MESSAGE', `bad data: ${why}`);
const tooLarge = (): ProtoflyError => new ProtoflyError('E_TOO_LARGE', `a data object is limited to ${String(MAX_OBJECT_SIZE)} characters of JSON`);

const FORBIDDEN: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);
const isArray = (value: Json | undefined): value is readonly Json[] => Array.isArray(value);
const isJsonRecord = (value: Json | undefined): value is JsonRecord => typeof value === 'object' && value !== null && !Array.isArray(value);
const own = (record: JsonRecord, key: string): Json | undefined => (Object.hasOwn(record, key) ? record[key] : undefined);

// --- values ---------------------------------------------------------------------------------------------------

/** Remaining size. It is spent while a value is walked, so that no value can prolong the walk. */
interface Budget {
  left: number;
}

const spend = (budget: Budget, cost: number): void => {
  budget.left -= cost;
  if (budget.left < 0) throw tooLarge();
};

/** Makes a frozen copy of a value, as JSON would carry it. */
const intake = (value: unknown, depth: number, budget: Budget): Json => {
  if (typeof value === 'number' && !Number.isFinite(value)) throw bad('a number that isn\'t finite');
  if (typeof value === 'string' || typeof value === 'boolean' || typeof value === 'number') {
    spend(budget, costOf(value));
    return value === 0 ? 0 : value;
  }
  if (typeof value !== 'object') throw bad(`a value of type ${typeof value}`);
  if (value === null) { spend(budget, costOf(null)); return null; }
  if (depth >= MAX_OBJECT_DEPTH) throw bad(`nested deeper than ${String(MAX_OBJECT_DEPTH)}`);
  spend(budget, BRACKETS);
  if (Array.isArray(value)) {
    return Object.freeze(Array.from<unknown, Json>(value, (item) => { spend(budget, SEPARATOR); return intake(item, depth + 1, budget); }));
  }
  const prototype: unknown = Object.getPrototypeOf(value);
  // Accepts plain objects of any realm: their prototype is the end of the chain.
  if (prototype !== null && Object.getPrototypeOf(prototype) !== null) throw bad('an object that JSON doesn\'t have');
  const copy: Record<string, Json> = {};
  for (const [key, item] of Object.entries(value)) {
    if (FORBIDDEN.has(key)) throw bad(`a key is named ${key}`);
    if (item === undefined) continue;
    spend(budget, key.length + QUOTES + SEPARATOR);
    copy[key] = intake(item, depth + 1, budget);
  }
  return Object.freeze(copy);
};

/** Returns the size of a value, by the same rule as `intake`. */
const costOf = (value: Json): number => {
  if (typeof value === 'string') return value.length + BRACKETS;
  if (typeof value === 'number') return 8;
  if (typeof value !== 'object' || value === null) return 4;
  if (isArray(value)) return value.reduce<number>((sum, item) => sum + SEPARATOR + costOf(item), BRACKETS);
  return Object.entries(value).reduce((sum, [key, item]) => sum + key.length + QUOTES + SEPARATOR + costOf(item), BRACKETS);
};

/** Checks, copies and measures a new object. @throws ProtoflyError `E_MESSAGE`, `E_TOO_LARGE` */
export const makeObject = (value: unknown): DataObject => {
  const budget: Budget = { left: MAX_OBJECT_SIZE };
  const data = intake(value, 0, budget);
  if (!isJsonRecord(data)) throw bad('a data object is a JSON object');
  return { data, size: MAX_OBJECT_SIZE - budget.left };
};

const equal = (one: Json | undefined, other: Json | undefined): boolean => {
  if (one === other) return true;
  if (isArray(one)) return isArray(other) && one.length === other.length && one.every((item, index) => equal(item, other[index]));
  if (!isJsonRecord(one) || !isJsonRecord(other)) return false;
  const keys = Object.keys(one);
  return keys.length === Object.keys(other).length && keys.every((key) => Object.hasOwn(other, key) && equal(one[key], other[key]));
};

// --- paths ----------------------------------------------------------------------------------------------------

/** Splits an attribute path into segments; an empty list stands for the whole object. @throws ProtoflyError `E_MESSAGE` */
export const parsePath = (attribute: unknown): readonly string[] => {
  if (typeof attribute !== 'string' || attribute.length > MAX_PATH_LENGTH) throw bad('attribute is not a path, or a very long one');
  if (attribute === '') return [];
  const path = attribute.split('.');
  if (path.length > MAX_OBJECT_DEPTH) throw bad(`a path of more than ${String(MAX_OBJECT_DEPTH)} segments`);
  const wrong = path.find((segment) => segment === '' || FORBIDDEN.has(segment));
  if (wrong !== undefined) throw bad(`a path with the segment "${wrong}"`);
  return path;
};

const INDEX = /^(?:0|[1-9]\d{0,8})$/;
/** Parses a position in a list; `length` is the position after the last item. */
const parseIndex = (segment: string, length: number): number => {
  const index = INDEX.test(segment) ? Number(segment) : -1;
  if (index < 0 || index > length) throw bad(`${segment.slice(0, 20)} is not a position in a list of ${String(length)}`);
  return index;
};

const lookUp = (data: Json | undefined, path: readonly string[]): Json | undefined =>
  path.reduce<Json | undefined>((node, segment) => {
    if (isArray(node)) return INDEX.test(segment) ? node[Number(segment)] : undefined;
    return isJsonRecord(node) ? own(node, segment) : undefined;
  }, data);

// --- changes --------------------------------------------------------------------------------------------------

/** A part of the object after a change. `node` is undefined if the part was removed. `growth` is the change of its size. */
interface Edited {
  readonly node: Json | undefined;
  readonly growth: number;
}
type Leaf = (before: Json | undefined) => Edited;

const costOfMaybe = (value: Json | undefined): number => (value === undefined ? 0 : costOf(value));
const presence = (before: Json | undefined, after: Json | undefined): number => Number(after !== undefined) - Number(before !== undefined);

/** Copies the objects along the path and applies `leaf` at its end. Creates missing objects along the path. */
const edit = (node: Json | undefined, path: readonly string[], leaf: Leaf): Edited => {
  const [segment, ...rest] = path;
  if (segment === undefined) return leaf(node);
  if (isArray(node)) {
    const index = parseIndex(segment, node.length);
    const { node: after, growth } = edit(node[index], rest, leaf);
    const items = after === undefined ? node.toSpliced(index, 1) : node.toSpliced(index, 1, after);
    return { node: Object.freeze(items), growth: growth + SEPARATOR * presence(node[index], after) };
  }
  if (node !== undefined && !isJsonRecord(node)) throw bad(`the path leads through a value that is neither object nor list, at "${segment}"`);
  const before = node === undefined ? undefined : own(node, segment);
  const { node: after, growth } = edit(before, rest, leaf);
  const copy: Record<string, Json> = { ...node };
  if (after === undefined) delete copy[segment];
  else copy[segment] = after;
  const made = node === undefined ? BRACKETS : 0;
  return { node: Object.freeze(copy), growth: made + growth + (segment.length + QUOTES + SEPARATOR) * presence(before, after) };
};

/** Inserts `items` into a list at `at`, or at the end if absent. */
const insert = (items: readonly Json[], at?: string): Leaf => (before) => {
  const list = before === undefined ? [] : before;
  if (!isArray(list)) throw bad('items are added to what isn\'t a list');
  const index = at === undefined ? list.length : parseIndex(at, list.length);
  const growth = items.reduce<number>((sum, item) => sum + SEPARATOR + costOf(item), before === undefined ? BRACKETS : 0);
  return { node: Object.freeze(list.toSpliced(index, 0, ...items)), growth };
};

/** Removes one equal item from a list for each of `items`; ignores items that aren't in the list. */
const withdraw = (items: readonly Json[]): Leaf => (before) => {
  const list = isArray(before) ? [...before] : [];
  let growth = 0;
  for (const item of items) {
    const index = list.findIndex((other) => equal(item, other));
    if (index < 0) continue;
    list.splice(index, 1);
    growth -= SEPARATOR + costOf(item);
  }
  return { node: Object.freeze(list), growth };
};

const replace = (value: Json | undefined): Leaf => (before) => ({ node: value, growth: costOfMaybe(value) - costOfMaybe(before) });

/** Returns the edit for a change, and its path. For list items, the path is the list's, without the position. */
const leafOf = (change: Change, path: readonly string[], data: JsonRecord): { readonly at: readonly string[]; readonly leaf: Leaf } | undefined => {
  const { operation, attributeType: type, value } = change;
  const budget: Budget = { left: MAX_OBJECT_SIZE };
  const target = lookUp(data, path);
  const taken = (): Json => intake(value, path.length, budget);
  const items = (): readonly Json[] => intake(Array.isArray(value) ? value : [value], path.length, budget) as readonly Json[];
  if (operation === 'remove') {
    if (target === undefined) return undefined;
    if (type !== 'object' && isArray(target) && value !== undefined) return { at: path, leaf: withdraw(items()) };
    const inList = isArray(lookUp(data, path.slice(0, -1)));
    if (type === 'array' && !isArray(target) && !inList) throw bad('items are removed from what isn\'t a list');
    if (path.length === 0) throw bad('the object as a whole is deleted, not removed');
    return { at: path, leaf: replace(undefined) };
  }
  if (operation === 'add' && type !== 'object') {
    if (isArray(target)) return { at: path, leaf: insert(items()) };
    const parent = path.slice(0, -1);
    if (path.length > 0 && isArray(lookUp(data, parent))) return { at: parent, leaf: insert(items(), path.at(-1)) };
    if (type === 'array') return { at: path, leaf: insert(items()) };
  }
  return { at: path, leaf: replace(taken()) };
};

/**
 * Returns the object after a change. Changes nothing in place.
 * @throws ProtoflyError `E_MESSAGE` for a change that doesn't fit the object, `E_TOO_LARGE` for one that makes
 *   it too large
 */
export const applyChange = (object: DataObject, change: Change): DataObject => {
  const path = parsePath(change.attribute);
  const { operation, attributeType } = change;
  if (operation !== undefined && operation !== 'add' && operation !== 'remove') throw bad('operation is neither add nor remove');
  if (attributeType !== undefined && attributeType !== 'object' && attributeType !== 'array') throw bad('attributeType is neither object nor array');
  const found = leafOf(change, path, object.data);
  if (found === undefined) return object;
  const { node, growth } = edit(object.data, found.at, found.leaf);
  if (!isJsonRecord(node)) throw bad('a data object is a JSON object');
  const size = object.size + growth;
  if (size > MAX_OBJECT_SIZE) throw tooLarge();
  return { data: node, size };
};

const isAddressable = (key: string): boolean => key !== '' && key.length <= MAX_PATH_LENGTH && !key.includes('.');

/** Returns the changes from `before` to `after`, attribute by attribute. Items appended to a list become an `add`. */
export const diff = (before: DataObject, after: DataObject): readonly Change[] => {
  const keys = [...new Set([...Object.keys(before.data), ...Object.keys(after.data)])];
  const changed = keys.filter((key) => !equal(own(before.data, key), own(after.data, key)));
  if (!changed.every(isAddressable)) return [{ attribute: '', value: after.data }];
  return changed.map((attribute): Change => {
    const [was, is] = [own(before.data, attribute), own(after.data, attribute)];
    if (is === undefined) return { attribute, attributeType: 'object', operation: 'remove' };
    if (isArray(was) && isArray(is) && was.length < is.length && was.every((item, index) => equal(item, is[index]))) {
      return { attribute, attributeType: 'array', operation: 'add', value: is.slice(was.length) };
    }
    return { attribute, value: is };
  });
};
