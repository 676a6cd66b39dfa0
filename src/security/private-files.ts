import { chmodSync, lstatSync, mkdirSync, statSync, type Stats } from 'node:fs';
import { ProtoflyError } from '../protocol/index.js';

/** Bits of a mode that let other users in. */
const OTHERS = 0o077;

const isMissing = (thrown: unknown): boolean => (thrown as NodeJS.ErrnoException).code === 'ENOENT';

/** Returns this user's id; undefined on Windows, where modes mean nothing. */
const ownId = (): number | undefined => process.getuid?.();

/** @throws ProtoflyError `E_REFUSED` if `path`, or the target of the symbolic link there, belongs to another user */
const ownStats = (path: string, uid: number): Stats => {
  const found = lstatSync(path);
  const target = found.isSymbolicLink() ? statSync(path) : found;
  if (found.uid === uid && target.uid === uid) return target;
  throw new ProtoflyError('E_REFUSED', `${path} belongs to another user`, { hint: 'take it over with chown, move it away, or set PROTOFLY_HOME to another folder' });
};

const tighten = (path: string, mode: number): void => {
  const uid = ownId();
  if (uid !== undefined && (ownStats(path, uid).mode & OTHERS) !== 0) chmodSync(path, mode);
};

/**
 * Makes a folder that only this user can enter, whatever the umask. Closes an existing one to others.
 * @throws ProtoflyError `E_REFUSED` if it belongs to another user; errors of the file system
 */
export const ensurePrivateFolder = (path: string): void => {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  tighten(path, 0o700);
};

/**
 * Closes a file to other users, if it exists.
 * @throws ProtoflyError `E_REFUSED` if it belongs to another user; errors of the file system
 */
export const tightenFile = (path: string): void => {
  try {
    tighten(path, 0o600);
  } catch (thrown) {
    if (!isMissing(thrown)) throw thrown;
  }
};
