import { readFile } from 'node:fs/promises';
import type { Clock, Timer } from '../../protocol/index.js';

const MIB = 1024 * 1024;
/** Interval between checks, in milliseconds: normally, and above half of the limit. */
const CALM_MS = 500;
const WARY_MS = 100;
const RESIDENT = /^VmRSS:\s*(\d+) kB$/m;

export interface MemoryWatchInit {
  readonly pid: number;
  readonly limitMiB: number;
  /** Called once. */
  readonly onExceeded: (reason: string) => void;
}

/** Watches the memory use of a process: from outside on Linux, elsewhere by the process's own reports. */
export class MemoryWatch {
  readonly #clock: Clock;
  readonly #init: MemoryWatchInit;
  #timer: Timer | undefined;
  #ended = false;

  constructor({ clock }: { readonly clock: Clock }, init: MemoryWatchInit) {
    this.#clock = clock;
    this.#init = init;
    if (process.platform === 'linux') this.#again(CALM_MS);
  }

  /** Idempotent. */
  close(): void {
    this.#ended = true;
    this.#timer?.cancel();
  }

  judge(bytes: number): void {
    if (this.#ended || bytes <= this.#init.limitMiB * MIB) return;
    this.close();
    this.#init.onExceeded(`uses too much memory (${String(Math.round(bytes / MIB))} MiB)`);
  }

  #again(milliseconds: number): void {
    if (!this.#ended) this.#timer = this.#clock.setTimeout(() => { void this.#look(); }, milliseconds);
  }

  async #look(): Promise<void> {
    try {
      const [, kibibytes] = RESIDENT.exec(await readFile(`/proc/${String(this.#init.pid)}/status`, 'latin1')) ?? [];
      // A process that has exited shows no memory until it is reaped.
      if (kibibytes === undefined) return;
      const bytes = Number(kibibytes) * 1024;
      this.judge(bytes);
      this.#again(bytes > this.#init.limitMiB * MIB / 2 ? WARY_MS : CALM_MS);
    } catch (thrown) {
      const { code } = thrown as NodeJS.ErrnoException;
      if (code !== 'ENOENT' && code !== 'ESRCH') this.#again(CALM_MS);
    }
  }
}
