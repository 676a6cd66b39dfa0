import { catalogueAddress, type Clock } from '../../protocol/index.js';
import { CATALOGUE_TYPES, HASH_SHAPE, NAME_SHAPE, type CatalogueType, type Descriptor, type SourcePackage } from '../../protocol/descriptor.js';
import { contentHash, sourceBytes } from '../../security/index.js';
import type { Collection, Store } from '../../store/store.js';
import { entryKey, type CatalogueEntry } from './builtin.js';
import { checkPublication, type Publication } from './published.js';
import { digest } from '../shard/keys.js';
import { Serials, type Changed } from './serials.js';
import { Signed, type Signer } from './signed.js';

export interface CatalogueComponents {
  readonly store: Store;
  readonly clock: Clock;
  readonly signer: Signer;
}

export interface CatalogueInit {
  readonly domain: string;
  /** Built-in entries. A published entry of the same name takes precedence. */
  readonly entries: readonly CatalogueEntry[];
  /** The stub returned for `protocolstub/default`, if no stub has that name. */
  readonly defaultStub: string | undefined;
}

/** The result of a publication. */
export interface Published {
  readonly type: CatalogueType;
  readonly name: string;
  readonly version: string;
  readonly cguid: string;
  /** Content address of the code, if any. */
  readonly hash?: string;
}

/** Code that was replaced by a newer version. */
interface Earlier {
  readonly source: SourcePackage;
  /** Higher is newer. */
  readonly order: number;
}

interface Found {
  readonly key: string;
  readonly descriptor: Descriptor;
  readonly source: () => SourcePackage | undefined;
  /** Content address of the code, if the code is stored here. */
  readonly hash: string | undefined;
}

/** The number of replaced versions of an entry's code that stay available. */
const KEPT_VERSIONS = 4;

/** Key of all built-in entries together: a change of one renews all. */
const BUILT_IN = 'built-in';

export const isCatalogueType = (text: string): text is CatalogueType => (CATALOGUE_TYPES as readonly string[]).includes(text);

const hashOf = (source: SourcePackage | undefined): string | undefined => (source === undefined ? undefined : contentHash(sourceBytes(source)));

/**
 * The entries that the domain offers for download, signed by its signer. Published entries are in the store; built-in
 * entries are passed in.
 * @see docs/protocol.md, "Catalogue"
 */
export class Catalogue {
  readonly #domain: string;
  readonly #defaultStub: string | undefined;
  readonly #builtIn: ReadonlyMap<string, Found>;
  readonly #descriptors: Collection<Descriptor>;
  readonly #sources: Collection<SourcePackage>;
  /** Replaced code, by key and content address. */
  readonly #earlier: Collection<Earlier>;
  readonly #store: Store;
  readonly #signed: Signed;
  readonly #serials: Serials;
  readonly #contentOfBuiltIn: string;

