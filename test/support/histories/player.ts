import { Worker } from 'node:worker_threads';
import type { History } from './history.js';

/** A task for the thread. */
export interface Task {
  readonly history: History;
  readonly traced: boolean;
}

/** A message from the thread: a line of the trace as it happens, and finally the broken promises. */
export type Report = { readonly line: string } | { readonly faults: readonly string[] };

export interface Outcome {
  /** The broken promises. */
  readonly faults: readonly string[];
  /** The trace, line by line. */
  readonly trace: readonly string[];
}

export interface PlayerInit {
  /** Time without a turn after which a history counts as endless, in milliseconds. @default 10_000 */
  readonly patienceMs?: number;
  /** The module that the thread runs. @default player-thread.ts */
  readonly thread?: URL;
}

/** A history that is being played. */
interface Playing {
  readonly trace: string[];
  readonly end: (faults: readonly string[]) => void;
}

/** Plays histories in a thread of its own. Ends the thread if a history is endless: a loop lets nothing else run there. */
export class Player {
  readonly #patienceMs: number;
  readonly #thread: URL;
  /** Number of turns that the thread's event loop has taken. */
  readonly #turns = new Int32Array(new SharedArrayBuffer(4));
  #worker: Worker | undefined;
  #playing: Playing | undefined;

  constructor({ patienceMs = 10_000, thread = new URL('./player-thread.ts', import.meta.url) }: PlayerInit = {}) {
    this.#patienceMs = patienceMs;
    this.#thread = thread;
  }

  /** Plays a history; one at a time. */
  async play(history: History, { traced = false }: { readonly traced?: boolean } = {}): Promise<Outcome> {
    const worker = this.#worker ??= this.#start();
    const trace: string[] = [];
    const played = new Promise<readonly string[]>((resolve) => { this.#playing = { trace, end: resolve }; });
    worker.postMessage({ history, traced } satisfies Task);
    let turns = -1;
    const watch = setInterval(() => {
      const now = Atomics.load(this.#turns, 0);
      if (now === turns) this.#fail(`it has no end: nothing else ran for ${String(this.#patienceMs)} ms`);
      turns = now;
    }, this.#patienceMs);
    const faults = await played;
    clearInterval(watch);
    return { faults, trace };
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
    this.#worker = undefined;
  }

  #start(): Worker {
    const worker = new Worker(this.#thread, { workerData: this.#turns });
    worker.on('message', (report: Report) => {
      if (worker !== this.#worker) return;
      if ('line' in report) this.#playing?.trace.push(report.line);
      else this.#playing?.end(report.faults);
    });
    worker.on('error', (error) => { if (worker === this.#worker) this.#fail(`its thread ended: ${error.stack ?? error.message}`); });
    return worker;
  }

  #fail(fault: string): void {
    const worker = this.#worker;
    const playing = this.#playing;
    this.#worker = undefined;
    void worker?.terminate().then(() => { playing?.end([fault]); });
  }
}
