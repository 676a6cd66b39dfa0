import { isUtf8 } from 'node:buffer';

/** Returns the number of bytes at the end that belong to an incomplete character. */
const unfinished = (bytes: Buffer): number => {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!;
    if (byte < 0x80) return 0;
    if (byte >= 0xc0) return back < (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2) ? back : 0;
  }
  return 0;
};

/** Returns the text before the first byte that isn't UTF-8. */
const textBefore = (bytes: Buffer): string => {
  const text = bytes.toString('utf8');
  for (let at = text.indexOf('\ufffd'); at >= 0; at = text.indexOf('\ufffd', at + 1)) {
    const offset = Buffer.byteLength(text.slice(0, at));
    if (!isUtf8(bytes.subarray(offset, offset + 3))) return text.slice(0, at);
  }
  return text;
};

/** Decodes UTF-8 that arrives in pieces, up to the first invalid byte. */
export class Utf8Decoder {
  #rest: Buffer = Buffer.alloc(0);
  #isText = true;

  /** False once an invalid byte was found. From then on nothing is decoded. */
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

  /** Decodes the rest at the end of the stream. */
  end(): string {
    return this.#isText ? this.#decode(this.#rest) : '';
  }

  #decode(bytes: Buffer): string {
    this.#isText = isUtf8(bytes);
    return this.#isText ? bytes.toString('utf8') : textBefore(bytes);
  }
}
