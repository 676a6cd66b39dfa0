import { MAX_MESSAGE_BYTES, type Backpressure } from '../../protocol/index.js';

/** What may wait here for a congested runtime, in UTF-16 units, where the socket can't be told to stop reading. */
const MAX_SIZE = 2 * MAX_MESSAGE_BYTES;

/** A socket that can be told to stop reading; the web standard has no such thing. */
export interface Pausable {
  pause?(): void;
  resume?(): void;
}

/**
 * Frames on their way to the runtime, in order. It outlives the sockets: what came over one that dropped is handed on
 * before what comes over the next.
 */
export class SocketReceiveQueue {
  readonly #waiting: { readonly text: string; readonly deliver: (text: string) => Backpressure }[] = [];
  readonly #paused = new Set<Pausable>();
  #size = 0;
  #busy = false;

  /** @returns whether there was a place for it */
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