  constructor({ store, clock, signer }: CatalogueComponents, { domain, entries, defaultStub }: CatalogueInit) {
    this.#domain = domain;
    this.#defaultStub = defaultStub;
    this.#store = store;
    this.#signed = new Signed(signer);
    this.#serials = new Serials({ changes: store.collection<Changed>('catalogue-serials'), clock });
    this.#contentOfBuiltIn = digest(JSON.stringify([defaultStub ?? null, entries.map(({ descriptor, source }) => [descriptor, hashOf(source) ?? null])]));
    this.#builtIn = new Map(entries.map(({ descriptor, source }) => {
      const key = entryKey(descriptor.type, descriptor.objectName);
      return [key, { key, descriptor, source: () => source, hash: hashOf(source) }];
    }));
    this.#descriptors = store.collection('catalogue');
    this.#sources = store.collection('catalogue-sources');
    this.#earlier = store.collection('catalogue-earlier');
  }

  /** Numbers the built-in entries. Call it before the first descriptor is asked for. @throws ProtoflyError `E_STORE` */
  load(): Promise<void> {
    return this.#serials.note(BUILT_IN, this.#contentOfBuiltIn);
  }

  /**
   * Publishes an entry, in place of the one of the same type and name. The replaced code stays available for the next
   * `KEPT_VERSIONS` versions. Publishing the same entry again changes nothing.
   * @throws ProtoflyError `E_DESCRIPTOR`, `E_PACKAGE_SIZE`
   */
  async publish(publication: Publication): Promise<Published> {
    const { descriptor, source } = checkPublication(publication, ({ type, objectName }) => this.#at(entryKey(type, objectName))?.descriptor);
    const { type, objectName: name, version, cguid, sourceHash } = descriptor;
    const key = entryKey(type, name);
    await this.#store.transaction(() => {
      this.#setAside(key, source === undefined ? undefined : sourceHash);
      void this.#descriptors.put(key, descriptor);
      if (source === undefined) void this.#sources.delete(key);
      else void this.#sources.put(key, source);
    });
    await this.#serials.note(key, digest(JSON.stringify(descriptor)));
    return { type, name, version, cguid, ...(sourceHash === undefined ? {} : { hash: sourceHash }) };
  }

  names(type: CatalogueType): string[] {
    const prefix = `${type}/`;
    const names = new Set([...this.#builtIn.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length)));
    for (const [key] of this.#descriptors.entries({ prefix })) names.add(key.slice(prefix.length));
    if (type === 'protocolstub' && this.#defaultStub !== undefined && names.has(this.#defaultStub)) names.add('default');
    return [...names].sort();
  }

  /** @param url of the message node, as this client reaches it; it goes into the configuration of the domain's stub */
  async descriptor(type: CatalogueType, name: string, url: string): Promise<Descriptor | undefined> {
    const [found] = this.#found(type, name);
    if (found === undefined) return undefined;
    const { key, descriptor, hash } = found;
    const { configuration } = descriptor;
    const isDefault = type === 'protocolstub' && name === 'default';
    const isAlias = descriptor.objectName !== name;
    return this.#signed.descriptor({
      ...descriptor,
      ...this.#serials.of(BUILT_IN, key),
      objectName: name,
      // A stub published for this domain may have a URL of its own.
      ...(isDefault ? { configuration: isAlias ? { ...configuration, url } : { url, ...configuration } } : {}),
      ...(hash === undefined ? {} : { sourceHash: hash, sourcePackageURL: `${catalogueAddress(this.#domain, type, name)}/sourcePackage/${hash}` }),
    });
  }

  /** @param hash content address of the wanted version. @default the current version */
  async source(type: CatalogueType, name: string, hash?: string): Promise<SourcePackage | undefined> {
    const candidates = this.#found(type, name);
    const wanted = hash ?? candidates[0]?.hash;
    if (wanted === undefined || !HASH_SHAPE.test(wanted)) return undefined;
    for (const { key, source, hash: current } of candidates) {
      const builtIn = this.#builtIn.get(key);
      const code = current === wanted ? source() : builtIn?.hash === wanted ? builtIn.source() : this.#earlier.get(`${key}/${wanted}`)?.source;
      if (code !== undefined) return this.#signed.source(code, wanted);
    }
    return undefined;
  }

  /** Returns the entries that a name stands for, the current one first. */
  #found(type: CatalogueType, name: string): Found[] {
    if (!NAME_SHAPE.test(name)) return [];
    const names = type === 'protocolstub' && name === 'default' && this.#defaultStub !== undefined ? [name, this.#defaultStub] : [name];
    return names.map((each) => this.#at(entryKey(type, each))).filter((found) => found !== undefined);
  }

  #at(key: string): Found | undefined {
    const descriptor = this.#descriptors.get(key);
    if (descriptor === undefined) return this.#builtIn.get(key);
    const source = (): SourcePackage | undefined => this.#sources.get(key);
    // If the code is elsewhere, the descriptor holds its address.
    const hash = descriptor.sourcePackageURL === '' ? descriptor.sourceHash ?? hashOf(source()) : undefined;
    return { key, descriptor, source, hash };
  }

  /** Keeps published code that is about to be replaced, and deletes the oldest. */
  #setAside(key: string, next: string | undefined): void {
    const source = this.#sources.get(key);
    const hash = hashOf(source);
    const kept = [...this.#earlier.entries({ prefix: `${key}/` })].map(([at, { order }]) => ({ at, order })).sort((a, b) => b.order - a.order);
    if (next !== undefined) void this.#earlier.delete(`${key}/${next}`);
    if (source === undefined || hash === undefined || hash === next) return;
    void this.#earlier.put(`${key}/${hash}`, { source, order: (kept[0]?.order ?? 0) + 1 });
    for (const { at } of kept.filter(({ at }) => at !== `${key}/${hash}`).slice(KEPT_VERSIONS - 1)) void this.#earlier.delete(at);
  }
}
