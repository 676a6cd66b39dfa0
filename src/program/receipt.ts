import type { Response } from '../protocol/index.js';

/** What became of a message. */
export interface Receipt {
  /**
   * `delivered`: taken by the receiver's program, or on disk in its inbox. `queued`: on disk elsewhere, for a receiver
   * that is away. `relayed`: on its way to a receiver that acknowledges nothing.
   */
  readonly state: 'delivered' | 'queued' | 'relayed';
  /** How it reached the receiver's runtime, or left here when it was relayed. */
  readonly path: string | undefined;
  /** Of the P2P connection by which it came there. */
  readonly generation: number | undefined;
  /** On whose disk it is queued. */
  readonly stored: 'domain' | 'runtime' | undefined;
  readonly rttMs: number;
}

/** @param started when the message was sent, as `performance.now()` says */
export const receiptOf = ({ body: { code, path, generation, stored, relayed } }: Response, started: number): Receipt => ({
  state: relayed === true ? 'relayed' : code === 202 ? 'queued' : 'delivered',
  path: typeof path === 'string' ? path : undefined,
  generation: typeof generation === 'number' ? generation : undefined,
  stored: stored === 'domain' || stored === 'runtime' ? stored : undefined,
  rttMs: performance.now() - started,
});
