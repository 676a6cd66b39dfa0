import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { asReportable } from '../kit/os-errors.js';
import { ProtoflyError } from '../protocol/index.js';
import type { Settings } from './settings.js';

const HINT = 'it takes a file with certificates in PEM, as in the setting ca';

/**
 * Reads a file of certificate authorities.
 * @returns its PEM text
 * @throws ProtoflyError `E_USAGE` if it can't be read, or holds no certificate
 */
export const readAuthorities = (path: string): string => {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new ProtoflyError('E_USAGE', `the certificate authorities can't be read: ${asReportable(cause).message}`, { hint: HINT, cause });
  }
  try {
    new X509Certificate(text);
    return text;
  } catch (cause) {
    throw new ProtoflyError('E_USAGE', `${path} holds no certificate`, { hint: HINT, cause });
  }
};

/** Returns the `fetch` of a profile. It trusts the authorities of the setting `ca`, too. @throws ProtoflyError `E_USAGE` */
export const fetchOf = async ({ ca }: Settings): Promise<typeof globalThis.fetch> =>
  (ca === undefined ? fetch : (await import('../link/web/index.js')).fetchTrusting(readAuthorities(ca)));
