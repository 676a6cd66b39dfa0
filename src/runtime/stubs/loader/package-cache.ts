import type { Descriptor, PublicKey, SourcePackage } from '../../../protocol/descriptor.js';
import { asProtoflyError, ProtoflyError, type Address, type Clock } from '../../../protocol/index.js';
import type { Collection, Store } from '../../../store/index.js';
import { checkedDescriptor, checkedSource, type SignedDescriptor, type SignedSource } from './downloads.js';
import type { Origin } from './origin.js';

/** A stored package without its code, which several packages may share. */
interface Kept extends SignedDescriptor {
  /** The code's signature and encoding, if the code is stored, too. */
  readonly source?: Omit<SourcePackage, 'sourceCode'>;
  /** Time of the last use, in steady time. */
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
  /** Maximum number of packages. The least recently used are removed. @default 200 */
  readonly size?: number;
}

/**
 * Packages that were checked before, with their signatures. They are checked again at each read, because others may write
 * to the disk.
 */
export class PackageCache {
  readonly #packages: Collection<Kept>;
  /** Code by content hash and encoding. */
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
   * Reads and checks a package.
   * @returns undefined if it isn't stored
   * @throws ProtoflyError `E_PUBLISHER` if none of `keys` signed it, `E_SIGNATURE` if it is damaged, `E_PACKAGE_TYPE`
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

  /** Stores a checked package. Resolves when it would survive a crash. */
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

  /** Records the use of a package. */
  async touch(address: Address): Promise<void> {
    const kept = this.#entry(address);
    if (kept !== undefined) await this.#packages.put(address, { ...kept, used: this.#clock.now() });
  }

  /** Removes a package and its code, which may be damaged, even if other packages share it. */
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

  /** Returns an entry without checking it; undefined if it can't be read. */
  #entry(address: string): Kept | undefined {
    try {
      const kept = this.#packages.get(address);
      return typeof kept?.descriptor === 'object' ? kept : undefined;
    } catch (thrown) {
      if (asProtoflyError(thrown).code === 'E_STORE') throw thrown;
      return undefined;
    }
  }

  /** Returns the entries to be removed to make room for `address`. */
  #beyond(address: Address): [string, Kept][] {
    const count = this.#packages.count();
    if (count <= this.#size) return [];
    return [...this.#packages.entries()].filter(([key]) => key !== address).sort(([, a], [, b]) => a.used - b.used).slice(0, count - this.#size).map(([key, kept]) => [key, kept]);
  }

  /** Removes the code of a removed package, if no other package has the same. */
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
