import { constants } from 'node:fs';
import { chmod, link, open, readFile, rename, rm, stat, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { ProtoflyError } from '../../protocol/index.js';
import { numbered, partName } from './names.js';

/** Which transfer a part belongs to: who sends what to whom. It stands in the sidecar. */
export interface PartKey {
  readonly id: string;
  /** The sender's runtime, or hyperty. */
  readonly owner: string;
  readonly to: string;
}

/** A file that isn't complete: `.name.protofly-part`, and beside it `.name.protofly-part.json` with its key. */
export interface Part {
  /** The name that the whole will have, if that is free. */
  readonly name: string;
  readonly path: string;
  /** How much of it there is. */
  readonly size: number;
}

const MOST_NUMBERS = 10_000;
/** A sidecar has three short fields. */
const MAX_SIDECAR = 16 * 1024;

const sidecarOf = (path: string): string => `${path}.json`;
const codeOf = (thrown: unknown): string | undefined => (thrown as NodeJS.ErrnoException | undefined)?.code;

/** A folder that can't be written is its owner's business; the sender learns that much. */
export const unwritable = (cause: unknown): ProtoflyError =>
  new ProtoflyError('E_REFUSED', `the receiver can't write it: ${codeOf(cause) ?? (cause instanceof Error ? cause.message : 'no reason')}`, { cause });

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
 * The part of a transfer: the one that an earlier attempt has left, else where a new one can be. Nothing is made.
 * @param isTaken paths that other transfers use
 * @throws ProtoflyError `E_REFUSED`
 */
export const findPart = async (folder: string, name: string, key: PartKey, isTaken: (path: string) => boolean): Promise<Part> => {
  try {
    for (let number = 0; number < MOST_NUMBERS; number++) {
      const path = join(folder, partName(numbered(name, number)));
      if (isTaken(path)) continue;
      const [known, size] = [await readKey(path), await sizeOf(path)];
      if (known === 'none' && size === undefined) return { name, path, size: 0 };
      if (typeof known === 'object' && known.id === key.id && known.owner === key.owner && known.to === key.to) return { name, path, size: size ?? 0 };
    }
  } catch (thrown) {
    throw unwritable(thrown);
  }
  throw new ProtoflyError('E_REFUSED', `the receiver has too many unfinished files named ${name}`);
};

export const dropPart = async (path: string): Promise<void> => {
  await Promise.all([rm(path, { force: true }), rm(sidecarOf(path), { force: true })]);
};

/** Opens a part for writing behind what there is; makes it and its sidecar where there is none. Follows no link. */
export const openPart = async ({ path, size }: Part, key: PartKey): Promise<FileHandle> => {
  if (size === 0) {
    await dropPart(path);
    await writeFile(sidecarOf(path), JSON.stringify(key), { mode: 0o600, flag: 'wx' });
  }
  const flags = size === 0 ? constants.O_CREAT | constants.O_EXCL : constants.O_NOFOLLOW;
  return open(path, constants.O_RDWR | flags, 0o600);
};

/** Gives the part a name that was free, without ever replacing a file. False when that name was taken meanwhile. */
const take = async (path: string, target: string): Promise<boolean> => {
  try {
    await link(path, target);
    await rm(path);
    return true;
  } catch (thrown) {
    if (codeOf(thrown) === 'EEXIST') return false;
  }
  // A file system without hard links: reserve the name first.
  try {
    await (await open(target, 'wx', 0o600)).close();
  } catch (thrown) {
    if (codeOf(thrown) === 'EEXIST') return false;
    throw thrown;
  }
  await rename(path, target);
  return true;
};

/** The part becomes the file, as `name`, `name (1)`, … @returns its path @throws what the file system says */
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
