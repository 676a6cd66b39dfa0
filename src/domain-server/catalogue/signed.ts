import { LruMap } from '../../kit/lru-map.js';
import type { Descriptor, SourcePackage } from '../../protocol/descriptor.js';
import { digest } from '../shard/keys.js';

/** Signs the domain's descriptors and code. */
export interface Signer {
  /** The id of the current key. It changes when a new key takes over. */
  readonly keyId: string;
  descriptor(descriptor: Descriptor): Promise<Descriptor>;
  source(source: SourcePackage): Promise<SourcePackage>;
}

/**
 * A cache of signatures. The least recently used are evicted first. A descriptor that contains the client's own
 * address of the message node is signed once per address.
 */
export class Signed {
  readonly #signer: Signer;
  readonly #made: LruMap<string, Promise<string>>;

  /** @param limit the maximum number of cached signatures */
  constructor(signer: Signer, limit = 512) {
    this.#signer = signer;
    this.#made = new LruMap(limit);
  }

  async descriptor(descriptor: Descriptor): Promise<Descriptor> {
    const { sourcePackage: _, signature: __, ...covered } = descriptor;
    const signature = await this.#signature(JSON.stringify(covered), async () => (await this.#signer.descriptor(descriptor)).signature);
    return { ...descriptor, signature };
  }

  /** @param hash content address of the source */
  async source(source: SourcePackage, hash: string): Promise<SourcePackage> {
    const { sourceCodeClassname, encoding } = source;
    const signature = await this.#signature(JSON.stringify([hash, sourceCodeClassname, encoding]), async () => (await this.#signer.source(source)).signature);
    return { ...source, signature };
  }

  #signature(what: string, make: () => Promise<string>): Promise<string> {
    const key = `${this.#signer.keyId} ${digest(what)}`;
    const known = this.#made.get(key);
    if (known !== undefined) return known;
    const made = make();
    this.#made.set(key, made);
    made.catch(() => { if (this.#made.get(key) === made) this.#made.delete(key); });
    return made;
  }
}
