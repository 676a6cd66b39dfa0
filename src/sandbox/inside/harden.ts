/**
 * Freezes the objects of the sandbox's own realm that stubs can reach through the objects they get. A stub that
 * could change that realm's `Object.prototype` could get the sandbox's code to call it with its sockets.
 */

const LANGUAGE = [
  'Object', 'Function', 'Array', 'Number', 'Boolean', 'String', 'Symbol', 'Date', 'Promise', 'RegExp', 'Error', 'AggregateError', 'EvalError',
  'RangeError', 'ReferenceError', 'SyntaxError', 'TypeError', 'URIError', 'JSON', 'Math', 'Intl', 'ArrayBuffer', 'SharedArrayBuffer', 'Atomics',
  'Uint8Array', 'Int8Array', 'Uint16Array', 'Int16Array', 'Uint32Array', 'Int32Array', 'Float32Array', 'Float64Array', 'Uint8ClampedArray',
  'BigUint64Array', 'BigInt64Array', 'BigInt', 'DataView', 'Map', 'Set', 'WeakMap', 'WeakSet', 'WeakRef', 'FinalizationRegistry', 'Proxy', 'Reflect',
  'WebAssembly',
] as const;

/** Returns the language's prototypes that have no global name. */
const nameless = (): object[] => {
  const iterators = [[][Symbol.iterator](), new Map()[Symbol.iterator](), new Set()[Symbol.iterator](), ''[Symbol.iterator](), 'x'.matchAll(/x/g)];
  const functions = [async () => undefined, function* () { yield; }, async function* () { yield; }];
  return [...iterators, ...functions].flatMap((thing) => Object.getPrototypeOf(thing) as object);
};

/**
 * Turns inherited properties into accessors that define an own property on assignment. A frozen inherited
 * property can't be assigned to, though much code does so (`error.name = …`).
 */
const stayAssignable = (prototype: object, names: readonly string[]): void => {
  for (const name of names) {
    const found = Object.getOwnPropertyDescriptor(prototype, name);
    if (found === undefined || !('value' in found)) continue;
    const value: unknown = found.value;
    Object.defineProperty(prototype, name, {
      configurable: false,
      enumerable: found.enumerable ?? false,
      get: () => value,
      set(this: unknown, given: unknown) {
        if (this === prototype) throw new TypeError(`${name} can't be changed here`);
        Object.defineProperty(this, name, { value: given, writable: true, enumerable: true, configurable: true });
      },
    });
  }
};

const isThing = (value: unknown): value is object => (typeof value === 'object' && value !== null) || typeof value === 'function';

/**
 * Freezes one object, property by property. `Object.freeze` would do the same. But after it was called on a
 * prototype of `Buffer`, writing to any buffer is ten times as slow in Node 20.
 */
const freeze = (thing: object): void => {
  Object.preventExtensions(thing);
  for (const key of Reflect.ownKeys(thing)) {
    const { configurable, writable } = Object.getOwnPropertyDescriptor(thing, key) ?? {};
    if (configurable === true || writable === true) Object.defineProperty(thing, key, writable === undefined ? { configurable: false } : { configurable: false, writable: false });
  }
};

/** Freezes the given objects and everything reachable through their properties and prototypes. Calls no getters. */
export const harden = (...roots: readonly unknown[]): void => {
  const queue = roots.filter(isThing);
  const seen = new Set<unknown>([globalThis, process]);
  for (let thing = queue.pop(); thing !== undefined; thing = queue.pop()) {
    if (seen.has(thing) || ArrayBuffer.isView(thing)) continue;
    seen.add(thing);
    freeze(thing);
    const found = Object.values(Object.getOwnPropertyDescriptors(thing)).flatMap((property) => [property.value, property.get, property.set] as unknown[]);
    queue.push(...[Object.getPrototypeOf(thing) as unknown, ...found].filter((next): next is object => isThing(next) && !seen.has(next)));
  }
};

export const hardenLanguage = (): void => {
  stayAssignable(Object.prototype, ['constructor', 'toString', 'toLocaleString', 'valueOf', 'hasOwnProperty']);
  stayAssignable(Function.prototype, ['constructor', 'toString']);
  for (const { prototype } of [Error, AggregateError, EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError]) {
    stayAssignable(prototype, ['constructor', 'name', 'message', 'toString']);
  }
  harden(...LANGUAGE.map((name) => (globalThis as unknown as Record<string, unknown>)[name]), ...nameless());
};
