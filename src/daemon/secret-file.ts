import { readFileSync } from 'node:fs';
import { asProtoflyError, ProtoflyError } from '../protocol/index.js';

/** Longest that a secret is. A longer file is something else. */
const MAX = 4096;

/** The one line of a file that holds a secret. It is never in a message. @throws ProtoflyError `E_USAGE` */
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
