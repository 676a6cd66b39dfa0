import { SHARE_PER_ADDRESS } from '../share.js';

/** The limits of a domain registry. Requests beyond them are refused with 429, a record that is too large with 413. */
export interface RegistryLimits {
  /** Maximum size of a record, in bytes. @default 65_536 */
  readonly recordBytes: number;
  /** Maximum number of records of one runtime. Beyond it, its disconnected ones give way. @default 20_000 */
  readonly perRuntime: number;
  /** The same in KiB. Every record counts as whole KiB. @default 32 MiB */
  readonly kibPerRuntime: number;
  /** Maximum number of records in all. @default 2_000_000 */
  readonly records: number;
  /** The same in KiB. @default 4 GiB */
  readonly kib: number;
  /** The part of all records that the runtimes of one remote address may have, from 0 to 1. @default SHARE_PER_ADDRESS */
  readonly sharePerAddress: number;
}

export const REGISTRY_LIMITS: RegistryLimits = {
  recordBytes: 65_536,
  perRuntime: 20_000,
  kibPerRuntime: 32 * 1024,
  records: 2_000_000,
  kib: 4 * 1024 * 1024,
  sharePerAddress: SHARE_PER_ADDRESS,
};
