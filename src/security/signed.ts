import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { parseDescriptor, parseSourcePackage, type Descriptor, type PublicKey, type SourcePackage } from '../protocol/descriptor.js';
import { ProtoflyError } from '../protocol/index.js';
import { sign, verify, type PublisherKey } from './publisher-key.js';

const DESCRIPTOR = 'protofly-descriptor';
const SOURCE = 'protofly-source';

/** Returns the content address of source code: `sha256-<hex>`. */
export const contentHash = (source: string | Uint8Array): string => `sha256-${createHash('sha256').update(source).digest('hex')}`;

/** Decodes the bytes of a package's code. */
export const sourceBytes = ({ sourceCode, encoding }: SourcePackage): Buffer => Buffer.from(sourceCode, encoding === 'base64' ? 'base64' : 'utf8');

/** Returns the signed part of a descriptor: everything but the signature and the source package, which has its own. */
const coveredOf = (descriptor: Descriptor): Record<string, unknown> =>
  JSON.parse(JSON.stringify({ ...descriptor, signature: undefined, sourcePackage: undefined })) as Record<string, unknown>;

/** Signs a descriptor: its `signature` is a compact JWS whose payload repeats it. */
export const signDescriptor = async (descriptor: Descriptor, key: PublisherKey): Promise<Descriptor> =>
  ({ ...descriptor, signature: await sign(key, DESCRIPTOR, JSON.stringify(coveredOf(descriptor))) });

/** Signs a source package: its `signature` is a compact JWS over its content address and its name. */
export const signSource = async (source: SourcePackage, key: PublisherKey): Promise<SourcePackage> =>
  ({ ...source, signature: await sign(key, SOURCE, JSON.stringify(claimsOf(source))) });

const claimsOf = (source: SourcePackage): Record<string, unknown> =>
  ({ sourceCodeClassname: source.sourceCodeClassname, encoding: source.encoding, sourceHash: contentHash(sourceBytes(source)) });

export interface Checked<T> {
  readonly value: T;
  readonly keyId: string;
}

/**
 * Checks a descriptor from outside: its shape, its signature, and that the content is what was signed.
 * @param what name of the descriptor in errors
 * @throws ProtoflyError `E_DESCRIPTOR`, `E_UNSIGNED`, `E_PUBLISHER`, `E_SIGNATURE`
 */
export const checkDescriptor = async (value: unknown, keys: readonly PublicKey[], what: string): Promise<Checked<Descriptor>> => {
  const descriptor = parseDescriptor(value);
  const { text, keyId } = await verify(descriptor.signature, DESCRIPTOR, keys, what);
  if (!isDeepStrictEqual(coveredOf(descriptor), coveredOf(parseDescriptor(JSON.parse(text))))) {
    throw new ProtoflyError('E_SIGNATURE', `${what} doesn't match its signature by the key ${keyId}`);
  }
  return { value: descriptor, keyId };
};

/**
 * Checks a source package from outside: that it is signed, and that it is the code of `descriptor`.
 * @throws ProtoflyError `E_DESCRIPTOR`, `E_UNSIGNED`, `E_PUBLISHER`, `E_SIGNATURE`
 */
export const checkSource = async (value: unknown, descriptor: Descriptor, keys: readonly PublicKey[], what: string): Promise<Checked<string>> => {
  const source = parseSourcePackage(value);
  const { text, keyId } = await verify(source.signature, SOURCE, keys, what);
  const bytes = sourceBytes(source);
  if (!isDeepStrictEqual(JSON.parse(text), claimsOf(source)) || contentHash(bytes) !== descriptor.sourceHash) {
    throw new ProtoflyError('E_SIGNATURE', `${what} doesn't match its signature by the key ${keyId}`);
  }
  return { value: bytes.toString('utf8'), keyId };
};
