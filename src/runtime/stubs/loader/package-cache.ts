import type { Descriptor, PublicKey, SourcePackage } from '../../../protocol/descriptor.js';
import { asProtoflyError, ProtoflyError, type Address, type Clock } from '../../../protocol/index.js';
import type { Collection, Store } from '../../../store/index.js';
import { checkedDescriptor, checkedSource, type SignedDescriptor, type SignedSource } from './downloads.js';
import type { Origin } from './origin.js';

/** A package as it is kept: everything but its code, which several may share. */
interface Kept extends SignedDescriptor {
  /** What the code's signature says, where the code is kept too. */
  readonly source?: Omit<SourcePackage, 'sourceCode'>;
  /** When it was last asked for, in milliseconds since 1970. */
  readonly used: number;
}

export interface CachedPackage extends SignedDescriptor {
  readonly source?: SignedSource;
}

export interface PackageCacheComponents {
  readonly store: Store;
  readonly clock: Clock;
}

export interface PackageCacheInit {
  /** How many packages are kept; the ones that weren't used for longest go. @default 200 */
  readonly size?: number;
}

/** Packages that were checked once, with their signatures. They are checked again each time: whoever can write the disk is not their publisher. */
export class PackageCache {
  readonly #packages: Collection<Kept>;
  /** By content hash and encoding. */
  readonly #sources: Collection<string>;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #size: number;

  constructor({ store, clock }: PackageCacheComponents, { size = 200 }: PackageCacheInit = {}) {
    this.#store = store;
    this.#packages = store.collection('packages');
    this.#sources = store.collection('package-sources');
    this.#clock = clock;
    this.#size = size;
  }

  /**
   * @returns undefined when it isn't there
   * @throws ProtoflyError `E_PUBLISHER` when it is signed by none of `keys`, `E_SIGNATURE` when it isn't what was kept,
   * `E_PACKAGE_TYPE`
   */
  async read(origin: Origin, keys: readonly PublicKey[]): Promise<CachedPackage | undefined> {
    let kept: Kept | undefined;
    try {
      kept = this.#packages.get(origin.address);
      if (kept === undefined) return undefined;
      const { value: descriptor, keyId } = await checkedDescriptor(origin, kept.descriptor, keys);
      const source = await this.#source(origin, kept, descriptor, keys);
      return { descriptor, keyId, ...(kept.etag === undefined ? {} : { etag: kept.etag }), ...(source === undefined ? {} : { source }) };
    } catch (thrown) {
      const error = asProtoflyError(thrown);
      if (error.code === 'E_STORE' || error.code === 'E_PACKAGE_TYPE') throw error;
      if (kept !== undefined && error.code === 'E_PUBLISHER' && !keys.some(({ kid }) => kid === kept?.keyId)) throw error;
      throw new ProtoflyError('E_SIGNATURE', `the cached copy of ${origin.address}, signed by the key ${String(kept?.keyId ?? '(unreadable)')}, is damaged: ${error.message}`, { cause: thrown });
    }
  }

  /** Keeps a package that has been checked. Resolves when it would survive a crash. */
  async put(address: Address, { descriptor, keyId, etag }: SignedDescriptor, source?: SignedSource): Promise<void> {
    await this.#store.transaction(() => {
      const before = this.#entry(address);
      const claims = source === undefined ? undefined : claimsOf(source.package);
      if (source !== undefined && descriptor.sourceHash !== undefined) void this.#sources.put(keyOf(descriptor.sourceHash, source.package.encoding), source.package.sourceCode);
      void this.#packages.put(address, { descriptor, keyId, ...(etag === undefined ? {} : { etag }), ...(claims === undefined ? {} : { source: claims }), used: this.#clock.now() });
      if (before?.descriptor.sourceHash !== descriptor.sourceHash) this.#sweep(before);
      for (const [oldest, entry] of this.#beyond(address)) {
        void this.#packages.delete(oldest);
        this.#sweep(entry);
      }
    });
  }

  /** Takes note that a package was used. */
  async touch(address: Address): Promise<void> {
    const kept = this.#entry(address);
    if (kept !== undefined) await this.#packages.put(address, { ...kept, used: this.#clock.now() });
  }

  /** Forgets a package, and its code whoever shares it: it may be what is damaged. */
  async drop(address: Address): Promise<void> {
    await this.#store.transaction(() => {
      const kept = this.#entry(address);
      void this.#packages.delete(address);
      if (kept?.descriptor.sourceHash !== undefined && kept.source !== undefined) void this.#sources.delete(keyOf(kept.descriptor.sourceHash, kept.source.encoding));
    });
  }

  async #source(origin: Origin, { source }: Kept, descriptor: Descriptor, keys: readonly PublicKey[]): Promise<SignedSource | undefined> {
    if (source === undefined || descriptor.sourceHash === undefined) return undefined;
    const sourceCode = this.#sources.get(keyOf(descriptor.sourceHash, source.encoding));
    return sourceCode === undefined ? undefined : checkedSource(origin, { ...source, sourceCode }, descriptor, keys);
  }

  /** An entry whatever its state; undefined for one that can't be read at all. */
  #entry(address: string): Kept | undefined {
    try {
      const kept = this.#packages.get(address);
      return typeof kept?.descriptor === 'object' ? kept : undefined;
    } catch (thrown) {
      if (asProtoflyError(thrown).code === 'E_STORE') throw thrown;
      return undefined;
    }
  }

  /** What is to go so that the newest, `address`, has its place. */
  #beyond(address: Address): [string, Kept][] {
    const count = this.#packages.count();
    if (count <= this.#size) return [];
    return [...this.#packages.entries()].filter(([key]) => key !== address).sort(([, a], [, b]) => a.used - b.used).slice(0, count - this.#size).map(([key, kept]) => [key, kept]);
  }

  /** Removes the code of a package that isn't there any more, if no other has the same. */
  #sweep(gone: Kept | undefined): void {
    const hash = gone?.descriptor.sourceHash;
    if (hash === undefined || gone?.source === undefined) return;
    const { encoding } = gone.source;
    for (const [, { descriptor, source }] of this.#packages.entries()) if (descriptor.sourceHash === hash && source?.encoding === encoding) return;
    void this.#sources.delete(keyOf(hash, encoding));
  }
}

const keyOf = (hash: string, encoding: string): string => `${hash}/${encoding}`;

const claimsOf = ({ sourceCodeClassname, encoding, signature }: SourcePackage): Omit<SourcePackage, 'sourceCode'> => ({ sourceCodeClassname, encoding, signature });
