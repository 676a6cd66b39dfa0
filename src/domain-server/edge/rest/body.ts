import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import type { Shares } from '../../../kit/shares.js';
import { ProtoflyError, type Clock, type Timer } from '../../../protocol/index.js';

export interface BodyInit {
  /** Maximum size of a body, in bytes. */
  readonly most: number;
  /** Longest pause of the client, in milliseconds. */
  readonly idleMs: number;
  /** Slowest average rate of a body that takes longer than `idleMs`. */
  readonly bytesPerSecond: number;
  /** The holder of the body's share. Undefined: limited by the total alone. */
  readonly holder: string | undefined;
}

/** Bytes that are reserved before they come, at most. */
const RESERVED = 64 * 1024;

/** Maximum of discarded bytes. An oversized body is read up to here, so that its sender sees the answer. */
const MAX_DISCARDED = 64 * 1024 * 1024;

/** Reads and discards a body, up to a limit. */
export const discard = (request: IncomingMessage): void => {
  let bytes = 0;
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_DISCARDED) request.destroy();
  });
};

/**
 * Reads a request's body as text. The caller must return its share of `bodies` with `release`.
 * @throws ProtoflyError `E_TOO_LARGE`, `E_TOO_MANY` if those of its sender's address are too large, `E_UNREACHABLE` if all bodies together are too large, `E_TIMEOUT`,
 * `E_ABORTED`, `E_MESSAGE` if it isn't UTF-8
 */
export const readBody = async ({ request, clock, bodies }: { request: IncomingMessage; clock: Clock; bodies: Shares }, init: BodyInit): Promise<{ readonly text: string; readonly release: () => void }> => {
  if (request.headers['content-encoding'] !== undefined && request.headers['content-encoding'] !== 'identity') throw new ProtoflyError('E_USAGE', 'bodies are taken as they are, not compressed');
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > init.most) throw tooLarge(init.most);
  let held = 0;
  const hold = (bytes: number): void => {
    if (!bodies.allows(init.holder, bytes)) throw new ProtoflyError('E_TOO_MANY', 'too many bodies come from this address already', { hint: 'send fewer at a time' });
    if (!bodies.hasRoom(bytes)) throw new ProtoflyError('E_UNREACHABLE', 'the message node takes too much already');
    held += bytes;
    bodies.add(init.holder, bytes);
  };
  const release = (): void => {
    bodies.add(init.holder, -held);
    held = 0;
  };
  try {
    hold(Math.min(declared, RESERVED));
    const chunks = await gather(request, clock, init, (size) => { if (size > held) hold(size - held); });
    const body = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
    if (!isUtf8(body)) throw new ProtoflyError('E_MESSAGE', 'the body isn\'t UTF-8');
    return { text: body.toString('utf8'), release };
  } catch (thrown) {
    release();
    throw thrown;
  }
};

const tooLarge = (most: number): ProtoflyError => new ProtoflyError('E_TOO_LARGE', `a body has at most ${String(most)} bytes`);

const gather = (request: IncomingMessage, clock: Clock, { most, idleMs, bytesPerSecond }: BodyInit, onSize: (bytes: number) => void): Promise<Buffer[]> =>
  new Promise((resolve, reject) => {
    if (request.destroyed && !request.complete) { reject(new ProtoflyError('E_ABORTED', 'the client has gone')); return; }
    const chunks: Buffer[] = [];
    let size = 0;
    const start = clock.now();
    let seen = start;
    let timer: Timer | undefined;
    const over = (settle: () => void): void => {
      timer?.cancel();
      request.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onClose);
      settle();
    };
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      seen = clock.now();
      try {
        if (size > most) throw tooLarge(most);
        onSize(size);
        chunks.push(chunk);
      } catch (thrown) {
        over(() => { reject(thrown instanceof Error ? thrown : new Error('unknown', { cause: thrown })); });
      }
    };
    const onEnd = (): void => { over(() => { resolve(chunks); }); };
    const onClose = (): void => { over(() => { reject(new ProtoflyError('E_ABORTED', 'the client has gone')); }); };
    const look = (): void => {
      const rest = seen + idleMs - clock.now();
      const isSlow = size < ((clock.now() - start - idleMs) * bytesPerSecond) / 1000;
      if (rest <= 0 || isSlow) over(() => { reject(new ProtoflyError('E_TIMEOUT', 'the body did not come')); });
      else timer = clock.setTimeout(look, Math.max(rest, 100));
    };
    timer = clock.setTimeout(look, idleMs);
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
  });
