import type { Descriptor, PublicKey } from '../../../protocol/descriptor.js';
import { asProtoflyError, ProtoflyError, type Address, type TrustedKey, type Verification } from '../../../protocol/index.js';
import { wantedBy, type DeploymentPolicy, type Publishers, type Serials } from '../policy/index.js';
import type { Downloads, SignedDescriptor, SignedSource } from './downloads.js';
import type { StubCatalogue, StubPackage } from './loader.js';
import { parseOrigin, type Origin } from './origin.js';
import type { CachedPackage, PackageCache } from './package-cache.js';
import type { DomainsPort, Log } from './ports.js';

export interface DomainCatalogueComponents {
  readonly domains: DomainsPort;
  readonly publishers: Publishers;
  readonly policy: DeploymentPolicy;
  readonly downloads: Downloads;
  readonly cache: PackageCache;
  readonly serials: Serials;
  readonly log: Log;
}

interface Fetched extends SignedDescriptor {
  readonly source: SignedSource | undefined;
}

/**
 * Protostubs from the catalogues of their domains, signed by trusted publishers. A cached package is returned at once,
 * without the network. Meanwhile, its domain is asked for a newer version, which the next lookup returns.
 */
export class DomainCatalogue implements StubCatalogue {
  readonly #components: DomainCatalogueComponents;
  /** Requests in progress, so that concurrent lookups share one. */
  readonly #flights = new Map<string, Promise<unknown>>();
  readonly #onNews: ((origin: Address) => void)[] = [];
  readonly #end = new AbortController();
  /** Rejects when the catalogue is closed. */
  readonly #ended: Promise<never>;

  constructor(components: DomainCatalogueComponents) {
    this.#components = components;
    const { signal } = this.#end;
    this.#ended = new Promise((_, reject) => { signal.addEventListener('abort', () => { reject(asProtoflyError(signal.reason)); }); });
    this.#ended.catch(() => undefined);
  }

  /** Registers a listener for newer versions of cached packages. The next lookup returns the newer one. */
  onNews(listener: (origin: Address) => void): void {
    this.#onNews.push(listener);
  }

  /** Finds a protostub with its code. @throws ProtoflyError as `StubCatalogue.find` */
  async find(address: Address): Promise<StubPackage> {
    const origin = parseOrigin(address);
    if (origin.type !== 'protocolstub') throw new ProtoflyError('E_PACKAGE_TYPE', `${address} is not a protostub`);
    const { from, found } = await this.#look(origin, true);
    const { descriptor, keyId, source } = found;
    if (source === undefined || descriptor.sourceHash === undefined) throw new ProtoflyError('E_DESCRIPTOR', `${address} has no code`);
    return { descriptor, source: source.text, hash: descriptor.sourceHash, from, keyId };
  }

  async describe(address: Address): Promise<Descriptor> {
    const origin = parseOrigin(address);
    const { found } = await this.#look(origin, false);
    return found.descriptor;
  }

  /**
   * Fetches a package regardless of the cache and checks it, without keeping it.
   * @throws ProtoflyError as `StubCatalogue.find`
   */
  async verify(address: Address): Promise<Verification> {
    const origin = parseOrigin(address);
    return this.#once(`${address} anew`, () => this.#verify(origin));
  }

  /** Aborts all requests. Resolves when nothing is written any more. Idempotent. */
  async close(): Promise<void> {
    this.#end.abort(new ProtoflyError('E_UNREACHABLE', 'the runtime is stopping'));
    await Promise.allSettled(this.#flights.values());
  }

  async #verify(origin: Origin): Promise<Verification> {
    const { policy, downloads, serials } = this.#components;
    const { address } = origin;
    const keys = await this.#keys(origin);
    const signed = await downloads.descriptor(origin, keys, this.#end.signal);
    if (signed === undefined) throw new ProtoflyError('E_DESCRIPTOR', `the catalogue says that ${address} is unchanged, without having been asked`);
    const { descriptor, keyId } = signed;
    serials.check(descriptor, keyId, address);
    const hasCode = origin.type === 'protocolstub' || descriptor.sourceHash !== undefined;
    const source = hasCode ? await downloads.source(origin, descriptor, keys, this.#end.signal) : undefined;
    const trust = this.#trust(origin, keyId);
    const refusal = refusalOf(() => {
      policy.checkPublisher(trust, address);
      policy.checkCapabilities(descriptor, address);
    });
    return {
      origin: address, version: descriptor.version,
      ...(source === undefined || descriptor.sourceHash === undefined ? {} : { hash: descriptor.sourceHash, size: Buffer.byteLength(source.text) }),
      keyId, trust: { how: trust.how, since: trust.since, byHand: trust.byHand },
      capabilities: wantedBy(descriptor), allowed: refusal === undefined, ...(refusal === undefined ? {} : { refusal }),
    };
  }

  /**
   * Returns a package from the cache if it is valid there, or else from its domain.
   * @throws ProtoflyError `E_POLICY` if it isn't allowed
   */
  async #look(origin: Origin, withSource: boolean): Promise<{ readonly from: 'cache' | 'catalogue'; readonly found: Fetched }> {
    const { cache, policy, publishers, log } = this.#components;
    let damage: ProtoflyError | undefined;
    const cached = await this.#cached(origin).catch((thrown: unknown) => {
      damage = asProtoflyError(thrown);
      return undefined;
    });
    // Its key may have been removed during the read.
    const isBelieved = publishers.believed(origin.domain).some(({ kid }) => kid === cached?.keyId);
    if (cached !== undefined && isBelieved && (!withSource || cached.source !== undefined)) {
      policy.checkPublisher(this.#trust(origin, cached.keyId), origin.address);
      cache.touch(origin.address).catch((thrown: unknown) => { log('warn', asProtoflyError(thrown).message); });
      this.#refresh(origin, withSource);
      return { from: 'cache', found: { ...cached, source: cached.source } };
    }
    try {
      return { from: 'catalogue', found: await this.#fetch(origin, withSource) };
    } catch (thrown) {
      if (damage !== undefined && asProtoflyError(thrown).code === 'E_UNREACHABLE') throw damage;
      throw thrown;
    }
  }

  /**
   * Reads the cached package and checks it with the trusted keys. Drops it if it is invalid.
   * @throws ProtoflyError as `PackageCache.read`
   */
  async #cached(origin: Origin, keys: readonly PublicKey[] = this.#components.publishers.believed(origin.domain)): Promise<CachedPackage | undefined> {
    const { cache, serials, log } = this.#components;
    try {
      const cached = await cache.read(origin, keys);
      if (cached !== undefined) serials.check(cached.descriptor, cached.keyId, origin.address);
      return cached;
    } catch (thrown) {
      const error = asProtoflyError(thrown);
      log('warn', `${error.message}: it is dropped`);
      await cache.drop(origin.address);
      throw error;
    }
  }

