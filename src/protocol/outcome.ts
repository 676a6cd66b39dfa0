import { isSuccess, type Response } from './message.js';

/** What the answer to a message that wants a receipt says of it. @see docs/protocol.md, "What a sender expects" */
export interface Outcome {
  /**
   * `delivered`: taken by the receiver's program, or on disk in its inbox. `queued`: on disk elsewhere, for a receiver
   * that is away. `relayed`: on its way to a receiver that acknowledges nothing. `failed`: refused, and not delivered.
   * `unknown`: refused, and it may have arrived all the same.
   */
  readonly state: 'delivered' | 'queued' | 'relayed' | 'failed' | 'unknown';
  /** How it reached the receiver's runtime, or left here when it was relayed. */
  readonly path: string | undefined;
  /** Of the P2P connection by which it came there. */
  readonly generation: number | undefined;
  /** On whose disk it is queued. */
  readonly stored: 'domain' | 'runtime' | undefined;
}

const stateOf = (response: Response): Outcome['state'] => {
  const { code, relayed, uncertain } = response.body;
  if (!isSuccess(response)) return uncertain === true ? 'unknown' : 'failed';
  if (relayed === true) return 'relayed';
  return code === 202 ? 'queued' : 'delivered';
};

export const outcomeOf = (response: Response): Outcome => {
  const { path, generation, stored } = response.body;
  return {
    state: stateOf(response),
    path: typeof path === 'string' ? path : undefined,
    generation: typeof generation === 'number' ? generation : undefined,
    stored: stored === 'domain' || stored === 'runtime' ? stored : undefined,
  };
};
