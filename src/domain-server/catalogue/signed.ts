import { LruMap } from '../../kit/lru-map.js';
import type { Descriptor, SourcePackage } from '../../protocol/descriptor.js';
import { digest } from '../shard/keys.js';

/** Whoever signs for the domain. */
export interface Signer {
  /** Changes when a new key takes over. */
  readonly keyId: string;
  descriptor(descriptor: Descriptor): Promise<Descriptor>;
  source(source: SourcePackage): Promise<SourcePackage>;
}

/**
 * Signatures that were made, so that not every request costs one; the least recently used go first. A descriptor that
 * tells each asker his own address of the message node is signed once for each of them.
 */
export class Signed {
  readonly #signer: Signer;
  readonly #made: LruMap<string, Promise<string>>;

  /** @param limit how many signatures are remembered */
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
