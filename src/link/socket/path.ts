import { ProtoflyError } from '../../protocol/index.js';

/** The longest socket path that all supported systems allow, in bytes (104 with the final zero on macOS). */
const MAX_PATH_BYTES = 103;

/**
 * Returns the address of a local socket: the path itself, or the matching named pipe on Windows.
 * @throws ProtoflyError `E_USAGE` if the path is longer than a socket's may be
 */
export const socketAddress = (path: string, platform: NodeJS.Platform = process.platform): string => {
  if (platform === 'win32') return `\\\\.\\pipe\\${path.replaceAll(/[\\/:]+/g, '-').replace(/^-/, '')}`;
  const bytes = Buffer.byteLength(path);
  if (bytes <= MAX_PATH_BYTES && !path.includes('\0')) return path;
  throw new ProtoflyError('E_USAGE', `a socket can't have a path of ${String(bytes)} bytes: ${path}`, {
    hint: `the path may have ${String(MAX_PATH_BYTES)} bytes: choose a folder with a shorter one`,
  });
};

/** Returns the path of the file that holds the token of a control socket (docs/control.md, "Opening"). */
export const tokenPath = (socket: string): string => `${socket}.token`;
