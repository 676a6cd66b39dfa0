/** `warn`: it works, but not as well as it could. `skip`: it can't be checked. */
export type CheckVerdict = 'ok' | 'warn' | 'fail' | 'skip';

/** One line of the report of `protofly doctor`. */
export interface Check {
  readonly check: string;
  readonly verdict: CheckVerdict;
  readonly detail: string;
  readonly next?: string;
}
