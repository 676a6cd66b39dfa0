import type { ChildProcess } from 'node:child_process';
import { systemClock } from '../../protocol/index.js';
import type { Context } from '../context.js';

/** How long a daemon may take to end in order, in milliseconds. */
const STOP_MS = 10_000;

/**
 * A daemon that this process has started. It ends with this process, however that ends, until it is released: its
 * stdin is a pipe from here.
 */
export class Daemon {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #kill = (): void => { this.#child.kill('SIGKILL'); };
  /** Its exit code, or the signal that ended it. Never rejects. */
  readonly ended: Promise<number | NodeJS.Signals>;

  /** @param name what it is, for messages: `runtime` */
  constructor(child: ChildProcess, name: string) {
    this.#child = child;
    this.#name = name;
    child.stdin?.on('error', () => undefined);
    // Whoever exits without waiting doesn't want it to take its time.
    process.once('exit', this.#kill);
    this.ended = new Promise<number | NodeJS.Signals>((resolve) => {
      child.once('exit', (code, by) => { resolve(by ?? code ?? 1); });
      // One that could not be started never exits.
      child.on('error', () => { if (child.pid === undefined) resolve(1); });
    }).finally(() => { process.off('exit', this.#kill); });
  }

  /** Lets this process end while the daemon goes on. */
  async release(): Promise<void> {
    const { stdin, stdout } = this.#child;
    await new Promise<void>((resolve) => { if (stdin === null) resolve(); else stdin.end('\n', resolve); });
    process.off('exit', this.#kill);
    stdout?.destroy();
    this.#child.unref();
  }

  /** Ends it, in order if it can; resolves when its process is gone. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    const timer = systemClock.setTimeout(this.#kill, STOP_MS);
    await this.ended;
    timer.cancel();
  }

  /** What it resolves with. @throws what it rejects with, when the daemon's process is gone */
  async orStop<T>(step: Promise<T>): Promise<T> {
    try {
      return await step;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /**
   * Announces it, and leaves it running; in the foreground stays with it until it has ended.
   * @returns the exit code
   * @throws what the announcement throws; a daemon of the foreground has ended then
   */
  async settle(context: Context, foreground: boolean, announce: () => Promise<void>): Promise<number> {
    if (foreground) {
      await this.orStop(announce());
      return this.#stay(context);
    }
    await this.release();
    await announce();
    return 0;
  }

  /** Waits in the foreground until it has ended; the end of the context ends it. @returns its exit code */
  async #stay({ signal, output }: Context): Promise<number> {
    const stop = (): void => { void this.stop(); };
    if (signal.aborted) stop();
    signal.addEventListener('abort', stop);
    try {
      const how = await this.ended;
      if (typeof how === 'number') return how;
      output.note(`the ${this.#name} was ended by ${how}`);
      return 1;
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }
}
