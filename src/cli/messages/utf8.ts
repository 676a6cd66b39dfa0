import { isUtf8 } from 'node:buffer';

/** How many bytes at the end belong to a character that isn't complete. */
const unfinished = (bytes: Buffer): number => {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? back : 0;
  }
  return 0;
};

/** The text before the first byte that isn't UTF-8. */
const textBefore = (bytes: Buffer): string => {
  const text = bytes.toString('utf8');
  for (let at = text.indexOf('\ufffd'); at >= 0; at = text.indexOf('\ufffd', at + 1)) {
    const offset = Buffer.byteLength(text.slice(0, at));
    if (!isUtf8(bytes.subarray(offset, offset + 3))) return text.slice(0, at);
  }
  return text;
};

/** Decodes UTF-8 that comes in pieces, up to the first byte that isn't. */
export class Utf8Decoder {
  #rest: Buffer = Buffer.alloc(0);
  #isText = true;

  /** False once there was a byte that isn't UTF-8: nothing is decoded any more. */
  get isText(): boolean {
    return this.#isText;
  }

  add(piece: Buffer): string {
    if (!this.#isText) return '';
    const all = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece]);
    const end = all.length - unfinished(all);
    this.#rest = all.subarray(end);
    return this.#decode(all.subarray(0, end));
  }

  /** To be called when the stream has ended. */
  end(): string {
    return this.#isText ? this.#decode(this.#rest) : '';
  }

  #decode(bytes: Buffer): string {
    this.#isText = isUtf8(bytes);
    return this.#isText ? bytes.toString('utf8') : textBefore(bytes);
  }
}
