import type { Address } from '../../../protocol/index.js';

/** The rights of a session. */
export type Standing =
  /** All that the domain lets everybody do. */
  | { readonly as: 'anybody' }
  /** All that a user may do. `until` is in milliseconds since 1970. */
  | { readonly as: 'user'; readonly user: Address; readonly userKey: string; readonly until: number }
  /** Ask one runtime of its user for a certificate. */
  | { readonly as: 'device'; readonly of: Address };

export const ANYBODY: Standing = { as: 'anybody' };
