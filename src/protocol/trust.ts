import type { Address } from './address.js';

/** Origin of the trust in a key: the domain showed it first, a trusted key endorsed it, or a person added it. */
export type TrustOrigin = 'first-use' | 'endorsed' | 'added';

/** A publisher's key that a runtime trusts. @see docs/control.md */
export interface TrustedKey {
  readonly domain: string;
  readonly keyId: string;
  /** Time when it became trusted (ISO 8601). */
  readonly since: string;
  readonly how: TrustOrigin;
  /** True if a person added it, or a key in its chain of endorsements. */
  readonly byHand: boolean;
}

/** The result of checking a newly fetched package. */
export interface Verification {
  readonly origin: Address;
  readonly version: string;
  /** Content hash of the code, and its size in bytes. Absent if there is no code. */
  readonly hash?: string;
  readonly size?: number;
  readonly keyId: string;
  /** Origin and time (ISO 8601) of the trust in the key. */
  readonly trust: Pick<TrustedKey, 'how' | 'since' | 'byHand'>;
  /** The capabilities that the package asks for. */
  readonly capabilities: readonly string[];
  /** True if it may be deployed here. */
  readonly allowed: boolean;
  /** The reason why it may not be deployed. */
  readonly refusal?: { readonly code: string; readonly message: string; readonly hint?: string };
}
