import { isUtf8 } from 'node:buffer';
import { ProtoflyError } from '../../protocol/index.js';
import { Fifo } from '../../kit/fifo.js';

const FEED = 0x0a;

export interface LinesInit {
  /** Maximum length of a line without its line feed, in bytes. */
  readonly maxLine: number;
  readonly onReject: (error: ProtoflyError, text?: string) => void;
}

/**
 * Splits a byte stream into lines. Drops a line that is too long or isn't UTF-8. Copies each byte a bounded
 * number of times, however small the chunks. Keeps at most one unfinished line.
 */
export class LineSplitter {
  readonly #maxLine: number;
  readonly #onReject: LinesInit['onReject'];
  /** Whole lines, undecoded. */
  readonly #blocks = new Fifo<Buffer>();
  /** Whole decoded lines; those before `#at` have been returned. */
  #text = '';
  #at = 0;
  #partial: Buffer | undefined;
  #used = 0;
  #state: 'reading' | 'skipping' = 'reading';
  #ended = false;

  constructor({ maxLine, onReject }: LinesInit) {
    this.#maxLine = maxLine;
    this.#onReject = onReject;
  }

  /** True if the stream ended with an empty line, which marks an orderly end. */
  get endedInOrder(): boolean {
    return this.#ended && this.#used === 0 && this.#state === 'reading';
  }

  push(chunk: Buffer): void {
    if (chunk.length === 0) return;
    let start = 0;
    const continues = this.#used > 0 || this.#state === 'skipping';
    if (continues) {
      const feed = chunk.indexOf(FEED);
      start = feed < 0 ? chunk.length : feed + 1;
      this.#continue(chunk.subarray(0, feed < 0 ? chunk.length : feed));
      if (feed < 0) return;
      this.#finish();
    }
    const end = chunk.lastIndexOf(FEED) + 1;
    if (end > start) {
      this.#blocks.push(chunk.subarray(start, end));
      start = end;
      this.#ended = chunk[end - 1] === FEED && (end >= 2 ? chunk[end - 2] === FEED : !continues);
    }
    if (start < chunk.length) this.#continue(chunk.subarray(start));
  }

  /** Returns the next whole line that isn't empty. */
  next(): string | undefined {
    for (;;) {
      while (this.#at < this.#text.length) {
        const feed = this.#text.indexOf('\n', this.#at);
        const line = this.#text.slice(this.#at, feed);
        this.#at = feed + 1;
        if (line.length === 0 || line === '\r') continue;
        if (line.length * 3 <= this.#maxLine || Buffer.byteLength(line) <= this.#maxLine) return line;
        this.#tooLong();
      }
      const block = this.#blocks.shift();
      this.#at = 0;
      this.#text = block === undefined ? '' : this.#decode(block);
      if (block === undefined) return undefined;
    }
  }

  /** Call when the stream has ended. Rejects an unfinished line. */
  end(): void {
    if (this.#used > 0) {
      this.#ended = false;
      this.#onReject(new ProtoflyError('E_MESSAGE', 'the last line isn\'t complete'), this.#partial?.toString('utf8', 0, this.#used));
    }
    this.#partial = undefined;
    this.#used = 0;
  }

  #continue(piece: Buffer): void {
    if (this.#state === 'skipping') return;
    const needed = this.#used + piece.length;
    if (needed > this.#maxLine) {
      this.#state = 'skipping';
      this.#partial = undefined;
      this.#used = 0;
      this.#tooLong();
      return;
    }
    if (this.#partial === undefined || this.#partial.length <= needed) {
      const larger = Buffer.allocUnsafeSlow(Math.min(Math.max(256, 2 * needed), this.#maxLine + 1));
      this.#partial?.copy(larger, 0, 0, this.#used);
      this.#partial = larger;
    }
    piece.copy(this.#partial, this.#used);
    this.#used = needed;
  }

  /** Completes the unfinished line. */
  #finish(): void {
    this.#ended = false;
    this.#state = 'reading';
    if (this.#partial === undefined) return;
    this.#partial[this.#used] = FEED;
    this.#blocks.push(this.#partial.subarray(0, this.#used + 1));
    this.#partial = undefined;
    this.#used = 0;
  }

  #decode(block: Buffer): string {
    if (isUtf8(block)) return block.toString('utf8');
    let text = '';
    for (let at = 0; at < block.length;) {
      const feed = block.indexOf(FEED, at);
      const line = block.subarray(at, feed + 1);
      if (isUtf8(line)) text += line.toString('utf8');
      else this.#onReject(new ProtoflyError('E_MESSAGE', 'a line isn\'t UTF-8'));
      at = feed + 1;
    }
    return text;
  }

  #tooLong(): void {
    this.#onReject(new ProtoflyError('E_TOO_LARGE', `a line is longer than ${String(this.#maxLine)} bytes`));
  }
}
