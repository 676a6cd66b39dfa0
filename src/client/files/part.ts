import { constants } from 'node:fs';
import { access, chmod, link, lstat, open, readFile, rename, rm, stat, statfs, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { ProtoflyError } from '../../protocol/index.js';
import { numbered, partName } from './names.js';

/** The identity of the transfer that a part belongs to: file, sender and receiver. Stored in the sidecar. */
export interface PartKey {
  readonly id: string;
  /** The sender's runtime, or hyperty. */
  readonly owner: string;
  readonly to: string;
}

/** An incomplete file `.name.protofly-part`, with its key in the sidecar `.name.protofly-part.json`. */
export interface Part {
  /** The name of the complete file, if it is free then. */
  readonly name: string;
  readonly path: string;
  /** The number of bytes received. */
  readonly size: number;
}

/** The identity of a file, independent of its name. */
export interface FileId {
  readonly dev: number;
  readonly ino: number;
}

const MOST_NUMBERS = 10_000;
/** Maximum size of a sidecar, in bytes. It has three short fields. */
const MAX_SIDECAR = 16 * 1024;

const sidecarOf = (path: string): string => `${path}.json`;
const codeOf = (thrown: unknown): string | undefined => (thrown as NodeJS.ErrnoException | undefined)?.code;

const NO_ROOM = 'there is no room for it';

const wordsOf = (cause: unknown): string => {
  const code = codeOf(cause);
  if (code === 'ENOSPC' || code === 'EDQUOT') return NO_ROOM;
  return code ?? (cause instanceof Error ? cause.message : 'no reason');
};

/** Wraps an error of writing in the receiver's folder. The sender gets only its code, or its message if it has none. */
export const unwritable = (cause: unknown): ProtoflyError =>
  new ProtoflyError('E_REFUSED', `the receiver can't write it: ${wordsOf(cause)}`, { cause });

const readKey = async (path: string): Promise<PartKey | 'none' | 'other'> => {
  try {
    const { size } = await stat(sidecarOf(path));
    if (size > MAX_SIDECAR) return 'other';
    const { id, owner, to } = JSON.parse(await readFile(sidecarOf(path), 'utf8')) as Partial<PartKey>;
    return typeof id === 'string' && typeof owner === 'string' && typeof to === 'string' ? { id, owner, to } : 'other';
  } catch (thrown) {
    return codeOf(thrown) === 'ENOENT' ? 'none' : 'other';
  }
};

const isSame = (known: PartKey | 'none' | 'other', { id, owner, to }: PartKey): boolean =>
  typeof known === 'object' && known.id === id && known.owner === owner && known.to === to;

const sizeOf = async (path: string): Promise<number | undefined> => {
  try {
    const found = await stat(path);
    return found.isFile() ? found.size : undefined;
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return undefined;
    throw thrown;
  }
};

/**
 * Checks early that a file can be written: the folder exists, is writable and has room.
 * @param bytes the number of bytes to come
 * @throws ProtoflyError `E_REFUSED`
 */
export const checkRoom = async (folder: string, bytes: number): Promise<void> => {
  let room: number;
  try {
    await access(folder, constants.W_OK | constants.X_OK);
    const { bavail, bsize } = await statfs(folder);
    room = bavail * bsize;
  } catch (thrown) {
    throw unwritable(thrown);
  }
  if (bytes > room) throw new ProtoflyError('E_REFUSED', `the receiver can't write it: ${NO_ROOM}`);
};

/**
 * Returns the part of a transfer: the one left by an earlier attempt, else a free path for a new one. Creates
 * nothing.
 * @throws ProtoflyError `E_REFUSED`
 */
export const findPart = async (folder: string, name: string, key: PartKey): Promise<Part> => {
  try {
    for (let number = 0; number < MOST_NUMBERS; number++) {
      const path = join(folder, partName(numbered(name, number)));
      const [known, size] = [await readKey(path), await sizeOf(path)];
      if (known === 'none' && size === undefined) return { name, path, size: 0 };
      if (isSame(known, key)) return { name, path, size: size ?? 0 };
    }
  } catch (thrown) {
    throw unwritable(thrown);
  }
  throw new ProtoflyError('E_REFUSED', `the receiver has too many unfinished files named ${name}`);
};

export const dropPart = async (path: string): Promise<void> => {
  await Promise.all([rm(path, { force: true }), rm(sidecarOf(path), { force: true })]);
};

/** Creates the sidecar. @returns false if another transfer has created one there, in this program or another */
const claim = async (path: string, key: PartKey): Promise<boolean> => {
  for (;;) {
    try {
      await writeFile(sidecarOf(path), JSON.stringify(key), { mode: 0o600, flag: 'wx' });
      return true;
    } catch (thrown) {
      if (codeOf(thrown) !== 'EEXIST') throw thrown;
    }
    const known = await readKey(path);
    if (known !== 'none' && !isSame(known, key)) return false;
    await dropPart(path);
  }
};

/**
 * Creates an empty part and its sidecar; replaces an older part of the same transfer.
 * @returns undefined if another transfer owns that path
 */
export const makePart = async (path: string, key: PartKey): Promise<FileHandle | undefined> => {
  if (!(await claim(path, key))) return undefined;
  await rm(path, { force: true });
  return open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
};

/** Opens an existing part to continue it. Doesn't follow links. */
export const openPart = (path: string): Promise<FileHandle> => open(path, constants.O_RDWR | constants.O_NOFOLLOW);

/** True if the path still leads to the opened file. */
export const isStill = async (path: string, { dev, ino }: FileId): Promise<boolean> => {
  try {
    const found = await lstat(path);
    return found.dev === dev && found.ino === ino;
  } catch (thrown) {
    if (codeOf(thrown) === 'ENOENT') return false;
    throw thrown;
  }
};

/**
 * Renames the part to a free name without ever replacing a file.
 * @returns false if the name has been taken in the meantime
 */
const take = async (path: string, target: string): Promise<boolean> => {
  try {
    await link(path, target);
    await rm(path);
    return true;
  } catch (thrown) {
    if (codeOf(thrown) === 'EEXIST') return false;
    if (codeOf(thrown) === 'ENOENT') throw thrown;
  }
  // The file system has no hard links: reserve the name first.
  try {
    await (await open(target, 'wx', 0o600)).close();
  } catch (thrown) {
    if (codeOf(thrown) === 'EEXIST') return false;
    throw thrown;
  }
  try {
    await rename(path, target);
  } catch (thrown) {
    await rm(target, { force: true });
    throw thrown;
  }
  return true;
};

/** Turns the part into the file `name`, `name (1)`, … @returns its path @throws errors of the file system */
export const keepPart = async (folder: string, part: Part): Promise<string> => {
  await chmod(part.path, 0o666 & ~process.umask());
  for (let number = 0; number < MOST_NUMBERS; number++) {
    const target = join(folder, numbered(part.name, number));
    if (!(await take(part.path, target))) continue;
    await rm(sidecarOf(part.path), { force: true });
    return target;
  }
  throw new ProtoflyError('E_REFUSED', `the receiver has too many files named ${part.name}`);
};
