import { isUtf8 } from 'node:buffer';
import { MAX_MESSAGE_BYTES, ProtoflyError } from '../../protocol/index.js';
import { DocumentScanner } from './documents.js';
import { Utf8Decoder } from './utf8.js';

/** The ways to split stdin into messages. */
export const SPLITS = ['line', 'nul', 'json', 'eof'] as const;
export type Split = (typeof SPLITS)[number];

const tooLarge = (): ProtoflyError =>
  new ProtoflyError('E_TOO_LARGE', `stdin holds a message of more than ${String(MAX_MESSAGE_BYTES / 1024 / 1024)} MiB`, { hint: 'send it in pieces' });

const HINT = 'encode binary data first, for example with base64';
const notText = (what: string): ProtoflyError => new ProtoflyError('E_USAGE', `${what} isn't UTF-8 text`, { hint: HINT });

/** Keeps the beginning of an incomplete message. */
class Carry {
  #parts: Buffer[] = [];
  #size = 0;

  add(bytes: Buffer): void {
    this.#size += bytes.length;
    if (this.#size > MAX_MESSAGE_BYTES) throw tooLarge();
    if (bytes.length > 0) this.#parts.push(bytes);
  }

  /** Returns the kept bytes followed by `bytes`, and clears them. */
  take(bytes: Buffer): Buffer {
    if (this.#parts.length === 0) return bytes;
    const all = Buffer.concat([...this.#parts, bytes]);
    this.#parts = [];
    this.#size = 0;
    return all;
  }

  get size(): number {
    return this.#size;
  }
}

/** Splits a block of complete messages. Stops at the first message that isn't text. */
const piecesOf = (block: Buffer, at: number): { readonly pieces: readonly string[]; readonly isText: boolean } => {
  const separator = String.fromCharCode(at);
  if (isUtf8(block)) return { pieces: block.toString('utf8').split(separator), isText: true };
  const pieces: string[] = [];
  for (let start = 0; ; ) {
    const end = block.indexOf(at, start);
    const piece = block.subarray(start, end < 0 ? block.length : end);
    if (!isUtf8(piece)) return { pieces, isText: false };
    pieces.push(piece.toString('utf8'));
    start += piece.length + 1;
  }
};

/** Splits at a byte that occurs in UTF-8 only as itself. The text after the last separator is a message, too. */
async function* cut(chunks: AsyncIterable<Buffer>, at: number): AsyncGenerator<readonly string[]> {
  const carry = new Carry();
  let count = 0;
  function* take(block: Buffer): Generator<readonly string[]> {
    const { pieces, isText } = piecesOf(block, at);
    count += pieces.length;
    if (pieces.length > 0) yield pieces;
    if (!isText) throw notText(`message ${String(count + 1)} of stdin`);
  }
  for await (const chunk of chunks) {
    const last = chunk.lastIndexOf(at);
    if (last < 0) { carry.add(chunk); continue; }
    if (carry.size + chunk.indexOf(at) > MAX_MESSAGE_BYTES) throw tooLarge();
    yield* take(carry.take(chunk.subarray(0, last)));
    carry.add(chunk.subarray(last + 1));
  }
  if (carry.size > 0) yield* take(carry.take(Buffer.alloc(0)));
}

async function* whole(chunks: AsyncIterable<Buffer>): AsyncGenerator<readonly string[]> {
  const carry = new Carry();
  for await (const chunk of chunks) carry.add(chunk);
  const all = carry.take(Buffer.alloc(0));
  if (!isUtf8(all)) throw notText('stdin');
  yield [all.toString('utf8')];
}

async function* documents(chunks: AsyncIterable<Buffer>): AsyncGenerator<readonly string[]> {
  const scanner = new DocumentScanner();
  const decoder = new Utf8Decoder();
  for await (const chunk of chunks) {
    const found = scanner.add(decoder.add(chunk));
    if (found.length > 0) yield found;
    if (!decoder.isText) throw notText('stdin');
    if (scanner.size > MAX_MESSAGE_BYTES) throw tooLarge();
  }
  const rest = decoder.end();
  if (!decoder.isText) throw notText('stdin');
  const found = scanner.end(rest);
  if (found.length > 0) yield found;
}

/**
 * Returns the messages of a byte stream, in batches. Holds at most one chunk and one message.
 * @throws ProtoflyError `E_TOO_LARGE`; `E_USAGE` if it isn't UTF-8
 */
export const splitStream = (chunks: AsyncIterable<Buffer>, split: Split): AsyncGenerator<readonly string[]> => {
  if (split === 'line') return cut(chunks, 0x0a);
  if (split === 'nul') return cut(chunks, 0);
  return split === 'json' ? documents(chunks) : whole(chunks);
};
