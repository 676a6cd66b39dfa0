import { mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** How much may wait for room on the log's disk, in bytes. What comes then is counted instead. */
const MAX_WAITING = 256 * 1024;

export interface LogFileInit {
  /** A file, which is made when absent, or a file descriptor. */
  readonly target: string | number;
  /** So many lines found no place to wait. Called when what waited is written. */
  readonly onMissing: (lines: number) => void;
}

/** Writes lines at once and in order. What can't be written, as on a full disk, waits for the next line; nothing is thrown. */
export class LogFile {
  readonly #handle: number;
  readonly #onMissing: (lines: number) => void;
  #waiting: Buffer = Buffer.alloc(0);
  #missing = 0;

  /** @throws what the file system says of a file that can't be opened */
  constructor({ target, onMissing }: LogFileInit) {
    if (typeof target === 'string') mkdirSync(dirname(target), { recursive: true });
    this.#handle = typeof target === 'number' ? target : openSync(target, 'a', 0o600);
    this.#onMissing = onMissing;
  }

  write(line: string): void {
    if (this.#waiting.length > 0) this.#flush();
    const bytes = Buffer.from(line);
    if (this.#waiting.length + bytes.length > MAX_WAITING) { this.#missing += 1; return; }
    this.#waiting = this.#waiting.length === 0 ? bytes : Buffer.concat([this.#waiting, bytes]);
    this.#flush();
  }

  #flush(): void {
    try {
      while (this.#waiting.length > 0) this.#waiting = this.#waiting.subarray(writeSync(this.#handle, this.#waiting));
    } catch {
      // It stays where it is.
      return;
    }
    const missing = this.#missing;
    this.#missing = 0;
    if (missing > 0) this.#onMissing(missing);
  }
}
