import { readFileSync } from 'node:fs';
import { tokenPath } from '../link/socket/path.js';
import { asProtoflyError, ProtoflyError } from '../protocol/index.js';

/**
 * Reads the token that a daemon asks for on its control socket. Read it after connecting: it changes at each start.
 * @returns undefined if there is no token file
 * @throws ProtoflyError `E_REFUSED` if it can't be read, as when the daemon belongs to another user
 */
export const readToken = (socket: string): string | undefined => {
  try {
    return readFileSync(tokenPath(socket), 'utf8').trim();
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new ProtoflyError('E_REFUSED', `the token of the control socket can't be read: ${asProtoflyError(cause).message}`, { hint: 'only the user who started the daemon may use its socket', cause });
  }
};
