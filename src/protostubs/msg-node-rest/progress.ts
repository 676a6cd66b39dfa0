import type { Item } from '../msg-node/index.js';

/** Messages that are posted together, under one number, until the message node has said that it took them. */
export interface Batch {
  readonly items: readonly Item[];
  /** An attempt ended without an answer: nobody knows whether the batch was taken. */
  readonly uncertain: boolean;
}

/** How far a session has got in both directions. It outlives the connections. */
export interface Progress {
  /** The number of the last message that the runtime was given. */
  cursor: number;
  /** The `cursor` that the message node knows of. */
  told: number;
  /** What was received and is still being handed to the runtime; it never rejects. */
  handing: Promise<void>;
  /** How many batches were taken. */
  batches: number;
  /** The batch that is under way. */
  batch: Batch | undefined;
}

export const startOfProgress = (): Progress => ({ cursor: 0, told: 0, handing: Promise.resolve(), batches: 0, batch: undefined });
