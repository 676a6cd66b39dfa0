import { newQuickJSWASMModuleFromVariant, newVariant, type QuickJSContext, type QuickJSHandle, type QuickJSRuntime, type QuickJSSyncVariant } from 'quickjs-emscripten-core';
import variant from '@jitl/quickjs-wasmfile-release-sync';
import { asProtoflyError, MAX_MESSAGE_BYTES, ProtoflyError } from '../../../protocol/index.js';
import type { GuestEvents, Value } from './border.js';
import { crossed, crossing } from './crossing.js';
import type { HostCall, HostCallTable, Kind } from './host-call.js';
import { TurnBudget } from './turn-budget.js';

const MIB = 1024 * 1024;
const PAGE = 64 * 1024;
/** First size of an instance's memory. The WebAssembly module demands it. */
const FIRST_MIB = 16;
/** Memory beyond the interpreter's own limit, for copies that cross the border. */
const SPARE_MIB = 64;
/** Largest text or piece of bytes that leaves the realm, in UTF-16 code units or bytes. */
const LARGEST = 2 * MAX_MESSAGE_BYTES;

export interface RealmComponents {
  /** The compiled interpreter. */
  readonly interpreter: WebAssembly.Module;
  /** The source text of the prelude. */
  readonly prelude: string;
  readonly calls: HostCallTable;
  /** Called once, when the realm had to be ended. */
  readonly onEnd: (reason: string) => void;
  /** Called with the name of a module that the stub wanted to import. */
  readonly onImport: (specifier: string) => void;
}

export interface RealmInit {
  /** @default 128 */
  readonly memoryMiB?: number;
  /** Stack of the interpreter, in bytes. @default 256 KiB */
  readonly stackBytes?: number;
  /** Maximum processor time of the turns in one round of the event loop, in milliseconds. @default 1000 */
  readonly turnMs?: number;
}

interface Machine {
  readonly runtime: QuickJSRuntime;
  readonly context: QuickJSContext;
  readonly tell: QuickJSHandle;
}

type State =
  | { readonly at: 'starting' }
  | { readonly at: 'idle'; readonly machine: Machine }
  | { readonly at: 'in-turn'; readonly machine: Machine }
  | { readonly at: 'ended'; readonly reason: string };

/** Thrown by what goes on in a realm that has to be ended. */
class Overrun extends Error {}

/**
 * A realm for one stub: an instance of the interpreter, with memory of its own. An instance is never taken apart.
 * A realm that ends drops it as a whole: after some errors the interpreter can't free what it holds.
 */
export class Realm {
  readonly #components: RealmComponents;
  readonly #budget: TurnBudget;
  #state: State = { at: 'starting' };

  private constructor(components: RealmComponents, { turnMs = 1000 }: RealmInit) {
    this.#components = components;
    this.#budget = new TurnBudget(turnMs);
  }

  /** Makes a realm and runs the prelude in it. @throws ProtoflyError `E_PLATFORM` */
  static async create(components: RealmComponents, init: RealmInit = {}): Promise<Realm> {
    const realm = new Realm(components, init);
    const { memoryMiB = 128, stackBytes = 256 * 1024 } = init;
    const wasmMemory = new WebAssembly.Memory({ initial: (FIRST_MIB * MIB) / PAGE, maximum: ((memoryMiB + SPARE_MIB) * MIB) / PAGE });
    const module = await newQuickJSWASMModuleFromVariant(newVariant(variant as unknown as QuickJSSyncVariant, { wasmModule: components.interpreter, wasmMemory }));
    const runtime = module.newRuntime();
    runtime.setMemoryLimit(memoryMiB * MIB);
    runtime.setMaxStackSize(stackBytes);
    runtime.setInterruptHandler(() => realm.#budget.isSpent());
    runtime.setModuleLoader((specifier) => {
      components.onImport(specifier);
      return { error: new Error(`a stub is one module and imports nothing, not even ${specifier.slice(0, 80)}`) };
    }, (_from, specifier) => specifier);
    const context = runtime.newContext();
    const table = context.newObject();
    for (const [name, call] of Object.entries(components.calls)) {
      context.newFunction(name, (...handles) => realm.#answer(context, call, handles)).consume((handle) => { context.setProp(table, name, handle); });
    }
    context.setProp(context.global, '__host', table);
    table.dispose();
    realm.#budget.begin();
    const exports = context.unwrapResult(context.evalCode(components.prelude, 'prelude', { type: 'module' }));
    realm.#state = { at: 'idle', machine: { runtime, context, tell: context.getProp(exports, 'tell') } };
    return realm;
  }

  /**
   * Evaluates a module and hands its exports, or a promise for them, to the prelude.
   * @throws ProtoflyError `E_DESCRIPTOR` if it can't be evaluated
   */
  evaluate(source: string, name: string): void {
    const outcome = this.#turn((machine) => {
      const { context } = machine;
      const result = context.evalCode(source, name, { type: 'module' });
      if (result.error !== undefined) return this.#budget.isSpent() ? this.#budget.reason : messageOf(context, result.error);
      this.#call(machine, [context.newString('module'), result.value]);
      return undefined;
    });
    const why = this.#state.at === 'ended' ? this.#state.reason : outcome;
    if (typeof why === 'string') throw new ProtoflyError('E_DESCRIPTOR', `the stub's module can't be evaluated: ${why}`);
  }

