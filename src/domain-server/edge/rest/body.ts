import { isUtf8 } from 'node:buffer';
import type { IncomingMessage } from 'node:http';
import { ProtoflyError, type Clock, type Timer } from '../../../protocol/index.js';

/** The bytes of all request bodies being read. */
export interface BodyBudget {
  bytes: number;
  readonly most: number;
}

export interface BodyInit {
  /** Maximum size of a body, in bytes. */
  readonly most: number;
  /** Longest pause of the client, in milliseconds. */
  readonly idleMs: number;
}

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
 * Reads a request's body as text. The caller must return its share of `budget` with `release`.
 * @throws ProtoflyError `E_TOO_LARGE`, `E_UNREACHABLE` if all bodies together are too large, `E_TIMEOUT`,
 * `E_ABORTED`, `E_MESSAGE` if it isn't UTF-8
 */
export const readBody = async ({ request, clock, budget }: { request: IncomingMessage; clock: Clock; budget: BodyBudget }, init: BodyInit): Promise<{ readonly text: string; readonly release: () => void }> => {
  if (request.headers['content-encoding'] !== undefined && request.headers['content-encoding'] !== 'identity') throw new ProtoflyError('E_USAGE', 'bodies are taken as they are, not compressed');
  const declared = Number(request.headers['content-length'] ?? 0);
  if (declared > init.most) throw tooLarge(init.most);
  let held = 0;
  const hold = (bytes: number): void => {
    if (budget.bytes + bytes > budget.most) throw new ProtoflyError('E_UNREACHABLE', 'the message node takes too much already');
    held += bytes;
    budget.bytes += bytes;
  };
  const release = (): void => {
    budget.bytes -= held;
    held = 0;
  };
  try {
    hold(declared);
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

const gather = (request: IncomingMessage, clock: Clock, { most, idleMs }: BodyInit, onSize: (bytes: number) => void): Promise<Buffer[]> =>
  new Promise((resolve, reject) => {
    if (request.destroyed && !request.complete) { reject(new ProtoflyError('E_ABORTED', 'the client has gone')); return; }
    const chunks: Buffer[] = [];
    let size = 0;
    let seen = clock.now();
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
      if (rest <= 0) over(() => { reject(new ProtoflyError('E_TIMEOUT', 'the body did not come')); });
      else timer = clock.setTimeout(look, rest);
    };
    timer = clock.setTimeout(look, idleMs);
    request.on('data', onData).on('end', onEnd).on('close', onClose).on('error', onClose);
  });
