import { MAX_MESSAGE_BYTES, type Backpressure } from '../../protocol/index.js';

/** Maximum size of the queue, in UTF-16 code units. It can fill if the runtime is slow and the socket can't pause reading. */
const MAX_SIZE = 2 * MAX_MESSAGE_BYTES;

/** A socket that can pause reading; the web standard has no such thing. */
export interface Pausable {
  pause?(): void;
  resume?(): void;
}

/**
 * Receive queue of frames for the runtime, in order. It outlives sockets: frames of a dropped socket are handed
 * on before those of the next.
 */
export class SocketReceiveQueue {
  readonly #waiting: { readonly text: string; readonly deliver: (text: string) => Backpressure }[] = [];
  readonly #paused = new Set<Pausable>();
  #size = 0;
  #busy = false;

  /** @returns false if the queue is full */
  take(text: string, deliver: (text: string) => Backpressure, socket: Pausable): boolean {
    if (!this.#busy) {
      const backpressure = deliver(text);
      if (backpressure === undefined) return true;
      this.#pause(socket);
      void this.#handOn(backpressure);
      return true;
    }
    if (this.#size + text.length > MAX_SIZE) return false;
    this.#pause(socket);
    this.#waiting.push({ text, deliver });
    this.#size += text.length;
    return true;
  }

  #pause(socket: Pausable): void {
    if (this.#paused.has(socket)) return;
    this.#paused.add(socket);
    socket.pause?.();
  }

  async #handOn(backpressure: Promise<void>): Promise<void> {
    this.#busy = true;
    await backpressure;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      this.#size -= next.text.length;
      await next.deliver(next.text);
    }
    this.#busy = false;
    for (const socket of this.#paused) socket.resume?.();
    this.#paused.clear();
  }
}
