import type { Backpressure } from '../protocol/index.js';
import { DrainSignal } from '../kit/drain-signal.js';

export interface FrameWriterInit {
  readonly highWater: number;
  /** Writes frames in order. Later calls `done` once, when they have left or never will. */
  write(frames: readonly string[], done: () => void): void;
}

/** Gathered bytes above which a flush doesn't wait for the end of the turn. */
const EAGER_BYTES = 64 * 1024;

/**
 * The sending half of a link. Gathers frames during one turn of the event loop, or while a write lasts, and
 * writes them at once.
 */
export class FrameWriter {
  readonly #highWater: number;
  readonly #write: FrameWriterInit['write'];
  readonly #relief = new DrainSignal();
  #frames: string[] = [];
  #gathered = 0;
  #writing = 0;
  #state: 'idle' | 'scheduled' | 'writing' | 'stopped' = 'idle';
  #onEmpty: (() => void) | undefined;

  constructor({ highWater, write }: FrameWriterInit) {
    this.#highWater = highWater;
    this.#write = write;
  }

  /** Bytes pushed that haven't left yet. */
  get buffered(): number {
    return this.#gathered + this.#writing;
  }

  push(frame: string, size: number): Backpressure {
    this.#frames.push(frame);
    this.#gathered += size;
    if (this.#state === 'idle') {
      this.#state = 'scheduled';
      setImmediate(() => { this.#flush(); });
    }
    if (this.#gathered >= EAGER_BYTES) this.#flush();
    return this.buffered > this.#highWater ? this.#relief.wait() : undefined;
  }

  /** Calls back once, when nothing is left to write. */
  whenEmpty(run: () => void): void {
    this.#onEmpty = run;
    this.#flush();
    this.#settle();
  }

  /** Drops the remaining frames, and releases waiting senders. */
  stop(): void {
    this.#state = 'stopped';
    this.#frames = [];
    this.#gathered = 0;
    this.#writing = 0;
    this.#relief.release();
  }

  #flush(): void {
    if (this.#state === 'stopped' || this.#state === 'writing' || this.#frames.length === 0) return;
    const frames = this.#frames;
    this.#frames = [];
    this.#writing = this.#gathered;
    this.#gathered = 0;
    this.#state = 'writing';
    this.#write(frames, () => { this.#written(); });
  }

  #written(): void {
    if (this.#state !== 'writing') return;
    this.#writing = 0;
    this.#state = 'idle';
    this.#flush();
    if (this.buffered <= this.#highWater / 2) this.#relief.release();
    this.#settle();
  }

  #settle(): void {
    if (this.buffered > 0 || this.#onEmpty === undefined) return;
    const run = this.#onEmpty;
    this.#onEmpty = undefined;
    run();
  }
}
