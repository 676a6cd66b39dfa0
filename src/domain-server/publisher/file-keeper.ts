import { randomUUID } from 'node:crypto';
import { lstat, mkdir, open, readFile, realpath, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { asProtoflyError, ProtoflyError } from '../../protocol/index.js';
import type { KeyKeeper } from './key-keeper.js';

const isMissing = (thrown: unknown): boolean => (thrown as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';

/** Keeps keys in a file that only its owner may read. Writes are atomic. */
export const fileKeeper = (path: string): KeyKeeper => {
  const where = `the file ${path}`;
  const failed = (what: string, cause: unknown): ProtoflyError =>
    new ProtoflyError('E_PLATFORM', `${where}, which holds the publisher key, can't be ${what}: ${asProtoflyError(cause).message}`, { cause });
  return {
    where,
    read: async () => {
      try {
        return await readFile(path, 'utf8');
      } catch (cause) {
        // A dangling link isn't a missing key: its target may only be unmounted.
        if (!isMissing(cause) || await exists(path)) throw failed('read', cause);
        return undefined;
      }
    },
    write: async (text) => {
      try {
        await mkdir(dirname(path), { recursive: true, mode: 0o700 });
        await replace(await exists(path) ? await realpath(path) : path, text);
      } catch (cause) {
        throw failed('written', cause);
      }
    },
  };
};

const exists = async (path: string): Promise<boolean> => {
  try {
    await lstat(path);
    return true;
  } catch (thrown) {
    if (isMissing(thrown)) return false;
    throw thrown;
  }
};

const replace = async (path: string, text: string): Promise<void> => {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw thrown;
  }
  // Windows can't open a folder.
  if (process.platform === 'win32') return;
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
};
