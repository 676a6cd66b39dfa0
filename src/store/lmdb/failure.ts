import { statfsSync } from 'node:fs';
import { getSystemErrorName } from 'node:util';
import { asProtoflyError, ProtoflyError } from '../../protocol/index.js';

/** Error codes of a full disk or an exceeded quota. */
const NO_ROOM: ReadonlySet<string | undefined> = new Set(['ENOSPC', 'EDQUOT']);
/** Minimum size of a commit that can be cut short, in bytes. lmdb writes up to 64 pages at once. */
const SHORT_WRITE = 64 * 64 * 1024;

/** An error of lmdb. Its code is that of the system, or a negative one of lmdb. */
interface LmdbError {
  readonly code?: unknown;
  readonly message?: unknown;
  /** Rejects with the reason why the commit failed. */
  readonly commitError?: Promise<unknown>;
}

/** Returns the reason of a failed write: the cause of lmdb's `Commit failed`, if any. Never rejects. */
export const reasonOf = async (thrown: unknown): Promise<unknown> => {
  const { commitError } = thrown as LmdbError;
  return commitError === undefined ? thrown : commitError.then(() => thrown, (reason: unknown) => reason);
};

/** Returns an error of the database in the folder `path`, named by the system's error code if it has one. */
export const storeError = (what: string, path: string, cause: unknown): ProtoflyError => {
  if (cause instanceof ProtoflyError && cause.code === 'E_STORE') return cause;
  const code = systemCodeOf(path, cause);
  const named = typeof code === 'string' ? Object.assign(new Error(asProtoflyError(cause).message, { cause }), { code }) : cause;
  if (NO_ROOM.has(code)) {
    return new ProtoflyError('E_STORE', `no space left on the disk of ${path} (${String(code)})`, { hint: 'make room on that disk: writing goes on as soon as there is room', cause: named });
  }
  return new ProtoflyError('E_STORE', `the store at ${path} can't be ${what}: ${asProtoflyError(cause).message}${code === undefined ? '' : ` (${code})`}`, { cause: named });
};

const systemCodeOf = (path: string, cause: unknown): string | undefined => {
  const { code } = (typeof cause === 'object' && cause !== null ? cause : {}) as LmdbError;
  if (typeof code === 'string') return /^E[A-Z0-9]+$/.test(code) ? code : undefined;
  if (typeof code !== 'number' || code <= 0) return undefined;
  const name = nameOf(code);
  // A commit with room for only its first pages is reported as an input/output error.
  return name === 'EIO' && freeBytes(path) < SHORT_WRITE ? 'ENOSPC' : name;
};

const nameOf = (code: number): string | undefined => {
  try {
    return getSystemErrorName(-code);
  } catch {
    return undefined;
  }
};

const freeBytes = (path: string): number => {
  try {
    const { bavail, bsize } = statfsSync(path);
    return bavail * bsize;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
};
