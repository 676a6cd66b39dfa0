import { isDeepStrictEqual } from 'node:util';
import { namesKey, ProtoflyError, RECORD_CLAIM, SIGNED_FIELDS, type RecordClaim, type RegistryRecord } from '../protocol/index.js';
import { readClaim, type RuntimeKey } from './runtime-key.js';

const claimOf = (record: RegistryRecord): Pick<RecordClaim, (typeof SIGNED_FIELDS)[number]> =>
  JSON.parse(JSON.stringify(Object.fromEntries(SIGNED_FIELDS.map((field) => [field, record[field]])))) as RecordClaim;

/** Returns a record with the signature of its runtime. */
export const signRecord = async (record: RegistryRecord, key: RuntimeKey, { serial, until }: Pick<RecordClaim, 'serial' | 'until'>): Promise<RegistryRecord> =>
  ({ ...record, signature: await key.sign(RECORD_CLAIM, { ...claimOf(record), serial, until }) });

/**
 * Checks that a record is what its runtime has signed. The caller judges its serial and its date.
 * @returns undefined if its runtime's URL names no key, so that nothing can be checked
 * @throws ProtoflyError `E_UNSIGNED`, `E_IDENTITY`, `E_SIGNATURE`
 */
export const checkRecord = async (record: RegistryRecord): Promise<Pick<RecordClaim, 'serial' | 'until'> | undefined> => {
  const { url, runtime, signature } = record;
  if (!namesKey(runtime)) return undefined;
  if (typeof signature !== 'string') throw new ProtoflyError('E_UNSIGNED', `the record of ${url} is not signed by ${runtime}`);
  const { claim: { serial, until, ...signed }, runtimeId } = await readClaim(signature, RECORD_CLAIM, `the record of ${url}`);
  if (!runtime.endsWith(`/${runtimeId}`)) throw new ProtoflyError('E_IDENTITY', `the record of ${url} is signed by another key than that of ${runtime}`);
  if (!isDeepStrictEqual(signed, claimOf(record)) || !Number.isSafeInteger(serial) || typeof until !== 'string' || Number.isNaN(Date.parse(until))) {
    throw new ProtoflyError('E_SIGNATURE', `the record of ${url} isn't what ${runtime} signed: it was changed`);
  }
  return { serial: serial as number, until };
};

/** Returns what the signature of a record says, unchecked: for records that were checked before. Undefined without a signature. */
export const signedIn = ({ signature }: RegistryRecord): Pick<RecordClaim, 'serial' | 'until'> | undefined => {
  if (typeof signature !== 'string') return undefined;
  try {
    const { serial, until } = JSON.parse(Buffer.from(signature.split('.')[1] ?? '', 'base64url').toString()) as { readonly serial?: unknown; readonly until?: unknown };
    return typeof serial === 'number' && typeof until === 'string' ? { serial, until } : undefined;
  } catch {
    return undefined;
  }
};
