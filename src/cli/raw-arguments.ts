import { ProtoflyError } from '../protocol/index.js';

/** The replacement character for bytes that aren't UTF-8. A user may also have typed it. */
const REPLACEMENT = '\ufffd';

/** Returns the bytes of the last `count` arguments; undefined if the system doesn't show them. */
const bytesOfLast = (count: number): readonly Buffer[] | undefined => {
  if (process.platform !== 'linux') return undefined;
  try {
    const { readFileSync } = process.getBuiltinModule('node:fs');
    const parts: Buffer[] = [];
    const all = readFileSync('/proc/self/cmdline');
    for (let at = 0; at < all.length; ) {
      const end = all.indexOf(0, at);
      parts.push(all.subarray(at, end < 0 ? all.length : end));
      at = end < 0 ? all.length : end + 1;
    }
    return parts.slice(-count);
  } catch {
    return undefined;
  }
};

/**
 * Refuses arguments that aren't UTF-8, because Node has already replaced their bytes. If the system doesn't show the
 * original bytes, arguments with U+FFFD are accepted.
 * @throws ProtoflyError `E_USAGE`
 */
export const checkArguments = (args: readonly string[]): void => {
  if (!args.some((arg) => arg.includes(REPLACEMENT))) return;
  const { isUtf8 } = process.getBuiltinModule('node:buffer');
  const bad = bytesOfLast(args.length)?.findIndex((bytes) => !isUtf8(bytes)) ?? -1;
  if (bad < 0) return;
  throw new ProtoflyError('E_USAGE', `argument ${String(bad + 1)} isn't UTF-8 text`, { hint: 'convert it with iconv; binary data goes over stdin, encoded with base64' });
};
