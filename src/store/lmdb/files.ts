import { accessSync, closeSync, constants, fstatSync, openSync, readSync, renameSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { ProtoflyError } from '../../protocol/index.js';
import { ensurePrivateFolder, tightenFile } from '../../security/private-files.js';
import { copiesOnWrite } from './reserve.js';

/** Size of lmdb's default table of readers, in bytes. All of it must be on disk, because lmdb maps it into memory. */
const LOCK_BYTES = 16 * 1024;
/** Size of a new database with its first collections, in bytes. */
const NEW_BYTES = 256 * 1024;
/** Number of files that lmdb opens at once. */
const DESCRIPTORS = 4;
/** The magic number of lmdb, within the first bytes of each of the first two pages. */
const SIGN = 0xbeefc0de;
const SIGN_WITHIN = 64;
const PAGE_SIZES = [4096, 8192, 16_384, 32_768, 65_536] as const;
const BLOCK = 4096;
const ZEROS = Buffer.alloc(BLOCK);

export const dataFile = (path: string): string => join(path, 'data.mdb');

/**
 * Checks that lmdb can open the database in the folder `path`, and creates the folder if missing. Without this check,
 * lmdb would end the process: if the files are no database or can't be written, or if there is no room for its table
 * of readers.
 * @throws ProtoflyError `E_STORE` if it isn't a database; errors of the file system
 */
export const prepareFiles = (path: string): void => {
  ensurePrivateFolder(path);
  const [data, lock] = [dataFile(path), join(path, 'lock.mdb')];
  tightenFile(data);
  tightenFile(lock);
  const isNew = sizeOf(data) === 0;
  if (!isNew) {
    checkData(data);
    if (!copiesOnWrite(path)) fillHoles(data);
  }
  // Never close another descriptor of this file: that would release the locks that lmdb holds on it in this process.
  if (sizeOf(lock) === 0) writeZeros(lock, LOCK_BYTES);
  else accessSync(lock, constants.R_OK | constants.W_OK);
  if (isNew) {
    checkRoom(path);
    // lmdb would create it readable for others. An empty file counts as a new database.
    closeSync(openSync(data, 'a', 0o600));
  }
  checkDescriptors(path);
};

const sizeOf = (file: string): number => statSync(file, { throwIfNoEntry: false })?.size ?? 0;

const checkData = (file: string): void => {
  accessSync(file, constants.R_OK | constants.W_OK);
  const handle = openSync(file, 'r');
  try {
    if (!fstatSync(handle).isFile() || !hasSign(handle, 0) || !PAGE_SIZES.some((size) => hasSign(handle, size))) {
      throw new ProtoflyError('E_STORE', `${file} is damaged, or not a database`, { hint: 'restore it from a backup, or move it away to begin with an empty one' });
    }
  } finally {
    closeSync(handle);
  }
};

const hasSign = (handle: number, position: number): boolean => {
  const bytes = Buffer.alloc(SIGN_WITHIN);
  if (readSync(handle, bytes, 0, SIGN_WITHIN, position) < SIGN_WITHIN) return false;
  for (let at = 0; at < SIGN_WITHIN; at += 4) if (bytes.readUInt32LE(at) === SIGN) return true;
  return false;
};

/**
 * Fills holes in the file with zeros. Unwritten pages occupy no disk space, so lmdb could find the disk full when it
 * writes them.
 */
const fillHoles = (file: string): void => {
  const handle = openSync(file, 'r+');
  try {
    const { size, blocks } = fstatSync(handle);
    if (blocks * 512 >= size) return;
    const block = Buffer.alloc(BLOCK);
    for (let at = 0; at < size; at += BLOCK) {
      const read = readSync(handle, block, 0, BLOCK, at);
      if (block.subarray(0, read).equals(ZEROS.subarray(0, read))) writeSync(handle, ZEROS, 0, read, at);
    }
  } finally {
    closeSync(handle);
  }
};

/** Creates a file completely or not at all. */
const writeZeros = (file: string, size: number): void => {
  const part = `${file}.${String(process.pid)}.part`;
  try {
    writeFileSync(part, Buffer.alloc(size), { mode: 0o600 });
    renameSync(part, file);
  } finally {
    rmSync(part, { force: true });
  }
};

const checkRoom = (path: string): void => {
  const file = join(path, `room.${String(process.pid)}.part`);
  try {
    writeFileSync(file, Buffer.alloc(NEW_BYTES), { mode: 0o600 });
  } finally {
    rmSync(file, { force: true });
  }
};

const checkDescriptors = (path: string): void => {
  const handles: number[] = [];
  try {
    for (let number = 0; number < DESCRIPTORS; number += 1) handles.push(openSync(path, 'r'));
  } finally {
    for (const handle of handles) closeSync(handle);
  }
};
