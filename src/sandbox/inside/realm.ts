import { inspect } from 'node:util';
import vm from 'node:vm';
import type { StubContext } from '../contract/evaluate.js';
import { harden } from './harden.js';

/** Globals of the web platform that need no network. */
const WEB = [
  'URL', 'URLSearchParams', 'TextEncoder', 'TextDecoder', 'structuredClone', 'btoa', 'atob', 'AbortController', 'AbortSignal', 'Event', 'EventTarget',
  'Headers', 'Request', 'Response', 'FormData', 'Blob', 'DOMException',
] as const;

type Callback = (...parameters: unknown[]) => void;

/** Creates timers like the web's, whose ids are numbers. */
const createTimers = (attempt: StubContext['attempt']) => {
  const running = new Map<number, NodeJS.Timeout>();
  let last = 0;
  const clear = (id: unknown): void => {
    clearTimeout(running.get(id as number));
    running.delete(id as number);
  };
  const set = (repeats: boolean) => (run: Callback, milliseconds?: number, ...parameters: unknown[]): number => {
    if (typeof run !== 'function') throw new TypeError('a timer needs a function');
    const id = ++last;
    const call = (): void => {
      if (!repeats) running.delete(id);
      attempt(() => { run(...parameters); });
    };
    const delay = Math.min(Math.max(Number(milliseconds ?? 0) || 0, 0), 2 ** 31 - 1);
    running.set(id, repeats ? setInterval(call, delay) : setTimeout(call, delay));
    return id;
  };
  return {
    globals: { setTimeout: set(false), setInterval: set(true), clearTimeout: clear, clearInterval: clear },
    end: () => { for (const id of [...running.keys()]) clear(id); },
  };
};

/** Formats a logged value without calling methods of its own. */
const show = (thing: unknown): string =>
  typeof thing === 'string' ? thing : inspect(thing, { customInspect: false, depth: 3, maxArrayLength: 20, maxStringLength: 1000, breakLength: Infinity });

const createConsole = (log: StubContext['log']): Readonly<Record<string, unknown>> => {
  const at = (level: Parameters<typeof log>[0]) => (...things: readonly unknown[]): void => { log(level, things.map(show).join(' ')); };
  return { log: at('info'), info: at('info'), debug: at('debug'), trace: at('debug'), warn: at('warn'), error: at('warn') };
};

/** Wraps the web's cryptography, so that the original objects stay out of reach. */
const createCrypto = (): Readonly<Record<string, unknown>> => {
  const { crypto } = globalThis;
  const subtle = Object.fromEntries(
    Object.entries(Object.getOwnPropertyDescriptors(Object.getPrototypeOf(crypto.subtle) as object))
      .filter(([name, { value }]) => name !== 'constructor' && typeof value === 'function')
      .map(([name, { value }]) => [name, (...parameters: unknown[]) => Reflect.apply(value as Callback, crypto.subtle, parameters) as unknown]),
  );
  return {
    subtle,
    getRandomValues: (array: Uint8Array): Uint8Array => crypto.getRandomValues(array),
    randomUUID: () => crypto.randomUUID(),
  };
};

/** Defines a global and freezes everything reachable from it. A global with a getter is created at its first use. */
const place = (context: vm.Context, name: string, { value, get }: PropertyDescriptor): void => {
  const put = (thing: unknown): unknown => {
    harden(thing);
    Object.defineProperty(context, name, { configurable: true, writable: true, enumerable: false, value: thing });
    return thing;
  };
  if (get === undefined) put(value);
  else Object.defineProperty(context, name, { configurable: true, enumerable: false, get: () => put(get()) });
};

/**
 * Creates a realm for one stub: the language, and the harmless part of the web platform. A stub can't change
 * the initial objects, nor those of `globals`, in a way that others would notice.
 */
export const createRealm = ({ url, log, attempt }: StubContext, globals: Readonly<Record<string, unknown>>): { readonly context: vm.Context; readonly end: () => void } => {
  // Without interceptors where Node supports that (20.18): they slow down each access to a global.
  const bare = (vm.constants as unknown as { readonly DONT_CONTEXTIFY?: vm.Context }).DONT_CONTEXTIFY ?? (Object.create(null) as vm.Context);
  const context = vm.createContext(bare, { name: url, codeGeneration: { strings: false, wasm: false } });
  const timers = createTimers(attempt);
  const own = {
    ...timers.globals,
    console: createConsole(log),
    crypto: createCrypto(),
    performance: { now: () => performance.now(), timeOrigin: performance.timeOrigin },
    queueMicrotask: (run: Callback) => { queueMicrotask(() => { attempt(run); }); },
  };
  // Node loads much of the web platform at its first use; the getters keep it so.
  for (const name of WEB) Object.defineProperty(own, name, { enumerable: true, get: () => (globalThis as unknown as Record<string, unknown>)[name] });
  harden(own);
  for (const [name, property] of Object.entries({ ...Object.getOwnPropertyDescriptors(own), ...Object.getOwnPropertyDescriptors(globals) })) {
    place(context, name, property);
  }
  return { context, end: timers.end };
};
