import type { Item } from '../msg-node/index.js';

/** Messages that are posted together under one number, until the message node has confirmed them. */
export interface Batch {
  readonly items: readonly Item[];
  /** True if an attempt ended without an answer: the node may or may not have taken the batch. */
  readonly uncertain: boolean;
}

/** The progress of a session in both directions. It outlives connections. */
export interface Progress {
  /** The number of the last message given to the runtime. */
  cursor: number;
  /** The last `cursor` acknowledged to the message node. */
  told: number;
  /** Settles when received messages have been handed to the runtime; never rejects. */
  handing: Promise<void>;
  /** Number of batches taken by the node. */
  batches: number;
  /** The batch in flight. */
  batch: Batch | undefined;
}

export const startOfProgress = (): Progress => ({ cursor: 0, told: 0, handing: Promise.resolve(), batches: 0, batch: undefined });
