import { outcomeOf, type Outcome, type Response } from '../protocol/index.js';

/** What became of a message that was taken, or is to be. */
export interface Receipt extends Omit<Outcome, 'state'> {
  readonly state: 'delivered' | 'queued' | 'relayed';
  readonly rttMs: number;
}

/** @param response a success @param started when the message was sent, as `performance.now()` says */
export const receiptOf = (response: Response, started: number): Receipt => ({ ...(outcomeOf(response) as Omit<Receipt, 'rttMs'>), rttMs: performance.now() - started });
