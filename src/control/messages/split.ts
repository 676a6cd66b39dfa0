import { isUtf8 } from 'node:buffer';
import { MAX_MESSAGE_BYTES, ProtoflyError } from '../../protocol/index.js';
import { DocumentScanner } from './documents.js';

/** How stdin becomes messages. */
export const SPLITS = ['line', 'nul', 'json', 'eof'] as const;
export type Split = (typeof SPLITS)[number];

const tooLarge = (): ProtoflyError =>
  new ProtoflyError('E_TOO_LARGE', `stdin holds a message of more than ${String(MAX_MESSAGE_BYTES / 1024 / 1024)} MiB`, { hint: 'send it in pieces' });

const textOf = (bytes: Buffer): string => {
  if (isUtf8(bytes)) return bytes.toString('utf8');
  throw new ProtoflyError('E_USAGE', 'stdin isn\'t UTF-8 text', { hint: 'encode binary data first, for example with base64' });
};

/** Keeps the beginning of a message whose end hasn't come yet. */
class Carry {
  #parts: Buffer[] = [];
  #size = 0;

  add(bytes: Buffer): void {
    this.#size += bytes.length;
    if (this.#size > MAX_MESSAGE_BYTES) throw tooLarge();
    if (bytes.length > 0) this.#parts.push(bytes);
  }

  /** What was kept, with `bytes` behind it. */
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

/** Cuts at a byte that UTF-8 has nowhere else; what comes after the last one is a message too. */
async function* cut(chunks: AsyncIterable<Buffer>, at: number): AsyncGenerator<readonly string[]> {
  const separator = String.fromCharCode(at);
  const carry = new Carry();
  for await (const chunk of chunks) {
    const last = chunk.lastIndexOf(at);
    if (last < 0) { carry.add(chunk); continue; }
    if (carry.size + chunk.indexOf(at) > MAX_MESSAGE_BYTES) throw tooLarge();
    yield textOf(carry.take(chunk.subarray(0, last))).split(separator);
    carry.add(chunk.subarray(last + 1));
  }
  if (carry.size > 0) yield [textOf(carry.take(Buffer.alloc(0)))];
}

async function* whole(chunks: AsyncIterable<Buffer>): AsyncGenerator<readonly string[]> {
  const carry = new Carry();
  for await (const chunk of chunks) carry.add(chunk);
  yield [textOf(carry.take(Buffer.alloc(0)))];
}

async function* documents(chunks: AsyncIterable<Buffer>): AsyncGenerator<readonly string[]> {
  const scanner = new DocumentScanner(tooLarge);
  const decoder = new TextDecoder('utf-8', { fatal: true });
  const decode = (bytes?: Buffer): string => {
    try {
      return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true });
    } catch {
      return textOf(Buffer.from([0xff]));
    }
  };
  for await (const chunk of chunks) {
    const found = scanner.add(decode(chunk));
    if (found.length > 0) yield found;
  }
  yield scanner.end(decode());
}

/**
 * The messages of a byte stream, in the batches in which they come. Holds no more than one chunk and one message.
 * @throws ProtoflyError `E_TOO_LARGE`, `E_USAGE` for what isn't UTF-8
 */
export const splitStream = (chunks: AsyncIterable<Buffer>, split: Split): AsyncGenerator<readonly string[]> => {
  if (split === 'line') return cut(chunks, 0x0a);
  if (split === 'nul') return cut(chunks, 0);
  return split === 'json' ? documents(chunks) : whole(chunks);
};
