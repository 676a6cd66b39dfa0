import { bytesIn, host } from './host.js';

export class TextEncoder {
  readonly encoding = 'utf-8';

  encode(text: unknown = ''): Uint8Array {
    return new Uint8Array(host.encode(String(text)));
  }

  /** Writes as many whole characters as fit. @returns the number of UTF-16 code units taken, and of bytes written */
  encodeInto(text: unknown, into: Uint8Array): { read: number; written: number } {
    const whole = String(text);
    const bytes = this.encode(whole);
    if (bytes.length <= into.length) {
      into.set(bytes);
      return { read: whole.length, written: bytes.length };
    }
    const cut = bytes.subarray(0, into.length);
    const fitting = cut.subarray(0, cut.length - unfinished(cut));
    into.set(fitting);
    return { read: new TextDecoder('utf-8', { ignoreBOM: true }).decode(fitting).length, written: fitting.length };
  }
}

/** Number of bytes at the end that begin a UTF-8 character without ending it. */
const unfinished = (bytes: Uint8Array): number => {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!;
    if (byte < 0x80) return 0;
    if (byte < 0xc0) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    return length > back ? back : 0;
  }
  return 0;
};

/** The web's TextDecoder. Only UTF-8 can be decoded in pieces. */
export class TextDecoder {
  readonly encoding: string;
  readonly fatal: boolean;
  readonly ignoreBOM: boolean;
  #kept: Uint8Array = new Uint8Array(0);
  #isFirst = true;

  constructor(label: unknown = 'utf-8', { fatal = false, ignoreBOM = false }: { readonly fatal?: boolean; readonly ignoreBOM?: boolean } = {}) {
    const text = String(label).toLowerCase();
    this.encoding = text === 'utf8' ? 'utf-8' : text;
    this.fatal = fatal;
    this.ignoreBOM = ignoreBOM;
    host.decode(new ArrayBuffer(0), this.encoding, 0, 0);
  }

  decode(input?: unknown, { stream = false }: { readonly stream?: boolean } = {}): string {
    const fresh = new Uint8Array(input === undefined ? new ArrayBuffer(0) : bytesIn(input) ?? new ArrayBuffer(0));
    const all = this.#kept.length === 0 ? fresh : joined([this.#kept, fresh]);
    const left = stream && this.encoding === 'utf-8' ? unfinished(all) : 0;
    this.#kept = all.slice(all.length - left);
    const keepsMark = this.ignoreBOM || !this.#isFirst;
    this.#isFirst = stream ? this.#isFirst && all.length - left === 0 : true;
    try {
      return host.decode(bytesIn(all.subarray(0, all.length - left))!, this.encoding, this.fatal ? 1 : 0, keepsMark ? 1 : 0);
    } catch (cause) {
      throw new TypeError('The encoded data was not valid', { cause });
    }
  }
}

export const joined = (pieces: readonly Uint8Array[]): Uint8Array => {
  const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
};

export const btoa = (text: unknown): string => {
  const bytes = new Uint8Array(String(text).length);
  for (const [index, character] of [...String(text)].entries()) {
    const code = character.codePointAt(0)!;
    if (code > 255) throw new RangeError('btoa takes characters up to U+00FF');
    bytes[index] = code;
  }
  return host.toBase64(bytes.buffer);
};

export const atob = (text: unknown): string => {
  const clean = String(text).replaceAll(/[\t\n\f\r ]/g, '').replace(/={1,2}$/, '');
  if (clean.length % 4 === 1 || !/^[A-Za-z0-9+/]*$/.test(clean)) throw new RangeError('not base64');
  let binary = '';
  for (const byte of new Uint8Array(host.fromBase64(clean))) binary += String.fromCharCode(byte);
  return binary;
};
