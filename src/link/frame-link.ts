import { MAX_MESSAGE_BYTES, ProtoflyError, systemClock, asProtoflyError, type Clock, type Backpressure, type Timer } from '../protocol/index.js';
import { FrameReader } from './frame-reader.js';
import { LINK_DEFAULTS, type Codec, type Link, type LinkEnd, type LinkInit, type LinkStats } from './link.js';
import { FrameWriter } from './frame-writer.js';

/**
 * The part of a frame link that each technology implements. After `destroy` it calls no method of
 * `FrameEvents`.
 */
export interface FrameTransport {
  /** Returns the next received frame, if any. */
  next(): string | undefined;
  /** Starts or continues reading. Nothing is read before the first call. */
  resume(): void;
  pause(): void;
  /** Writes frames in order. Later calls `done` once, when they have left or never will. */
  write(frames: readonly string[], done: () => void): void;
  /** Says goodbye after all written frames. `FrameEvents.onGone` follows when the other side is gone too. */
  end(reason: string): void;
  destroy(): void;
}

export interface FrameEvents {
  /** `next` has a frame to return. */
  onFrames(): void;
  /** A frame couldn't be read; the link stays. */
  onReject(error: ProtoflyError, text?: string): void;
  /** The other side sends no more; frames received before are still available from `next`. */
  onEnd(end: LinkEnd): void;
  /** The transport has ended. */
  onGone(reason: string): void;
}

export const closedError = (name: string, reason: string): ProtoflyError => new ProtoflyError('E_LINK_CLOSED', `${name} is closed: ${reason}`);

/**
 * Returns a frame's size in bytes. Far below the limit it returns the length in code units, which costs
 * nothing.
 * @throws ProtoflyError `E_TOO_LARGE`
 */
export const checkedSize = (frame: string, maxFrame: number): number => {
  if (frame.length * 3 <= maxFrame) return frame.length;
  const size = Buffer.byteLength(frame);
  if (size > maxFrame) throw new ProtoflyError('E_TOO_LARGE', `${String(size)} bytes don't fit into a frame of at most ${String(maxFrame)}`);
  return size;
};

type State =
  | { readonly at: 'open' }
  /** The other side ended in order; received items are still being given to the receiver. */
  | { readonly at: 'draining'; readonly end: LinkEnd }
  /** Accepted frames are being written. */
  | { readonly at: 'flushing' | 'parting'; readonly end: LinkEnd; readonly timer: Timer; readonly unsent: LinkEnd }
  | { readonly at: 'ended'; readonly end: LinkEnd };

const OPEN: State = { at: 'open' };

/** A link over any transport of text frames. */
export class FrameLink<T> implements Link<T> {
  readonly name: string;
  readonly closed: Promise<LinkEnd>;
  readonly stats: LinkStats = { sent: 0, received: 0, rejected: 0 };
  readonly #codec: Codec<T>;
  readonly #clock: Clock;
  readonly #init: LinkInit;
  readonly #maxFrame: number;
  readonly #maxBuffered: number;
  readonly #inlet: FrameReader<T>;
  readonly #outlet: FrameWriter;
  readonly #transport: FrameTransport;
  #state: State = OPEN;
  /** The number of admitted frames whose backpressure hasn't settled. Nothing is read in the meantime. */
  #holds = 0;
  #settle: (end: LinkEnd) => void = () => undefined;

