import { ProtoflyError } from '../../../protocol/index.js';
import type { HostCalls, Value } from './border.js';

/** The kinds of arguments that a host call takes. Bytes are a copy. */
interface Kinds {
  readonly text: string;
  readonly number: number;
  readonly bytes: Uint8Array;
}
export type Kind = keyof Kinds;
type Arguments<Takes extends readonly Kind[]> = { readonly [Index in keyof Takes]: Kinds[Takes[Index]] };

/** A function that the realm may call. Its arguments are checked before it runs. */
export interface HostCall {
  readonly takes: readonly Kind[];
  run(...args: readonly (string | number | Uint8Array)[]): Value;
}

/** Some of the functions that the realm may call, by name. */
export type HostCallTable = { readonly [Name in keyof HostCalls]?: HostCall };

export const hostCall = <const Takes extends readonly Kind[]>(takes: Takes, run: (...args: Arguments<Takes>) => Value | void): HostCall =>
  ({ takes, run: (...args) => run(...(args as unknown as Arguments<Takes>)) ?? undefined });

/** Maximum length of JSON that the realm made, in UTF-16 code units. What is parsed takes many times as much memory. */
const LONGEST_JSON = 1024 * 1024;

/** Parses JSON that the realm made. @throws ProtoflyError `E_USAGE` if it isn't a JSON object, `E_TOO_LARGE` */
export const objectIn = (text: string): Readonly<Record<string, unknown>> => {
  if (text.length > LONGEST_JSON) throw new ProtoflyError('E_TOO_LARGE', `at most ${String(LONGEST_JSON)} characters of JSON`);
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Readonly<Record<string, unknown>>;
  } catch {
    // Refused below.
  }
  throw new ProtoflyError('E_USAGE', 'not a JSON object');
};

/** A table of what a stub has open, with a limit. */
export class Open<T> {
  readonly #what: string;
  readonly #limit: number;
  readonly #all = new Map<number, T>();

  constructor(what: string, limit: number) {
    this.#what = what;
    this.#limit = limit;
  }

  /** @throws ProtoflyError `E_TOO_MANY`, `E_CONFLICT` */
  checkRoom(id: number): void {
    if (this.#all.size >= this.#limit) throw new ProtoflyError('E_TOO_MANY', `this stub has ${String(this.#limit)} ${this.#what} open already`);
    if (this.#all.has(id)) throw new ProtoflyError('E_CONFLICT', `${this.#what} ${String(id)} is in use`);
  }

  add(id: number, thing: T): void {
    this.checkRoom(id);
    this.#all.set(id, thing);
  }

  get(id: number): T | undefined {
    return this.#all.get(id);
  }

  delete(id: number): T | undefined {
    const thing = this.#all.get(id);
    this.#all.delete(id);
    return thing;
  }

  /** Removes all, and returns them. */
  takeAll(): T[] {
    const all = [...this.#all.values()];
    this.#all.clear();
    return all;
  }
}
