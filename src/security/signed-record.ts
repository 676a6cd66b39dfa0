import { isDeepStrictEqual } from 'node:util';
import { namesKey, ProtoflyError, RECORD_CLAIM, runtimeOf, SIGNED_FIELDS, type RecordClaim, type RegistryRecord } from '../protocol/index.js';
import { claimIn, readClaim, type IdentityKey } from './identity-key.js';

/** Lifetime of a record's signature, in milliseconds. A record outlives the absence of its runtime by a week. */
export const RECORD_TTL_MS = 30 * 24 * 3600 * 1000;
/** Difference between the clocks of two machines that is allowed, in milliseconds. */
const CLOCKS_MS = 3600 * 1000;
/** Largest signature of a record, in characters: a record has at most 64 KiB. */
const MAX_LENGTH = 96 * 1024;

/** The part of a signature that isn't a field of the record. */
export type SignedUntil = Pick<RecordClaim, 'serial' | 'until'>;

/** Returns the fields of a record that its runtime signs. */
export const signedFieldsOf = (record: RegistryRecord): Pick<RecordClaim, (typeof SIGNED_FIELDS)[number]> =>
  JSON.parse(JSON.stringify(Object.fromEntries(SIGNED_FIELDS.map((field) => [field, record[field]])))) as RecordClaim;

/** Returns a record with the signature of its runtime. */
export const signRecord = async (record: RegistryRecord, key: IdentityKey, { serial, until }: SignedUntil): Promise<RegistryRecord> =>
  ({ ...record, signature: await key.sign(RECORD_CLAIM, { ...signedFieldsOf(record), serial, until }) });

/**
 * Checks that a record is what its runtime has signed. The caller judges its serial, and `checkUntil` its date.
 * @returns undefined if its runtime's URL names no key, so that nothing can be checked
 * @throws ProtoflyError `E_UNSIGNED`, `E_IDENTITY`, `E_SIGNATURE`
 */
export const checkRecord = async (record: RegistryRecord): Promise<SignedUntil | undefined> => {
  const { url, runtime, signature, guid } = record;
  if ((runtimeOf(url) ?? runtime) !== runtime) throw new ProtoflyError('E_IDENTITY', `${url} is an address of another runtime than ${runtime}`);
  if (!namesKey(runtime)) return undefined;
  if (typeof signature !== 'string') throw new ProtoflyError('E_UNSIGNED', `the record of ${url} is not signed by ${runtime}`);
  const { claim: { serial, until, ...signed }, runtimeId, fingerprint } = await readClaim(signature, RECORD_CLAIM, `the record of ${url}`, MAX_LENGTH);
  if (!runtime.endsWith(`/${runtimeId}`)) throw new ProtoflyError('E_IDENTITY', `the record of ${url} is signed by another key than that of ${runtime}`);
  if (guid !== undefined && !guid.startsWith(`user-guid://${fingerprint}`)) throw new ProtoflyError('E_IDENTITY', `the record of ${url} has the guid of another key`);
  // A record without these lists has empty ones.
  if (!isDeepStrictEqual({ dataSchemes: [], resources: [], ...signed }, signedFieldsOf(record)) || !Number.isSafeInteger(serial) || typeof until !== 'string' || Number.isNaN(Date.parse(until))) {
    throw new ProtoflyError('E_SIGNATURE', `the record of ${url} isn't what ${runtime} signed: it was changed`);
  }
  return { serial: serial as number, until };
};

/** Checks that a signature is valid now, and not for longer than it may be. @param now in milliseconds since 1970 @throws ProtoflyError `E_EXPIRED` */
export const checkUntil = ({ until }: SignedUntil, { url }: RegistryRecord, now: number): void => {
  const left = Date.parse(until) - now;
  if (left >= -CLOCKS_MS && left <= RECORD_TTL_MS + CLOCKS_MS) return;
  throw new ProtoflyError('E_EXPIRED', `the record of ${url} is signed until ${until}, and it is ${new Date(now).toISOString()} here`, { hint: 'are the clocks of this machine and of that runtime right?' });
};

/** Returns what the signature of a record says, unchecked: for signed records that were checked before. */
export const signedIn = ({ runtime, signature }: RegistryRecord): SignedUntil | undefined => {
  if (typeof signature !== 'string' || !namesKey(runtime)) return undefined;
  const { serial, until } = claimIn(signature) ?? {};
  return typeof serial === 'number' && typeof until === 'string' ? { serial, until } : undefined;
};

/** True if the user of a record has proved that the runtime in it is his. To be asked of checked records. */
export const isVerified = ({ user, certificate, runtime }: RegistryRecord): boolean => user !== undefined && certificate !== undefined && namesKey(runtime);
