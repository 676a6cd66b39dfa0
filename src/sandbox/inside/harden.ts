/**
 * Freezes what stubs can reach of the realm that the sandbox's own code runs in, through the objects that they are
 * handed: whoever could change `Object.prototype` there could have that code call him with its sockets in hand.
 */

const LANGUAGE = [
  'Object', 'Function', 'Array', 'Number', 'Boolean', 'String', 'Symbol', 'Date', 'Promise', 'RegExp', 'Error', 'AggregateError', 'EvalError',
  'RangeError', 'ReferenceError', 'SyntaxError', 'TypeError', 'URIError', 'JSON', 'Math', 'Intl', 'ArrayBuffer', 'SharedArrayBuffer', 'Atomics',
  'Uint8Array', 'Int8Array', 'Uint16Array', 'Int16Array', 'Uint32Array', 'Int32Array', 'Float32Array', 'Float64Array', 'Uint8ClampedArray',
  'BigUint64Array', 'BigInt64Array', 'BigInt', 'DataView', 'Map', 'Set', 'WeakMap', 'WeakSet', 'WeakRef', 'FinalizationRegistry', 'Proxy', 'Reflect',
  'WebAssembly',
] as const;

/** What the language has without a name. */
const nameless = (): object[] => {
  const iterators = [[][Symbol.iterator](), new Map()[Symbol.iterator](), new Set()[Symbol.iterator](), ''[Symbol.iterator](), 'x'.matchAll(/x/g)];
  const functions = [async () => undefined, function* () { yield; }, async function* () { yield; }];
  return [...iterators, ...functions].flatMap((thing) => Object.getPrototypeOf(thing) as object);
};

/**
 * What is inherited can't be assigned to once it is frozen, though much code does so (`error.name = …`): these become
 * accessors that put an own property on whatever they are assigned to.
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
 * Freezes one, property by property. `Object.freeze` would do the same, but once it has been called on a prototype of
 * `Buffer`, writing to any buffer is ten times as slow in Node 20.
 */
const freeze = (thing: object): void => {
  Object.preventExtensions(thing);
  for (const key of Reflect.ownKeys(thing)) {
    const { configurable, writable } = Object.getOwnPropertyDescriptor(thing, key) ?? {};
    if (configurable === true || writable === true) Object.defineProperty(thing, key, writable === undefined ? { configurable: false } : { configurable: false, writable: false });
  }
};

/** Freezes the given ones and everything that their properties and prototypes lead to. Getters aren't called. */
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
