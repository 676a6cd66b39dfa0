import { isAddress, parseAddress, type Address } from './address.js';
import { ProtoflyError } from './errors.js';
import { isRecordStatus, type RecordStatus } from './status.js';

/** A registry record of a hyperty or data object. @see docs/protocol.md, "Domain registry" */
export interface RegistryRecord {
  readonly url: Address;
  /** Catalogue address of the descriptor. */
  readonly descriptor?: string;
  /** `user://<domain>/<user>` */
  readonly user?: Address;
  readonly guid?: Address;
  readonly name?: string;
  /** The runtime that hosts the hyperty. */
  readonly runtime: Address;
  /** Runtime address of the P2P handler stub; absent if the runtime has no P2P. */
  readonly p2pHandler?: Address;
  /** Catalogue address of the requester stub that callers deploy. */
  readonly p2pRequester?: Address;
  /** `DELIVERY` if the runtime acknowledges and orders messages (docs/protocol.md, "Flows"); else absent. */
  readonly delivery?: unknown;
  readonly dataSchemes: readonly string[];
  readonly resources: readonly string[];
  readonly status: RecordStatus;
  /** Seconds after `lastModified` at which a record that isn't renewed becomes `disconnected`. */
  readonly expires: number;
  /** ISO 8601 */
  readonly startingTime?: string;
  /** ISO 8601 */
  readonly lastModified?: string;
  /** The certificate by which the runtime belongs to `user`. @see DeviceClaim */
  readonly certificate?: unknown;
  /** Made by the runtime. @see RecordClaim */
  readonly signature?: unknown;
  /** Other fields that the owner registered come back unchanged. Optional fields that were null are left out. */
  readonly [field: string]: unknown;
}

/** The value of `RegistryRecord.delivery` for runtimes that send receipts and understand flows. */
export const DELIVERY = 'flow/1';

/** Seconds. */
export const DEFAULT_EXPIRES = 3600;

const bad = (field: string, what: string): ProtoflyError => new ProtoflyError('E_MESSAGE', `bad registry record: ${field} is not ${what}`);

const ADDRESSES = ['user', 'guid', 'p2pHandler', 'p2pRequester'] as const;
const TEXTS = ['descriptor', 'name', 'startingTime', 'lastModified'] as const;
const OPTIONAL: ReadonlySet<string> = new Set([...ADDRESSES, ...TEXTS, 'status', 'expires']);

const words = (value: Record<string, unknown>, field: string): string[] => {
  const list = value[field] ?? [];
  if (!Array.isArray(list) || list.length > 100 || !list.every((item) => typeof item === 'string' && item.length <= 256)) {
    throw bad(field, 'a list of at most 100 short strings');
  }
  return list as string[];
};

const isText = (value: unknown): value is string => typeof value === 'string' && value.length <= 2048;

/**
 * Parses a record from outside. Missing lists become empty; a missing status becomes `live`.
 * @throws ProtoflyError `E_MESSAGE`
 */
export const parseRecord = (value: unknown): RegistryRecord => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new ProtoflyError('E_MESSAGE', 'bad registry record: not an object');
  const given = Object.fromEntries(Object.entries(value).filter(([field, item]) => item !== null || !OPTIONAL.has(field))) as Record<string, unknown>;
  const { url, runtime, status, expires } = given;
  if (!isAddress(url)) throw bad('url', 'an address');
  if (!isAddress(runtime)) throw bad('runtime', 'an address');
  for (const field of TEXTS) if (given[field] !== undefined && !isText(given[field])) throw bad(field, 'a short string');
  for (const field of ADDRESSES) {
    const address = given[field];
    if (address === undefined) continue;
    if (!isAddress(address)) throw bad(field, 'an address');
    given[field] = parseAddress(address);
  }
  if (status !== undefined && !isRecordStatus(status)) throw bad('status', 'created, live, disconnected or dead');
  if (expires !== undefined && (typeof expires !== 'number' || !(expires > 0) || expires > 1e9)) throw bad('expires', 'a number of seconds above 0');
  return {
    ...given,
    url: parseAddress(url),
    runtime: parseAddress(runtime),
    dataSchemes: words(given, 'dataSchemes'),
    resources: words(given, 'resources'),
    status: status ?? 'live',
    expires: expires ?? DEFAULT_EXPIRES,
  };
};
