import { mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { tightenFile } from '../security/private-files.js';

/** Maximum of lines held while the disk is full, in bytes. Further lines are dropped and counted. */
const MAX_WAITING = 256 * 1024;

export interface LogFileInit {
  /** A path, created if missing, or a file descriptor. */
  readonly target: string | number;
  /** Called with the number of dropped lines, once the held lines are written. */
  readonly onMissing: (lines: number) => void;
}

/**
 * Writes lines synchronously and in order. If writing fails, as on a full disk, lines are held until the next write.
 * `write` never throws.
 */
export class LogFile {
  readonly #handle: number;
  readonly #onMissing: (lines: number) => void;
  #waiting: Buffer = Buffer.alloc(0);
  #missing = 0;

  /** @throws ProtoflyError `E_REFUSED` if the file belongs to another user; errors of the file system, if it can't be opened */
  constructor({ target, onMissing }: LogFileInit) {
    if (typeof target === 'string') {
      mkdirSync(dirname(target), { recursive: true, mode: 0o700 });
      tightenFile(target);
    }
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
      // The lines stay queued.
      return;
    }
    const missing = this.#missing;
    this.#missing = 0;
    if (missing > 0) this.#onMissing(missing);
  }
}
