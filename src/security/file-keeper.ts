import { randomUUID } from 'node:crypto';
import { link, lstat, mkdir, open, readFile, realpath, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { asProtoflyError, partsOf, ProtoflyError, type Address } from '../protocol/index.js';
import type { SharedKeyKeeper } from './key-keeper.js';
import { ensurePrivateFolder, tightenFile } from './private-files.js';

const isMissing = (thrown: unknown): boolean => (thrown as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';

/** Keeps a secret document in a file that only its owner may read. Writes are atomic. @param what names the document in errors */
export const fileKeeper = (path: string, what = 'the publisher key'): SharedKeyKeeper => {
  const where = `the file ${path}`;
  const failed = (how: string, cause: unknown): ProtoflyError =>
    new ProtoflyError('E_PLATFORM', `${where}, which holds ${what}, can't be ${how}: ${asProtoflyError(cause).message}`, { cause });
  const read = async (): Promise<string | undefined> => {
    try {
      return await readFile(path, 'utf8');
    } catch (cause) {
      // A dangling link isn't a missing key: its target may only be unmounted.
      if (!isMissing(cause) || await exists(path)) throw failed('read', cause);
      return undefined;
    }
  };
  return {
    where,
    read,
    write: async (text) => {
      try {
        await mkdir(dirname(path), { recursive: true, mode: 0o700 });
        await place(await exists(path) ? await realpath(path) : path, text, rename);
      } catch (cause) {
        throw failed('written', cause);
      }
    },
    create: async (text) => {
      const there = await read();
      if (there !== undefined) return there;
      try {
        await mkdir(dirname(path), { recursive: true, mode: 0o700 });
        // Unlike a rename, a link never replaces what another process has written meanwhile.
        await place(path, text, link);
        return text;
      } catch (cause) {
        if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw failed('written', cause);
        return (await read()) ?? text;
      }
    },
  };
};

/**
 * Keeps the keys of users in a folder, each in a file of its own. What other users of the machine can open is closed to
 * them.
 * @throws ProtoflyError `E_REFUSED`, from the function, if a file or folder belongs to another user of the machine
 */
export const userKeyFiles = (folder: string): ((user: Address) => SharedKeyKeeper) => (user) => {
  const { domain, path } = partsOf(user);
  const file = join(folder, domain, `${encodeURIComponent(path)}.json`);
  for (const place of [folder, dirname(file)]) ensurePrivateFolder(place);
  tightenFile(file);
  return fileKeeper(file, `the key of ${user}`);
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

/** Writes a text to the disk, then moves it to its place. */
const place = async (path: string, text: string, move: (from: string, to: string) => Promise<void>): Promise<void> => {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await move(temporary, path);
  } finally {
    await rm(temporary, { force: true });
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
