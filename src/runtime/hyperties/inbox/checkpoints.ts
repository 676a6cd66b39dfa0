import { createHash } from 'node:crypto';
import type { Address, Clock, Timer } from '../../../protocol/index.js';
import type { Collection } from '../../../store/index.js';
import type { Incoming, Checkpoint } from '../../delivery/index.js';

/** A stored checkpoint. */
export interface KeptCheckpoint extends Checkpoint {
  /** Time of the last write, in milliseconds since 1970. */
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
  /** Maximum time that a checkpoint may be in memory only, in milliseconds. @default 50 */
  readonly positionMs?: number;
}

/** Pause after a failed write, in milliseconds. */
const RETRY_MS = 1000;

/** Defaults for checkpoints stored without these lists. */
const NO_LISTS = { first: 1, ahead: [], refused: [], skipped: [] };

/**
 * Stores the checkpoints of the flows to one receiver with a short delay. All changes of a flow during the delay cost one
 * write.
 */
export class Checkpoints {
  readonly #components: CheckpointsComponents;
  readonly #prefix: string;
  readonly #positionMs: number;
  #timer: Timer | undefined;
  #soon: Promise<void> | undefined;
  /** All writes in progress. */
  #writing: Promise<void> | undefined;
  #closed = false;

  constructor(components: CheckpointsComponents, { address, positionMs = 50 }: CheckpointsInit) {
    this.#components = components;
    this.#prefix = `${address} `;
    this.#positionMs = positionMs;
    const { kept, incoming } = components;
    // Restore all, however old: setting the clock forward must not make a message come twice. Their number is bounded.
    for (const [, position] of [...kept.entries({ prefix: this.#prefix })].sort(([, a], [, b]) => a.at - b.at)) incoming.restore({ ...NO_LISTS, ...position });
  }

  /** Schedules a write after a change. */
  note(): void {
    this.#writeIn(this.#positionMs);
  }

  /**
   * Writes all changes now.
   * @returns a promise that resolves when these and earlier writes are on disk
   * @throws ProtoflyError `E_STORE`, as a rejection that is logged already. Failed changes are written again later
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

  /** Writes at the end of this turn all changes until then. @returns, throws as `write` */
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
