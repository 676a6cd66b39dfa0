import type { Log } from './framing.js';

export interface FramePumpComponents {
  /** Returns the next frame, or nothing. Its bytes may be used again after the next call. */
  readonly next: () => Uint8Array | undefined;
  /** Sends a frame. False: no more until `drained`. It may throw when the channel is gone. */
  readonly send: (frame: Uint8Array) => boolean;
  readonly log: Log;
}

/** Sends frames while there are any and the channel takes them. */
export class FramePump {
  readonly #components: FramePumpComponents;
  #state: 'idle' | 'scheduled' | 'pumping' | 'blocked' = 'idle';

  constructor(components: FramePumpComponents) {
    this.#components = components;
  }

  /** Flushes when the current task is done, so that messages sent together travel in one frame. */
  schedule(): void {
    if (this.#state !== 'idle') return;
    this.#state = 'scheduled';
    queueMicrotask(() => { if (this.#state === 'scheduled') this.flush(); });
  }

  /** Sends frames until none is left or the channel is full. */
  flush(): void {
    if (this.#state === 'pumping' || this.#state === 'blocked') return;
    this.#state = 'pumping';
    this.#state = this.#pump();
  }

  /** The channel takes frames again. */
  drained(): void {
    if (this.#state === 'blocked') this.#state = 'idle';
    this.flush();
  }

  #pump(): 'idle' | 'blocked' {
    const { next, send, log } = this.#components;
    try {
      for (let frame = next(); frame !== undefined; frame = next()) if (!send(frame)) return 'blocked';
      return 'idle';
    } catch (thrown) {
      // The channel is gone; its owner learns that from the channel itself.
      log('debug', `a frame was not sent: ${String(thrown)}`);
      return 'blocked';
    }
  }
}
