import { fstatSync, writeSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { asUnwritable } from './stdout.js';

/** A stream of this process, with the descriptor that it writes to. */
export type OutputStream = Writable & { readonly isTTY?: boolean; readonly fd?: number };

/** A write of so many bytes is accepted as a whole or not at all (PIPE_BUF): 4096 on Linux, 512 anywhere else. */
const WHOLE_BYTES = process.platform === 'linux' ? 4096 : 512;
/** A pipe's reader that has taken so many lines is believed to want all. */
const STEADY_LINES = 1024;
/** How long a reader has, before that, to leave after some lines, in milliseconds. */
const PAUSE_MS = 1;

/** Resolves when the stream has accepted a text; rejects with EPIPE when the reader has gone, otherwise with `E_PLATFORM`. */
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

/** How many of the lines are in the first `bytes` bytes of them. */
const wholeLines = (lines: readonly string[], bytes: number): number => {
  let count = 0;
  for (let end = 0; count < lines.length; count += 1) {
    end += Buffer.byteLength(lines[count]!);
    if (end > bytes) break;
  }
  return count;
};

/**
 * Writes lines to a stream and tells which of them the stream has accepted, so that exactly those count as taken
 * when its reader leaves or its disk is full.
 */
export class LineWriter {
  readonly #stream: OutputStream;
  readonly #kind: 'file' | 'pipe' | 'other';
  /** How many lines go into a pipe at once. It doubles, so that a reader that leaves early has been sent little more than it took. */
  #step = 1;
  #rest: Promise<void> | undefined;

  constructor(stream: OutputStream) {
    this.#stream = stream;
    this.#kind = kindOf(stream);
  }

  /**
   * Writes lines in order. After a consumer has stopped, nothing more is written.
   * @returns each time how many further lines have been accepted
   * @throws what the stream says: none but the lines told of were accepted as a whole
   */
  write(lines: readonly string[]): AsyncIterable<number> {
    if (this.#kind === 'pipe') return this.#toPipe(lines);
    return this.#kind === 'file' ? this.#toFile(lines) : this.#toOther(lines);
  }

  async *#toOther(lines: readonly string[]): AsyncGenerator<number> {
    await accepted(this.#stream, lines.join(''));
    yield lines.length;
  }

  /** Not by the stream: that takes a write for whole of which a full disk has taken a part. */
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

  /** How far one write goes: one line at least, else no more than is accepted as a whole. */
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
