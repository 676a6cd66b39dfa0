import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { asProtoflyError, ProtoflyError } from '../../protocol/index.js';
import { tokenPath } from './path.js';

/** Length of a token before it is encoded, in bytes. */
const TOKEN_BYTES = 32;

/**
 * The secret that a program must know to open a session on a control socket. It is made anew at each start, and lies
 * in a file that only this user can read. A sandboxed stub can't read files, so it can't use the socket.
 */
export class SocketToken {
  readonly path: string;
  readonly #digest: Buffer;

  private constructor(path: string, token: string) {
    this.path = path;
    this.#digest = digestOf(token);
  }

  /**
   * Makes a token and writes it beside the socket, with mode 0600 whatever the umask. Replaces an earlier file, and
   * never follows a symbolic link.
   * @throws ProtoflyError `E_PLATFORM`
   */
  static create(socket: string): SocketToken {
    const path = tokenPath(socket);
    const token = randomBytes(TOKEN_BYTES).toString('base64url');
    const part = `${path}.${String(process.pid)}.part`;
    rmSync(part, { force: true });
    try {
      writeFileSync(part, `${token}\n`, { flag: 'wx', mode: 0o600 });
      renameSync(part, path);
    } catch (cause) {
      throw new ProtoflyError('E_PLATFORM', `the token ${path} can't be written: ${asProtoflyError(cause).message}`, { cause });
    } finally {
      rmSync(part, { force: true });
    }
    return new SocketToken(path, token);
  }

  /** Compares in constant time. */
  matches(offered: string): boolean {
    return timingSafeEqual(this.#digest, digestOf(offered));
  }

  remove(): void {
    rmSync(this.path, { force: true });
  }
}

/** Digests have one length, so comparing them tells nothing about the length of the token. */
const digestOf = (token: string): Buffer => createHash('sha256').update(token).digest();
