import { createHash } from 'node:crypto';
import type { Address, Clock, Timer } from '../../protocol/index.js';
import type { Collection } from '../../store/index.js';
import type { Incoming, Position } from '../delivery/index.js';

/** A position as the store has it. */
export interface KeptPosition extends Position {
  /** When it was written last, in milliseconds since 1970. */
  readonly at: number;
}

export interface PositionsComponents {
  readonly kept: Collection<KeptPosition>;
  readonly clock: Clock;
  readonly incoming: Pick<Incoming<unknown>, 'changes' | 'restore'>;
  readonly onFailed: (thrown: unknown) => void;
}

export interface PositionsInit {
  /** The receiver. */
  readonly address: Address;
  /** How long a position may be in memory only, in milliseconds. @default 50 */
  readonly positionMs?: number;
}

/** Nothing is sent again for longer: what is kept for a receiver, anywhere, is kept for a week. */
const KEPT_MS = 8 * 24 * 3600 * 1000;

/**
 * Keeps on disk how far the streams to one receiver have been taken, a little later than it happens: all that
 * happened meanwhile costs one write a stream.
 */
export class Positions {
  readonly #components: PositionsComponents;
  readonly #prefix: string;
  readonly #positionMs: number;
  #timer: Timer | undefined;

  constructor(components: PositionsComponents, { address, positionMs = 50 }: PositionsInit) {
    this.#components = components;
    this.#prefix = `${address} `;
    this.#positionMs = positionMs;
    const { kept, clock, incoming, onFailed } = components;
    for (const [key, position] of [...kept.entries({ prefix: this.#prefix })].sort(([, a], [, b]) => a.at - b.at)) {
      if (clock.now() - position.at > KEPT_MS) kept.delete(key).catch(onFailed);
      else incoming.restore(position);
    }
  }

  /** Something has been taken. */
  note(): void {
    this.#timer ??= this.#components.clock.setTimeout(() => { this.write(); }, this.#positionMs);
  }

  /** Writes now what has changed. */
  write(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    const { kept, clock, incoming, onFailed } = this.#components;
    const { changed, forgotten } = incoming.changes();
    try {
      for (const position of changed) kept.put(this.#key(position), { ...position, at: clock.now() }).catch(onFailed);
      for (const stream of forgotten) kept.delete(this.#key(stream)).catch(onFailed);
    } catch (thrown) {
      onFailed(thrown);
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
    if (this.#timer !== undefined) this.write();
  }

  #key({ from, epoch }: Pick<Position, 'from' | 'epoch'>): string {
    return this.#prefix + createHash('sha256').update(`${from} ${epoch}`).digest('base64url').slice(0, 22);
  }
}
