import { ProtoflyError } from '../protocol/index.js';

/** What stands in a string for bytes that weren't UTF-8. It may also have been typed. */
const REPLACEMENT = '\ufffd';

/** The bytes of the last `count` arguments, where the system shows them. */
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
 * Refuses arguments that were not UTF-8: Node has changed them already. Where the system doesn't show the bytes, they
 * can't be told from arguments that hold U+FFFD, and are taken.
 * @throws ProtoflyError `E_USAGE`
 */
export const checkArguments = (args: readonly string[]): void => {
  if (!args.some((arg) => arg.includes(REPLACEMENT))) return;
  const { isUtf8 } = process.getBuiltinModule('node:buffer');
  const bad = bytesOfLast(args.length)?.findIndex((bytes) => !isUtf8(bytes)) ?? -1;
  if (bad < 0) return;
  throw new ProtoflyError('E_USAGE', `argument ${String(bad + 1)} isn't UTF-8 text`, { hint: 'convert it with iconv; binary data goes over stdin, encoded with base64' });
};
