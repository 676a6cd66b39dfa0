import { TokenBucket } from '../../kit/token-bucket.js';
import type { Clock, StubSandbox } from '../../protocol/index.js';

export interface LogLimitInit {
  /** Lines per second in the long run. @default 20 */
  readonly linesPerSecond?: number;
  /** Maximum number of lines at once. @default 100 */
  readonly burst?: number;
}

/** Maximum length of a line, in UTF-16 code units. */
const LONGEST = 1000;

/** Rate limiter for log lines. Cuts long lines, drops lines above the rate, and logs how many were dropped. */
export class LogLimit {
  readonly #clock: Clock;
  readonly #write: StubSandbox['log'];
  readonly #bucket: TokenBucket;
  #dropped = 0;

  constructor({ clock, write }: { readonly clock: Clock; readonly write: StubSandbox['log'] }, init: LogLimitInit = {}) {
    this.#clock = clock;
    this.#write = write;
    this.#bucket = new TokenBucket({ clock }, { perSecond: init.linesPerSecond ?? 20, burst: init.burst ?? 100 });
  }

  /** @returns true if the line was passed on */
  log(level: Parameters<StubSandbox['log']>[0], text: string): boolean {
    if (this.#bucket.level < 1) {
      if (this.#dropped === 0) this.#clock.setTimeout(() => { this.#tellDropped(); }, 1000);
      this.#dropped += 1;
      return false;
    }
    this.#bucket.take(1);
    this.#write(level, this.#cut(text));
    return true;
  }

  #tellDropped(): void {
    this.#write('info', `… ${String(this.#dropped)} more lines`);
    this.#dropped = 0;
  }

  /** Cuts a line to the maximum length and replaces control characters. */
  #cut(text: string): string {
    const line = text.slice(0, LONGEST).toWellFormed().replaceAll(/\p{Cc}+/gu, ' ');
    return text.length > LONGEST ? `${line} …` : line;
  }
}
