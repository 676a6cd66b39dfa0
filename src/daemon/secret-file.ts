import { readFileSync } from 'node:fs';
import { asProtoflyError, ProtoflyError } from '../protocol/index.js';

/** Maximum length of a secret. A longer file is something else. */
const MAX = 4096;

/** Returns the only line of a file with a secret. Errors never contain the secret. @throws ProtoflyError `E_USAGE` */
export const readSecretFile = (path: string): string => {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (cause) {
    throw new ProtoflyError('E_USAGE', `the secret can't be read: ${asProtoflyError(cause).message}`, { cause });
  }
  if (text === '' || text.length > MAX || /[\r\n]/.test(text)) throw new ProtoflyError('E_USAGE', `${path} doesn't hold a secret: one line is expected`);
  return text;
};