  constructor({ transport, codec }: { transport: (events: FrameEvents) => FrameTransport; codec: Codec<T> }, init: LinkInit = {}) {
    this.name = init.name ?? 'link';
    this.closed = new Promise((resolve) => { this.#settle = resolve; });
    this.#codec = codec;
    this.#init = init;
    this.#clock = init.clock ?? systemClock;
    this.#maxFrame = init.maxFrame ?? MAX_MESSAGE_BYTES;
    this.#maxBuffered = init.maxBuffered ?? LINK_DEFAULTS.maxBuffered;
    this.#inlet = new FrameReader<T>({
      pull: () => this.#next(),
      onIdle: () => { this.#idle(); },
      onBlocked: () => { this.#transport.pause(); },
      onReject: (error) => { this.#reject(error); },
    }, this.stats);
    this.#transport = transport({
      onFrames: () => {
        if (this.#state.at === 'flushing' || this.#state.at === 'parting') this.#discard();
        else this.#inlet.pump();
      },
      onReject: (error, text) => { this.#reject(error, text); },
      onEnd: (end) => { this.#peerEnded(end); },
      onGone: (reason) => { this.#gone(reason); },
    });
    this.#outlet = new FrameWriter({
      highWater: LINK_DEFAULTS.highWater,
      write: (frames, done) => { this.#transport.write(frames, done); },
    });
  }

  send(item: T): Backpressure {
    if (this.#state.at !== 'open') throw closedError(this.name, this.#state.end.reason);
    const frame = this.#codec.encode(item);
    const size = checkedSize(frame, this.#maxFrame);
    if (this.#outlet.buffered > this.#maxBuffered) {
      const reason = `more than ${String(this.#maxBuffered)} bytes wait to be sent`;
      this.#end({ how: 'gone', reason });
      throw closedError(this.name, reason);
    }
    this.stats.sent += 1;
    return this.#outlet.push(frame, size);
  }

  receive(receiver: (item: T) => Backpressure): void {
    this.#inlet.receive(receiver);
    this.#inlet.pump();
  }

  async close(reason = 'closed here'): Promise<void> {
    if (this.#state.at === 'open' || this.#state.at === 'draining') {
      // Reads and drops further frames: left unread, they would look like a broken link to the other side.
      this.#inlet.stop();
      this.#leave({ how: 'closed', reason }, { how: 'gone', reason: `the other side didn't take everything (${reason})` });
      this.#discard();
    }
    await this.closed;
  }

  #next(): T | undefined {
    while (this.#holds === 0) {
      const frame = this.#transport.next();
      if (frame === undefined) return undefined;
      if (!this.#admit(frame.length)) continue;
      try {
        return this.#codec.decode(frame);
      } catch (thrown) {
        this.#reject(asProtoflyError(thrown), frame);
      }
    }
    return undefined;
  }

  /** @returns false if the frame is dropped */
  #admit(length: number): boolean {
    try {
      const backpressure = this.#init.admit?.(length);
      if (backpressure === undefined) return true;
      this.#holds += 1;
      void backpressure.then(() => {
        this.#holds -= 1;
        this.#inlet.pump();
      });
      return true;
    } catch (thrown) {
      this.#reject(asProtoflyError(thrown));
      return false;
    }
  }

  #idle(): void {
    if (this.#holds > 0) {
      if (this.#state.at === 'open') this.#transport.pause();
    } else if (this.#state.at === 'draining') this.#leave(this.#state.end, this.#state.end);
    else if (this.#state.at === 'open') this.#transport.resume();
  }

  #discard(): void {
    let frame = this.#transport.next();
    while (frame !== undefined) frame = this.#transport.next();
    this.#transport.resume();
  }

  #reject(error: ProtoflyError, text?: string): void {
    this.stats.rejected += 1;
    try {
      this.#init.onReject?.(error, text);
    } catch (thrown) {
      this.#end({ how: 'gone', reason: `its owner failed: ${asProtoflyError(thrown).message}` });
    }
  }

  #peerEnded(end: LinkEnd): void {
    if (this.#state.at !== 'open') return;
    this.#state = { at: 'draining', end };
    this.#inlet.pump();
  }

  /**
   * Writes accepted frames and says goodbye, within `lingerMs`. If not all could be written, the link ends with
   * `unsent`.
   */
  #leave(end: LinkEnd, unsent: LinkEnd): void {
    const timer = this.#clock.setTimeout(() => { this.#end(this.#state.at === 'parting' ? end : unsent); }, this.#init.lingerMs ?? LINK_DEFAULTS.lingerMs);
    this.#state = { at: 'flushing', end, timer, unsent };
    this.#outlet.whenEmpty(() => {
      if (this.#state.at !== 'flushing') return;
      this.#state = { at: 'parting', end, timer, unsent };
      this.#transport.end(end.reason);
    });
  }

  #gone(reason: string): void {
    const state = this.#state;
    if (state.at === 'parting') this.#end(state.end);
    else if (state.at === 'flushing') this.#end(state.unsent);
    else if (state.at === 'open') this.#end({ how: 'gone', reason });
  }

  #end(end: LinkEnd): void {
    if (this.#state.at === 'ended') return;
    if ('timer' in this.#state) this.#state.timer.cancel();
    this.#state = { at: 'ended', end };
    this.#inlet.stop();
    this.#outlet.stop();
    this.#transport.destroy();
    this.#settle(end);
  }
}
