import type { Scenario } from './scenario.js';

/** A message without a receipt is sent again after 3 s, then after 6, 12 and 24 s (docs/protocol.md, FLW-3). */
const FIRST_RESEND_MS = 3000;
const LAST_RESEND_MS = 24_000;
/** Time after which a domain offers mail again that its receiver had no room for, in milliseconds (docs/protocol.md, MAL-3). */
const MAIL_AGAIN_MS = 30_000;
/** Additional time for a copy, in milliseconds: a runtime checks once a second what to send again, and transport takes time. */
const UNDER_WAY_MS = 2000;
/** Maximum time for reading printed output, in milliseconds. */
const PIPE_MS = 300;

/**
 * Returns how long a second copy of a message may still come after everything has come, in milliseconds. A
 * message is sent twice only if its route is lost or its receipt is missing. So there are no copies without a
 * fault, on perfect cables, and with a receipt at least every 3 s.
 */
export const copiesMs = ({ a, b, traffic, fault }: Pick<Scenario, 'a' | 'b' | 'traffic' | 'fault'>, stoodStillMs: number): number => {
  if (traffic.store === true) return MAIL_AGAIN_MS + UNDER_WAY_MS;
  const isPerfect = a.wire === undefined && b.wire === undefined;
  return fault === undefined && isPerfect && stoodStillMs < FIRST_RESEND_MS ? PIPE_MS : LAST_RESEND_MS + UNDER_WAY_MS;
};
