import { MAX_SOURCE, parseSourcePackage, type Descriptor, type PublicKey, type SourcePackage } from '../../../protocol/descriptor.js';
import { asProtoflyError, ProtoflyError } from '../../../protocol/index.js';
import { checkDescriptor, checkSource, sourceBytes } from '../../../security/index.js';
import { getDocument } from './documents.js';
import { sourcePath, type Origin } from './origin.js';
import type { DomainsPort } from './ports.js';

const MAX_DESCRIPTOR = 64 * 1024;
/** Maximum size of the document that holds the code: JSON escapes many characters. */
const MAX_SOURCE_DOCUMENT = 2 * MAX_SOURCE;

export interface DownloadsComponents {
  readonly domains: DomainsPort;
}

export interface DownloadsInit {
  /** Timeout per document, in milliseconds. */
  readonly timeoutMs: number;
}

/** A descriptor with a valid signature. */
export interface SignedDescriptor {
  readonly descriptor: Descriptor;
  readonly keyId: string;
  readonly etag?: string;
}

/** Code with a valid signature. */
export interface SignedSource {
  readonly package: SourcePackage;
  readonly text: string;
}

/** Downloads packages from domains' catalogues, and checks them. */
export class Downloads {
  readonly #components: DownloadsComponents;
  readonly #timeoutMs: number;

  constructor(components: DownloadsComponents, { timeoutMs }: DownloadsInit) {
    this.#components = components;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Downloads and checks a descriptor.
   * @returns undefined if the catalogue has nothing newer than `etag`
   * @throws ProtoflyError `E_UNREACHABLE`, `E_NOT_FOUND`, and the refusals of docs/protocol.md, "Catalogue"
   */
  async descriptor(origin: Origin, keys: readonly PublicKey[], signal: AbortSignal, etag?: string): Promise<SignedDescriptor | undefined> {
    const { address, domain, type, name } = origin;
    const document = await getDocument(this.#components.domains.fetchFor(domain), {
      url: `${this.#components.domains.base(domain)}/.well-known/${type}/${name}`, what: `the descriptor of ${address}`,
      limit: MAX_DESCRIPTOR, timeoutMs: this.#timeoutMs, signal, etag,
    });
    if (document === undefined) return undefined;
    const { value: descriptor, keyId } = await checkedDescriptor(origin, document.value, keys);
    return { descriptor, keyId, ...(document.etag === undefined ? {} : { etag: document.etag }) };
  }

  /** Downloads and checks the code of a descriptor. @throws ProtoflyError as `descriptor` */
  async source(origin: Origin, descriptor: Descriptor, keys: readonly PublicKey[], signal: AbortSignal): Promise<SignedSource> {
    const { domains } = this.#components;
    if (descriptor.sourceHash === undefined) throw new ProtoflyError('E_DESCRIPTOR', `the descriptor of ${origin.address} doesn't say the hash of its code`);
    if (descriptor.sourcePackage !== undefined) return checkedSource(origin, descriptor.sourcePackage, descriptor, keys);
    const url = `${domains.base(origin.domain)}/${sourcePath(origin, descriptor.sourcePackageURL)}`;
    const get = async (fresh: boolean): Promise<SignedSource> => {
      const document = await getDocument(domains.fetchFor(origin.domain), { url, what: `the code of ${origin.address}`, limit: MAX_SOURCE_DOCUMENT, timeoutMs: this.#timeoutMs, signal, fresh });
      return checkedSource(origin, document?.value, descriptor, keys);
    };
    // Code never changes, but an intermediate cache may hold it with the signature of a key that has been replaced.
    return get(false).catch((thrown: unknown) => {
      if (asProtoflyError(thrown).code === 'E_PUBLISHER') return get(true);
      throw thrown;
    });
  }
}

/**
 * Checks a descriptor, downloaded or cached: it must be signed by one of `keys` and match the origin.
 * @throws ProtoflyError `E_DESCRIPTOR`, `E_UNSIGNED`, `E_PUBLISHER`, `E_SIGNATURE`, `E_PACKAGE_TYPE`
 */
export const checkedDescriptor = async ({ address, type, name }: Origin, value: unknown, keys: readonly PublicKey[]): Promise<{ readonly value: Descriptor; readonly keyId: string }> => {
  const checked = await named(address, () => checkDescriptor(value, keys, `the descriptor of ${address}`));
  const { value: descriptor, keyId } = checked;
  if (descriptor.type !== type || descriptor.objectName !== name) {
    throw new ProtoflyError('E_PACKAGE_TYPE', `${address}: the catalogue gives ${descriptor.type} ${descriptor.objectName} instead, signed by the key ${keyId}`);
  }
  if (type === 'protocolstub' && descriptor.language !== 'javascript') {
    throw new ProtoflyError('E_PACKAGE_TYPE', `${address} is no JavaScript but ${JSON.stringify(descriptor.language)}, signed by the key ${keyId}`);
  }
  return checked;
};

/**
 * Checks code, downloaded or cached: it must match the descriptor and be signed by one of `keys`.
 * @throws ProtoflyError `E_DESCRIPTOR`, `E_UNSIGNED`, `E_PUBLISHER`, `E_SIGNATURE`, `E_PACKAGE_SIZE`
 */
export const checkedSource = async ({ address }: Origin, value: unknown, descriptor: Descriptor, keys: readonly PublicKey[]): Promise<SignedSource> => {
  const { sourceCode } = (value ?? {}) as { readonly sourceCode?: unknown };
  const tooLarge = (): ProtoflyError => new ProtoflyError('E_PACKAGE_SIZE', `the code of ${address} is larger than ${String(MAX_SOURCE)} bytes`);
  if (typeof sourceCode === 'string' && sourceCode.length > MAX_SOURCE) throw tooLarge();
  return named(address, async () => {
    const found = parseSourcePackage(value);
    if (sourceBytes(found).byteLength > MAX_SOURCE) throw tooLarge();
    return { package: found, text: (await checkSource(found, descriptor, keys, `the code of ${address}`)).value };
  });
};

/** Adds the package's name to errors about its shape, and a hint to errors about its key. */
const named = async <T>(address: string, run: () => Promise<T>): Promise<T> => {
  try {
    return await run();
  } catch (thrown) {
    if (!(thrown instanceof ProtoflyError)) throw new ProtoflyError('E_SIGNATURE', `the signed content of ${address} can't be read`, { cause: thrown });
    if (thrown.code === 'E_DESCRIPTOR') throw new ProtoflyError('E_DESCRIPTOR', `${address}: ${thrown.message}`, { cause: thrown });
    if (thrown.code === 'E_PUBLISHER') throw new ProtoflyError('E_PUBLISHER', thrown.message, { cause: thrown, hint: 'see protofly catalogue trust list' });
    throw thrown;
  }
};
