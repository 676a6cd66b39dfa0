import { outcomeOf, type Outcome, type Response } from '../protocol/index.js';

/** The outcome of a message that was delivered, queued or relayed. */
export interface Receipt extends Omit<Outcome, 'state'> {
  readonly state: 'delivered' | 'queued' | 'relayed';
  readonly rttMs: number;
}

/** @param response a successful response @param started time of sending, from `performance.now()` */
export const receiptOf = (response: Response, started: number): Receipt => ({ ...(outcomeOf(response) as Omit<Receipt, 'rttMs'>), rttMs: performance.now() - started });
