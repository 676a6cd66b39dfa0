import { createHash } from 'node:crypto';
import type { Address, Clock, Timer } from '../../../protocol/index.js';
import type { Collection } from '../../../store/index.js';
import type { Incoming, Checkpoint } from '../../delivery/index.js';

/** A position as the store has it. */
export interface KeptCheckpoint extends Checkpoint {
  /** When it was written last, in milliseconds since 1970. */
  readonly at: number;
}

export interface CheckpointsComponents {
  readonly kept: Collection<KeptCheckpoint>;
  readonly clock: Clock;
  readonly incoming: Pick<Incoming<unknown>, 'changes' | 'unwritten' | 'restore'>;
  readonly onFailed: (thrown: unknown) => void;
}

export interface CheckpointsInit {
  /** The receiver. */
  readonly address: Address;
  /** How long a position may be in memory only, in milliseconds. @default 50 */
  readonly positionMs?: number;
}

/** When a write that failed is tried again. */
const RETRY_MS = 1000;

/** The lists of a position that was written without them. */
const NO_LISTS = { first: 1, ahead: [], refused: [], skipped: [] };

/**
 * Keeps on disk how far the streams to one receiver have been taken, a little later than it happens: all that
 * happened meanwhile costs one write a stream.
 */
export class Checkpoints {
  readonly #components: CheckpointsComponents;
  readonly #prefix: string;
  readonly #positionMs: number;
  #timer: Timer | undefined;
  #soon: Promise<void> | undefined;
  /** The writes that are on their way, as one. */
  #writing: Promise<void> | undefined;
  #closed = false;

  constructor(components: CheckpointsComponents, { address, positionMs = 50 }: CheckpointsInit) {
    this.#components = components;
    this.#prefix = `${address} `;
    this.#positionMs = positionMs;
    const { kept, incoming } = components;
    // However old: setting the clock forward must not make a message come twice. Their number is bounded.
    for (const [, position] of [...kept.entries({ prefix: this.#prefix })].sort(([, a], [, b]) => a.at - b.at)) incoming.restore({ ...NO_LISTS, ...position });
  }

  /** Something has been taken. */
  note(): void {
    this.#writeIn(this.#positionMs);
  }

  /**
   * Writes now what has changed.
   * @returns when that is on disk, and what was on its way there
   * @throws ProtoflyError `E_STORE`, as a rejection that is logged already; what could not be written is tried again later
   */
  write(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    const written = Promise.all([this.#writing, this.#writeAll()]).then(() => undefined);
    const ended = (): void => { if (this.#writing === written) this.#writing = undefined; };
    written.then(ended, ended);
    this.#writing = written;
    return written;
  }

  /** Writes at the end of this turn what has changed by then. @returns, throws as `write` */
  writeSoon(): Promise<void> {
    this.#soon ??= Promise.resolve().then(() => {
      this.#soon = undefined;
      return this.write();
    });
    return this.#soon;
  }

  async #writeAll(): Promise<void> {
    const { kept, clock, incoming, onFailed } = this.#components;
    const changes = incoming.changes();
    try {
      await Promise.all([
        ...changes.changed.map((position) => kept.put(this.#key(position), { ...position, at: clock.date() })),
        ...changes.forgotten.map((stream) => kept.delete(this.#key(stream))),
      ]);
    } catch (thrown) {
      onFailed(thrown);
      incoming.unwritten(changes);
      if (!this.#closed) this.#writeIn(RETRY_MS);
      throw thrown;
    }
  }

  async discard(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    const { kept, incoming } = this.#components;
    incoming.changes();
    await Promise.all([...kept.entries({ prefix: this.#prefix })].map(([key]) => kept.delete(key)));
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== undefined) this.write().catch(() => undefined);
  }

  #writeIn(milliseconds: number): void {
    this.#timer ??= this.#components.clock.setTimeout(() => { this.write().catch(() => undefined); }, milliseconds);
  }

  #key({ from, epoch }: Pick<Checkpoint, 'from' | 'epoch'>): string {
    return this.#prefix + createHash('sha256').update(`${from} ${epoch}`).digest('base64url').slice(0, 22);
  }
}