  #refresh(origin: Origin, withSource: boolean): void {
    this.#fetch(origin, withSource).catch((thrown: unknown) => {
      if (this.#end.signal.aborted) return;
      const { code, message } = asProtoflyError(thrown);
      this.#components.log(code === 'E_UNREACHABLE' ? 'debug' : 'warn', `the cached ${origin.address} serves on: ${message}`);
    });
  }

  #fetch(origin: Origin, withSource: boolean): Promise<Fetched> {
    return this.#once(`${origin.address} ${withSource ? 'with' : 'without'} its code`, () => this.#fetchNow(origin, withSource));
  }

  #once<T>(name: string, run: () => Promise<T>): Promise<T> {
    const running = this.#flights.get(name);
    // A name always stands for the same type.
    if (running !== undefined) return running as Promise<T>;
    const flight = run().finally(() => { this.#flights.delete(name); });
    this.#flights.set(name, flight);
    return flight;
  }

  async #fetchNow(origin: Origin, withSource: boolean): Promise<Fetched> {
    const { cache, downloads, policy, serials, log } = this.#components;
    const { signal } = this.#end;
    const keys = await this.#keys(origin);
    // The keys may have changed since the package was returned from the cache.
    const cached = await this.#cached(origin, keys).catch(() => undefined);
    const fresh = await downloads.descriptor(origin, keys, signal, cached?.etag);
    const signed = fresh ?? cached;
    if (signed === undefined) throw new ProtoflyError('E_DESCRIPTOR', `the catalogue says that ${origin.address} is unchanged, without having been asked`);
    policy.checkPublisher(this.#trust(origin, signed.keyId), origin.address);
    const { descriptor, keyId, etag } = signed;
    serials.check(descriptor, keyId, origin.address);
    await serials.remember(descriptor, keyId, origin.address);
    const isSame = cached?.descriptor.sourceHash === descriptor.sourceHash;
    const source = isSame && cached?.source !== undefined ? cached.source : withSource ? await downloads.source(origin, descriptor, keys, signal) : undefined;
    if (fresh !== undefined || source !== cached?.source) {
      signal.throwIfAborted();
      await cache.put(origin.address, { descriptor, keyId, ...(etag === undefined ? {} : { etag }) }, source).catch((thrown: unknown) => {
        log('warn', `${origin.address} is not kept for later: ${asProtoflyError(thrown).message}`);
      });
    }
    if (cached !== undefined && (!isSame || cached.descriptor.version !== descriptor.version)) {
      log('info', `${origin.address} has a new version: ${nameOf(descriptor)} instead of ${nameOf(cached.descriptor)}; the next deployment takes it`);
    }
    if (cached !== undefined && fresh !== undefined && fresh.descriptor.signature !== cached.descriptor.signature) for (const listener of this.#onNews) listener(origin.address);
    return { descriptor, keyId, ...(etag === undefined ? {} : { etag }), source };
  }

  async #keys({ domain }: Origin): Promise<PublicKey[]> {
    const { domains, publishers } = this.#components;
    return publishers.keysFor(await Promise.race([domains.info(domain), this.#ended]));
  }

  #trust({ domain }: Origin, keyId: string): TrustedKey {
    return this.#components.publishers.trustIn(domain, keyId);
  }
}

const nameOf = ({ version, sourceHash }: Descriptor): string => `${version}${sourceHash === undefined ? '' : ` (${sourceHash})`}`;

const refusalOf = (check: () => void): Verification['refusal'] => {
  try {
    check();
    return undefined;
  } catch (thrown) {
    const { code, message, hint } = asProtoflyError(thrown);
    return { code, message, ...(hint === undefined ? {} : { hint }) };
  }
};
