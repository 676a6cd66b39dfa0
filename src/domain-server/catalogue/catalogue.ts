import { catalogueAddress, ProtoflyError } from '../../protocol/index.js';
import { CATALOGUE_TYPES, NAME_SHAPE, parseDescriptor, parseSourcePackage, type CatalogueType, type Descriptor, type SourcePackage } from '../../protocol/descriptor.js';
import type { Collection, Store } from '../../store/store.js';
import { entryKey, type CatalogueEntry } from './builtin.js';

export interface CatalogueInit {
  readonly domain: string;
  /** Entries that are there without having been published; a published one of the same name goes before. */
  readonly entries: readonly CatalogueEntry[];
}

/** The stub that `protocolstub/default` stands for. */
const MESSAGE_NODE_STUB = 'msg-node-websocket';

export const isCatalogueType = (text: string): text is CatalogueType => (CATALOGUE_TYPES as readonly string[]).includes(text);

/**
 * What the domain offers for download. Published entries are in the store, built-in ones are handed in.
 * @see docs/protocol.md, "Catalogue"
 */
export class Catalogue {
  readonly #domain: string;
  readonly #builtIn: ReadonlyMap<string, CatalogueEntry>;
  readonly #descriptors: Collection<Descriptor>;
  readonly #sources: Collection<SourcePackage>;
  readonly #store: Store;

  constructor({ store }: { readonly store: Store }, { domain, entries }: CatalogueInit) {
    this.#domain = domain;
    this.#store = store;
    this.#builtIn = new Map(entries.map((entry) => [entryKey(entry.descriptor.type, entry.descriptor.objectName), entry]));
    this.#descriptors = store.collection('catalogue');
    this.#sources = store.collection('catalogue-sources');
  }

  /** Offers an entry, in place of the one of that type and name. @throws ProtoflyError `E_DESCRIPTOR` */
  async publish(entry: { readonly descriptor: unknown; readonly source?: unknown }): Promise<void> {
    const { sourcePackage, ...descriptor } = parseDescriptor(entry.descriptor);
    const given = entry.source ?? sourcePackage;
    const source = given === undefined ? undefined : parseSourcePackage(given);
    const key = entryKey(descriptor.type, descriptor.objectName);
    if (key === 'protocolstub/default') throw new ProtoflyError('E_DESCRIPTOR', `protocolstub/default stands for ${MESSAGE_NODE_STUB}: publish that`);
    await this.#store.transaction(() => {
      void this.#descriptors.put(key, descriptor);
      if (source === undefined) void this.#sources.delete(key);
      else void this.#sources.put(key, source);
    });
  }

  names(type: CatalogueType): string[] {
    const prefix = `${type}/`;
    const names = new Set([...this.#builtIn.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length)));
    for (const [key] of this.#descriptors.entries({ prefix })) names.add(key.slice(prefix.length));
    if (type === 'protocolstub' && names.has(MESSAGE_NODE_STUB)) names.add('default');
    return [...names].sort();
  }

  /** @param url of the message node, as the asker reaches it: it goes into the configuration of the domain's stub */
  descriptor(type: CatalogueType, name: string, url: string): Descriptor | undefined {
    const isDefault = type === 'protocolstub' && name === 'default';
    const key = this.#key(type, name);
    const found = key === undefined ? undefined : this.#descriptors.get(key) ?? this.#builtIn.get(key)?.descriptor;
    if (found === undefined || key === undefined) return undefined;
    const { sourcePackageURL: own, ...rest } = found;
    const hasSource = this.#sourceAt(key) !== undefined;
    const sourcePackageURL = own !== '' || !hasSource ? own : `${catalogueAddress(this.#domain, type, name)}/sourcePackage`;
    return {
      ...rest,
      ...(isDefault ? { objectName: 'default', configuration: { ...rest.configuration, url } } : {}),
      sourcePackageURL,
    };
  }

  source(type: CatalogueType, name: string): SourcePackage | undefined {
    const key = this.#key(type, name);
    return key === undefined ? undefined : this.#sourceAt(key);
  }

  #sourceAt(key: string): SourcePackage | undefined {
    return this.#descriptors.get(key) === undefined ? this.#builtIn.get(key)?.source : this.#sources.get(key);
  }

  #key(type: CatalogueType, name: string): string | undefined {
    if (!NAME_SHAPE.test(name)) return undefined;
    return entryKey(type, type === 'protocolstub' && name === 'default' ? MESSAGE_NODE_STUB : name);
  }
}