  /** Tells the realm an event, and runs its promises. @returns the prelude's answer; 0 after the end */
  tell<Name extends keyof GuestEvents>(event: Name, ...values: GuestEvents[Name]): number {
    const answer = this.#turn((machine) => this.#call(machine, [event, ...values].map((value) => handleOf(machine.context, value))));
    return typeof answer === 'number' ? answer : 0;
  }

  /** Drops everything. Idempotent. */
  end(reason: string): void {
    if (this.#state.at === 'ended') return;
    this.#state = { at: 'ended', reason };
    this.#components.onEnd(reason);
  }

  #turn<T>(run: (machine: Machine) => T): T | undefined {
    if (this.#state.at === 'ended') return undefined;
    if (this.#state.at !== 'idle') throw new ProtoflyError('E_INTERNAL', 'a realm was entered while it was running');
    const { machine } = this.#state;
    this.#state = { at: 'in-turn', machine };
    this.#budget.begin();
    try {
      const result = run(machine);
      this.#runJobs(machine);
      return result;
    } catch (thrown) {
      // The interpreter itself failed, or was interrupted: nothing can be said of its state.
      this.end(this.#budget.isSpent() ? this.#budget.reason : thrown instanceof Overrun ? thrown.message : wordsOf(thrown));
      return undefined;
    } finally {
      this.#budget.end();
      if (this.#state.at === 'in-turn') this.#state = { at: 'idle', machine };
    }
  }

  #runJobs({ runtime, context }: Machine): void {
    while (runtime.hasPendingJob() && !this.#budget.isSpent()) {
      const result = runtime.executePendingJobs(1000);
      if (result.error !== undefined) throw new Overrun(messageOf(context, result.error));
      result.dispose();
    }
    // An interruption inside a promise's job only rejects that promise, so the jobs may seem to have come to their end.
    if (this.#budget.isSpent()) throw new Overrun(this.#budget.reason);
  }

  /** Calls the prelude. It handles the errors of the stub: one that comes out ends the realm. */
  #call({ context, tell }: Machine, handles: readonly QuickJSHandle[]): number {
    const result = context.callFunction(tell, context.undefined, ...handles);
    for (const handle of handles) handle.dispose();
    if (result.error !== undefined) throw new Overrun(messageOf(context, result.error));
    const answer = context.typeof(result.value) === 'number' ? context.getNumber(result.value) : 0;
    result.dispose();
    return answer;
  }

  #answer(context: QuickJSContext, call: HostCall, handles: readonly QuickJSHandle[]): QuickJSHandle {
    try {
      if (this.#state.at === 'ended') throw new ProtoflyError('E_ABORTED', 'the stub has ended');
      return handleOf(context, call.run(...call.takes.map((kind, index) => valueIn(context, handles[index], kind))));
    } catch (thrown) {
      const { code, message } = asProtoflyError(thrown);
      throw Object.assign(new Error(message), { name: code });
    }
  }
}

/** Reads an argument without running code of the realm. @throws ProtoflyError `E_USAGE`, `E_TOO_LARGE` */
const valueIn = (context: QuickJSContext, handle: QuickJSHandle | undefined, kind: Kind): string | number | Uint8Array => {
  const type = handle === undefined ? 'undefined' : context.typeof(handle);
  if (handle !== undefined && kind === 'number' && type === 'number') return context.getNumber(handle);
  if (handle !== undefined && kind === 'text' && type === 'string') {
    if (context.getProp(handle, 'length').consume((length) => context.getNumber(length)) > LARGEST) throw new ProtoflyError('E_TOO_LARGE', 'a text is too long');
    return crossed(context.getString(handle));
  }
  if (handle !== undefined && kind === 'bytes' && type === 'object') {
    const view = context.getArrayBuffer(handle);
    const { byteLength } = view.value;
    if (byteLength > LARGEST) throw new ProtoflyError('E_TOO_LARGE', 'too many bytes at once');
    const copy = Uint8Array.from(view.value);
    view.dispose();
    return copy;
  }
  throw new ProtoflyError('E_USAGE', `not a ${kind} but a ${type}`);
};

const handleOf = (context: QuickJSContext, value: Value): QuickJSHandle => {
  if (value === undefined) return context.undefined;
  if (typeof value === 'number') return context.newNumber(value);
  const handle = typeof value === 'string' ? context.newString(crossing(value)) : context.newArrayBuffer(new Uint8Array(value).buffer);
  // What the interpreter has no memory for is an exception instead of a value.
  if (context.typeof(handle) !== (typeof value === 'string' ? 'string' : 'object')) throw new Overrun('out of memory');
  return handle;
};

/** The message of an error in the realm. */
const messageOf = (context: QuickJSContext, error: QuickJSHandle): string => {
  const read = (name: string): string => context.getProp(error, name).consume((handle) => (context.typeof(handle) === 'string' ? context.getString(handle) : ''));
  if (context.typeof(error) !== 'object') return 'it failed without an error';
  const message = read('message').slice(0, 500);
  if (message === 'out of memory' || read('name') === '') return 'ran out of memory';
  return message === '' ? read('name') : message;
};

/** Words for an error of the interpreter itself. */
const wordsOf = (thrown: unknown): string => (thrown instanceof RangeError ? 'stack overflow' : `the interpreter failed: ${asProtoflyError(thrown).message.slice(0, 200)}`);
