import { constants } from 'node:fs';
import { access, mkdir, realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { ProtoflyError } from '../../protocol/index.js';

/** Returns the folder for received files, created if missing. @throws ProtoflyError `E_USAGE` if it can't be used */
export const saveFolder = async (path: string): Promise<string> => {
  try {
    await mkdir(path, { recursive: true });
    await access(path, constants.W_OK | constants.X_OK);
    return await realpath(resolve(path));
  } catch (cause) {
    throw new ProtoflyError('E_USAGE', `files can't be saved in ${path}: ${cause instanceof Error ? cause.message : 'no reason'}`, { cause });
  }
};
