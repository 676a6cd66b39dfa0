import { ProtoflyError } from '../protocol/index.js';
import { compareKeys, type SortedMap } from './sorted-map.js';
import type { Range } from './store.js';

const MAX_KEY = 500;

/** @throws ProtoflyError `E_STORE` for an invalid key */
export const checkKey = (key: string): string => {
  if (key.length === 0 || key.length > MAX_KEY || !key.isWellFormed()) {
    throw new ProtoflyError('E_STORE', `a key has 1 to ${String(MAX_KEY)} characters, not ${String(key.length)}`);
  }
  return key;
};

/** Encodes a value as text, so that later changes to the object don't affect it. @throws ProtoflyError `E_STORE` */
export const encodeValue = (value: unknown): string => {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw new ProtoflyError('E_STORE', 'a value is not JSON', { cause });
  }
  if (text === undefined) throw new ProtoflyError('E_STORE', `a value is not JSON: ${typeof value}`);
  return text;
};

/** Yields the keys of a sorted map within a range, ignoring its limit. */
export function* keysIn(map: SortedMap<unknown>, { prefix = '', after, reverse = false }: Range): Generator<string> {
  const inside = (key: string): boolean => key.startsWith(prefix) && (after === undefined || compareKeys(key, after) > 0);
  if (reverse) {
    for (const key of map.descending((key) => key.startsWith(prefix) || compareKeys(key, prefix) < 0)) {
      if (!inside(key)) return;
      yield key;
    }
    return;
  }
  for (const key of map.ascending(after !== undefined && compareKeys(after, prefix) > 0 ? after : prefix)) {
    if (key === after) continue;
    if (!inside(key)) return;
    yield key;
  }
}

/** Runs transactions, and undoes their writes if they throw. Transactions may be nested. */
export class Undo {
  #steps: (() => void)[] | undefined;

  /** Records how to undo the next write. Does nothing outside a transaction. */
  note(step: () => void): void {
    this.#steps?.push(step);
  }

  run<R>(run: () => R): R {
    const outer = this.#steps;
    const steps: (() => void)[] = [];
    this.#steps = steps;
    try {
      const result = run();
      if (typeof result === 'object' && result !== null && 'then' in result) {
        throw new ProtoflyError('E_STORE', 'a transaction is synchronous');
      }
      outer?.push(...steps);
      return result;
    } catch (thrown) {
      for (const step of steps.reverse()) step();
      throw thrown;
    } finally {
      this.#steps = outer;
    }
  }
}
