import { fstatSync, writeSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { asUnwritable } from './stdout.js';

/** A stream of this process, with the descriptor that it writes to. */
export type OutputStream = Writable & { readonly isTTY?: boolean; readonly fd?: number };

/** Size up to which a write to a pipe is atomic (PIPE_BUF), in bytes: 4096 on Linux, 512 elsewhere. */
const WHOLE_BYTES = process.platform === 'linux' ? 4096 : 512;
/** Number of lines after which a pipe's reader is expected to read on to the end. */
const STEADY_LINES = 1024;
/** Pause after a write, during which an early reader may leave, in milliseconds. Ends after `STEADY_LINES` lines. */
const PAUSE_MS = 1;

/**
 * Writes text. Resolves when the stream has accepted it. Rejects with EPIPE if the reader has gone, else with
 * `E_PLATFORM`.
 */
export const accepted = (stream: Writable, text: string): Promise<void> =>
  new Promise((resolve, reject) => {
    stream.write(text, (error) => { if (error) reject(asUnwritable(error)); else resolve(); });
  });

const kindOf = ({ fd, isTTY }: OutputStream): 'file' | 'pipe' | 'other' => {
  if (fd === undefined || isTTY === true) return 'other';
  const stats = fstatSync(fd);
  if (stats.isFIFO() || stats.isSocket()) return 'pipe';
  return stats.isFile() || stats.isCharacterDevice() ? 'file' : 'other';
};

/** Returns the number of lines that lie wholly within the first `bytes` bytes. */
const wholeLines = (lines: readonly string[], bytes: number): number => {
  let count = 0;
  for (let end = 0; count < lines.length; count += 1) {
    end += Buffer.byteLength(lines[count]!);
    if (end > bytes) break;
  }
  return count;
};

/**
 * Writes lines to a stream and reports how many the stream has accepted. Exactly those count as taken if the reader
 * leaves or the disk is full.
 */
export class LineWriter {
  readonly #stream: OutputStream;
  readonly #kind: 'file' | 'pipe' | 'other';
  /**
   * The number of lines per write to a pipe. It starts small and doubles, so that a reader that leaves early has
   * hardly been sent more than it read.
   */
  #step = 1;
  #rest: Promise<void> | undefined;

  constructor(stream: OutputStream) {
    this.#stream = stream;
    this.#kind = kindOf(stream);
  }

  /**
   * Writes lines in order. If the consumer stops iterating, nothing more is written.
   * @returns for each write, the number of further lines accepted
   * @throws the stream's error; only the lines reported before were accepted completely
   */
  write(lines: readonly string[]): AsyncIterable<number> {
    if (this.#kind === 'pipe') return this.#toPipe(lines);
    return this.#kind === 'file' ? this.#toFile(lines) : this.#toOther(lines);
  }

  async *#toOther(lines: readonly string[]): AsyncGenerator<number> {
    await accepted(this.#stream, lines.join(''));
    yield lines.length;
  }

  /**
   * Writes to the file directly. A stream would report a write as complete although a full disk has taken only part
   * of it.
   */
  async *#toFile(lines: readonly string[]): AsyncGenerator<number> {
    const bytes = Buffer.from(lines.join(''));
    let failure: Error | undefined;
    let done = 0;
    try {
      while (done < bytes.length) done += writeSync(this.#stream.fd!, bytes, done);
    } catch (thrown) {
      failure = asUnwritable(thrown as Error);
    }
    yield await Promise.resolve(wholeLines(lines, done));
    if (failure !== undefined) throw failure;
  }

  async *#toPipe(lines: readonly string[]): AsyncGenerator<number> {
    for (let next = 0; next < lines.length; ) {
      await this.#rest;
      const end = this.#endOf(lines, next);
      const text = lines.slice(next, end).join('');
      if (text !== '') await accepted(this.#stream, text);
      if (this.#step < STEADY_LINES) this.#rest = pause(PAUSE_MS);
      else this.#rest = undefined;
      if (end < lines.length || end - next === this.#step) this.#step = Math.min(this.#step * 2, STEADY_LINES);
      yield end - next;
      next = end;
    }
  }

  /** Returns the end of the next write: at least one line, and no more bytes than an atomic write holds. */
  #endOf(lines: readonly string[], from: number): number {
    const most = Math.min(from + this.#step, lines.length);
    let end = from;
    for (let bytes = 0; end < most; end += 1) {
      bytes += Buffer.byteLength(lines[end]!);
      if (bytes > WHOLE_BYTES && end > from) break;
    }
    return end;
  }
}
