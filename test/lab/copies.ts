import type { Scenario } from './scenario.js';

/** A message whose receipt is missing is sent again after 3 s, then after 6, 12 and 24 s (docs/protocol.md, FLW-3). */
const FIRST_RESEND_MS = 3000;
const LAST_RESEND_MS = 24_000;
/** A domain offers mail again so long after its receiver had no room for it (docs/protocol.md, MAL-3). */
const MAIL_AGAIN_MS = 30_000;
/** What else a copy takes: a runtime looks once a second for what to send again, and the way takes some time. */
const UNDER_WAY_MS = 2000;
/** What the reader has printed is read within this time. */
const PIPE_MS = 300;

/**
 * How long after everything has come a second copy of a message may still come, in milliseconds. A message is sent twice
 * only when a way is lost or its receipt stays away: without a fault, on perfect cables, and with a receipt at least every
 * 3 s there is no copy.
 */
export const copiesMs = ({ a, b, traffic, fault }: Pick<Scenario, 'a' | 'b' | 'traffic' | 'fault'>, stoodStillMs: number): number => {
  if (traffic.store === true) return MAIL_AGAIN_MS + UNDER_WAY_MS;
  const isPerfect = a.wire === undefined && b.wire === undefined;
  return fault === undefined && isPerfect && stoodStillMs < FIRST_RESEND_MS ? PIPE_MS : LAST_RESEND_MS + UNDER_WAY_MS;
};
