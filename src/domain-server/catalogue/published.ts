import { isDeepStrictEqual } from 'node:util';
import { ProtoflyError } from '../../protocol/index.js';
import { MAX_SOURCE, parseDescriptor, parseSourcePackage, type Descriptor, type SourcePackage } from '../../protocol/descriptor.js';
import { contentHash, sourceBytes } from '../../security/index.js';

/**
 * Maximum size of a descriptor as JSON without its code, in bytes. Its signature repeats it, and both must fit into
 * the limit of runtimes.
 */
const MAX_DESCRIPTOR_BYTES = 24 * 1024;

/** An unchecked entry, as sent by its publisher. */
export interface Publication {
  /** May contain its code in `sourcePackage`. `cguid` and `version` are optional. */
  readonly descriptor: unknown;
  readonly source?: unknown;
}

/** A checked entry, as stored. */
export interface Checked {
  readonly descriptor: Descriptor;
  readonly source: SourcePackage | undefined;
}

const bad = (what: string): ProtoflyError => new ProtoflyError('E_DESCRIPTOR', `bad descriptor: ${what}`);

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value);

const checkSource = (given: unknown): SourcePackage => {
  const code = isObject(given) ? given['sourceCode'] : undefined;
  if (typeof code === 'string' && code.length > MAX_SOURCE) {
    throw new ProtoflyError('E_PACKAGE_SIZE', `the code has ${String(code.length)} characters; at most ${String(MAX_SOURCE)} are published`);
  }
  return { ...parseSourcePackage(given), signature: '' };
};

/** Returns the next version: the last number plus one. */
const versionAfter = (version: string): string => {
  const match = /^(.*?)(\d+)(\D*)$/s.exec(version);
  return match === null ? `${version}.1` : `${match[1]!}${String(BigInt(match[2]!) + 1n)}${match[3]!}`;
};

/** Returns a descriptor without `cguid` and `version`. */
const unversioned = ({ cguid: _, version: __, ...rest }: Descriptor): object => JSON.parse(JSON.stringify(rest)) as object;

/**
 * Checks a publication and fills in missing fields. `cguid` defaults to the hash of the content. `version` defaults
 * to the one after `before`'s, or the same if nothing has changed.
 * @param before returns the entry published under this name
 * @throws ProtoflyError `E_DESCRIPTOR`, `E_PACKAGE_SIZE`
 */
export const checkPublication = ({ descriptor: given, source: apart }: Publication, before: (descriptor: Descriptor) => Descriptor | undefined): Checked => {
  if (!isObject(given)) throw bad('it is not an object');
  const { sourcePackage, ...said } = given;
  const source = apart === undefined && sourcePackage === undefined ? undefined : checkSource(apart ?? sourcePackage);
  const { sourceHash, ...parsed } = parseDescriptor({ cguid: '', version: '', ...said, signature: '' });
  const hash = source === undefined ? undefined : contentHash(sourceBytes(source));
  if (hash === undefined) checkReference(parsed, sourceHash);
  else if (sourceHash !== undefined && sourceHash !== hash) throw bad(`its sourceHash is ${sourceHash}, its code's is ${hash}`);
  const known = hash ?? sourceHash;
  const complete: Descriptor = { ...parsed, ...(known === undefined ? {} : { sourceHash: known }), ...(hash === undefined ? {} : { sourcePackageURL: '' }) };
  const descriptor = named(complete, before(complete));
  const bytes = Buffer.byteLength(JSON.stringify(descriptor));
  if (bytes > MAX_DESCRIPTOR_BYTES) throw new ProtoflyError('E_PACKAGE_SIZE', `the descriptor has ${String(bytes)} bytes without its code; at most ${String(MAX_DESCRIPTOR_BYTES)} are published`);
  return { descriptor, source };
};

/** Checks that code which isn't given has an address. */
const checkReference = ({ type, sourcePackageURL }: Descriptor, sourceHash: string | undefined): void => {
  if (sourcePackageURL !== '' && !URL.canParse(sourcePackageURL)) throw bad(`sourcePackageURL is no URL, and the code isn't given: ${sourcePackageURL.slice(0, 200)}`);
  if (sourcePackageURL === '' && (type === 'protocolstub' || sourceHash !== undefined)) throw bad('its code is missing: give sourcePackage, or say where it is in sourcePackageURL');
};

const named = (descriptor: Descriptor, before: Descriptor | undefined): Descriptor => {
  const cguid = descriptor.cguid === '' ? descriptor.sourceHash ?? contentHash(JSON.stringify(unversioned(descriptor))) : descriptor.cguid;
  if (descriptor.version !== '') return { ...descriptor, cguid };
  if (before === undefined) return { ...descriptor, cguid, version: '1' };
  const same = cguid === before.cguid && isDeepStrictEqual(unversioned(descriptor), unversioned(before));
  const version = same ? before.version : versionAfter(before.version);
  if (version.length > 64) throw bad('version: the one before is too long to count on from; say it');
  return { ...descriptor, cguid, version };
};
