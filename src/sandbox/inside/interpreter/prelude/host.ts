import { isErrorCode, ProtoflyError } from '../../../../protocol/index.js';
import { describeError } from '../../../contract/describe-error.js';
import type { HostCalls } from '../border.js';
import { crossed, crossing } from '../crossing.js';

/** Bytes are a Uint8Array outside, and an ArrayBuffer here. */
type Inside<T> = T extends Uint8Array ? ArrayBuffer : T;
export type Host = { readonly [Name in keyof HostCalls]: (...args: Parameters<HostCalls[Name]>) => Inside<ReturnType<HostCalls[Name]>> };

type AnyCall = (...args: unknown[]) => unknown;

const wrapped = (call: AnyCall): AnyCall => (...args) => {
  try {
    const answer = call(...args.map((arg) => (typeof arg === 'string' ? crossing(arg) : arg)));
    return typeof answer === 'string' ? crossed(answer) : answer;
  } catch (thrown) {
    const { name, message } = thrown as Error;
    throw isErrorCode(name) ? new ProtoflyError(name, message) : thrown;
  }
};

const takeHost = (): Host => {
  const realm = globalThis as { __host?: Readonly<Record<string, AnyCall>> };
  const table = realm.__host ?? {};
  delete realm.__host;
  return Object.freeze(Object.fromEntries(Object.entries(table).map(([name, call]) => [name, wrapped(call)]))) as unknown as Host;
};

/** The functions of the code around the realm. The stub can't reach them but through the classes here. */
export const host: Host = takeHost();

/** True for an error after which the realm can't go on. */
const isFatal = (thrown: unknown): boolean => thrown === null || (thrown instanceof Error && thrown.name === 'InternalError' && thrown.message === 'out of memory');

/** Calls code of the stub. Reports an error as the stub's, and lets only fatal ones through. */
export const attempt = (run: () => void): void => {
  try {
    run();
  } catch (thrown) {
    if (isFatal(thrown)) throw thrown;
    host.fault(`a callback failed: ${describeError(thrown)}`);
  }
};

/** Returns a copy of the bytes as an ArrayBuffer. Undefined if the value holds no bytes. */
export const bytesIn = (data: unknown): ArrayBuffer | undefined => {
  if (data instanceof ArrayBuffer) return data;
  return ArrayBuffer.isView(data) ? data.buffer.slice(data.byteOffset, data.byteOffset + data.byteLength) as ArrayBuffer : undefined;
};

/** Counts the things that cross the border by number. */
export const counter = (): (() => number) => {
  let last = 0;
  return () => ++last;
};
