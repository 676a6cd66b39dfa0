import type { Message, Backpressure } from '../../../src/protocol/index.js';
import type { Attachment, Program as Receiver } from '../../../src/runtime/hyperties/inbox/index.js';
import { numberOf } from './lane.js';

/**
 * `eager` takes everything at once. `slow` has a link that takes a message when a history says so. A number is
 * a window: delivered messages are declared taken when a history says so.
 */
export type Pace = 'eager' | 'slow' | number;

export interface ProgramComponents {
  readonly onDelivered: (n: number) => void;
  readonly onTaken: (n: number) => void;
}

/** A program attached to a hyperty. */
export class Program implements Receiver {
  readonly window?: number;
  readonly #components: ProgramComponents;
  readonly #pace: Pace;
  readonly #delivered: number[] = [];
  #taken = 0;
  #swallow: (() => void) | undefined;
  #attachment: Attachment | undefined;
  #gone = false;

  constructor(components: ProgramComponents, pace: Pace) {
    this.#components = components;
    this.#pace = pace;
    if (typeof pace === 'number') this.window = pace;
  }

  /** @param attachment the inbox's attachment of this program */
  attached(attachment: Attachment): void {
    this.#attachment = attachment;
  }

  deliver(message: Message): Backpressure {
    if (this.#gone) return undefined;
    const n = numberOf(message);
    this.#delivered.push(n);
    this.#components.onDelivered(n);
    if (this.#pace === 'eager') this.#take(1);
    if (this.#pace !== 'slow') return undefined;
    return new Promise((resolve) => {
      this.#swallow = () => {
        this.#swallow = undefined;
        this.#take(1);
        resolve();
      };
    });
  }

  /** Takes up to `count` delivered messages. */
  take(count: number): void {
    if (this.#gone) return;
    if (this.#pace === 'slow') { this.#swallow?.(); return; }
    const more = Math.min(count, this.#delivered.length - this.#taken);
    if (this.#pace === 'eager' || more === 0) return;
    this.#take(more);
    this.#attachment?.taken(this.#taken);
  }

  /** Detaches the program, leaving messages that it hasn't taken. */
  leave(): void {
    this.#gone = true;
    this.#attachment?.detach();
  }

  /** Ends the program because its runtime was killed. */
  lose(): void {
    this.#gone = true;
  }

  #take(count: number): void {
    for (const n of this.#delivered.slice(this.#taken, this.#taken + count)) this.#components.onTaken(n);
    this.#taken += count;
  }
}
