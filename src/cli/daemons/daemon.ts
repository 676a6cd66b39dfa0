import type { ChildProcess } from 'node:child_process';
import { systemClock } from '../../protocol/index.js';
import type { Context } from '../context.js';

/** Time for a daemon to shut down before it is killed, in milliseconds. */
const STOP_MS = 10_000;

/**
 * A daemon started by this process. Until it is released, it ends with this process, even on a crash: its stdin is a
 * pipe from here.
 */
export class Daemon {
  readonly #child: ChildProcess;
  readonly #name: string;
  readonly #kill = (): void => { this.#child.kill('SIGKILL'); };
  /** Its exit code, or the signal that ended it. Never rejects. */
  readonly ended: Promise<number | NodeJS.Signals>;

  /** @param name the kind of daemon, for messages: `runtime` */
  constructor(child: ChildProcess, name: string) {
    this.#child = child;
    this.#name = name;
    child.stdin?.on('error', () => undefined);
    // If this process exits without waiting, kill the daemon at once.
    process.once('exit', this.#kill);
    this.ended = new Promise<number | NodeJS.Signals>((resolve) => {
      child.once('exit', (code, by) => { resolve(by ?? code ?? 1); });
      // A process that could not be started never emits `exit`.
      child.on('error', () => { if (child.pid === undefined) resolve(1); });
    }).finally(() => { process.off('exit', this.#kill); });
  }

  /** Detaches the daemon, so that it keeps running after this process ends. */
  async release(): Promise<void> {
    const { stdin, stdout } = this.#child;
    await new Promise<void>((resolve) => { if (stdin === null) resolve(); else stdin.end('\n', resolve); });
    process.off('exit', this.#kill);
    stdout?.destroy();
    this.#child.unref();
  }

  /** Stops the daemon with SIGTERM, or with SIGKILL after `STOP_MS`. Resolves when its process is gone. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    const timer = systemClock.setTimeout(this.#kill, STOP_MS);
    await this.ended;
    timer.cancel();
  }

  /**
   * Awaits `step`; if it rejects, stops the daemon first.
   * @returns the result of `step`
   * @throws the rejection of `step`
   */
  async orStop<T>(step: Promise<T>): Promise<T> {
    try {
      return await step;
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /**
   * Announces the daemon. In the background, leaves it running; in the foreground, waits until it has ended.
   * @returns the exit code
   * @throws what `announce` throws; in the foreground, the daemon has ended by then
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

  /** Waits in the foreground until the daemon has ended. An abort of the context stops it. @returns the exit code */
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
