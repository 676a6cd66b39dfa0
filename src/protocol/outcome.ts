import { isSuccess, type Response } from './message.js';

/** The outcome of a message that wants a receipt, read from the answer. @see docs/protocol.md, "What a sender expects" */
export interface Outcome {
  /**
   * `delivered`: taken by the receiver's program, or on disk in its inbox. `queued`: on disk elsewhere, for a receiver
   * that is away. `relayed`: sent to a receiver that acknowledges nothing. `failed`: refused and not delivered.
   * `unknown`: refused, but may have arrived nevertheless.
   */
  readonly state: 'delivered' | 'queued' | 'relayed' | 'failed' | 'unknown';
  /** The path to the receiver's runtime; the path out of this runtime if it was relayed. */
  readonly path: string | undefined;
  /** The generation of the P2P connection that it came over. */
  readonly generation: number | undefined;
  /** The disk on which it is queued. */
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
