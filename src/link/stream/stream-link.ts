import type { Readable, Writable } from 'node:stream';
import { MAX_MESSAGE_BYTES, ProtoflyError } from '../../protocol/index.js';
import { FrameLink, type FrameEvents, type FrameTransport } from '../frame-link.js';
import type { Codec, Link, LinkInit } from '../link.js';
import { LineSplitter } from './lines.js';

export interface StreamEnds {
  readonly readable: Readable;
  /** The same object as `readable` for a duplex stream. */
  readonly writable: Writable;
  /** Explains why the stream ended, if more is known than the end itself. */
  readonly explain?: () => string | undefined;
}

/** One frame per line. An empty line before the end marks an orderly end. */
class StreamTransport implements FrameTransport {
  readonly #ends: StreamEnds;
  readonly #lines: LineSplitter;
  readonly #detach: () => void;
  readonly #gone: (reason: string) => void;

  constructor(ends: StreamEnds, events: FrameEvents, maxLine: number) {
    this.#ends = ends;
    this.#lines = new LineSplitter({ maxLine, onReject: (error, text) => { events.onReject(error, text); } });
    const { readable, writable } = ends;
    const gone = (reason: string): void => { events.onGone(ends.explain?.() ?? reason); };
    this.#gone = gone;
    const onData = (chunk: Buffer): void => {
      this.#lines.push(chunk);
      events.onFrames();
    };
    const onEnd = (): void => {
      this.#lines.end();
      if (this.#lines.endedInOrder) events.onEnd({ how: 'closed', reason: 'closed by the other side' });
      else events.onEnd({ how: 'gone', reason: ends.explain?.() ?? 'the other side ended without closing' });
      if (writable.writableFinished) gone('the other side ended');
    };
    const onError = (error: Error): void => { gone(error.message); };
    const onClose = (): void => { gone('the stream was destroyed'); };
    readable.pause();
    readable.on('data', onData).on('end', onEnd).on('error', onError).on('close', onClose);
    if (writable !== (readable as unknown)) writable.on('error', onError).on('close', onClose);
    // A stream that has already ended emits no further event.
    if (readable.destroyed || readable.readableEnded || writable.destroyed) queueMicrotask(onClose);
    this.#detach = () => {
      readable.off('data', onData).off('end', onEnd).off('close', onClose);
      writable.off('close', onClose);
    };
  }

  next(): string | undefined {
    return this.#lines.next();
  }

  resume(): void {
    this.#ends.readable.resume();
  }

  pause(): void {
    this.#ends.readable.pause();
  }

  write(frames: readonly string[], done: () => void): void {
    this.#ends.writable.write(Buffer.from(`${frames.join('\n')}\n`, 'utf8'), done);
  }

  end(): void {
    const { readable, writable } = this.#ends;
    writable.end('\n', () => {
      if (readable.readableEnded || readable.destroyed) this.#gone('the other side ended');
    });
  }

  destroy(): void {
    this.#detach();
    this.#ends.readable.destroy();
    this.#ends.writable.destroy();
  }
}

/**
 * Creates a link over a byte stream, one frame per line. The link owns the stream from now on. A duplex stream
 * must be able to stay half open (`allowHalfOpen`).
 */
export const streamLink = <T>(ends: StreamEnds, codec: Codec<T>, init: LinkInit = {}): Link<T> => {
  if (ends.readable.readableObjectMode || ends.writable.writableObjectMode) throw new ProtoflyError('E_USAGE', 'a link needs a stream of bytes');
  return new FrameLink({ transport: (events) => new StreamTransport(ends, events, init.maxFrame ?? MAX_MESSAGE_BYTES), codec }, init);
};
