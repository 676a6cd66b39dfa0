import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseDescriptor, type Descriptor, type DomainInfo } from '../../../protocol/descriptor.js';
import { asProtoflyError, catalogueAddress, domainOf, partsOf, ProtoflyError, type Address } from '../../../protocol/index.js';
import type { StubCatalogue, StubPackage } from './loader.js';

/** Returns the folder with `<name>.js` and `<name>.descriptor.json`, as the build writes them. Works for compiled code and for source. */
const builtInFolder = (): string => fileURLToPath(new URL('../../../../dist/protostubs', import.meta.url));

/** The message-node stub for domains without a description. */
const USUAL = 'msg-node-websocket';

/** The code of the stubs that come with the installation, known by its hash wherever it was downloaded from. */
export class OwnCode {
  readonly #folder = builtInFolder();
  #hashes: Promise<ReadonlySet<string>> | undefined;

  async includes(source: string): Promise<boolean> {
    this.#hashes ??= this.#read();
    return (await this.#hashes).has(hashOf(source));
  }

  async #read(): Promise<ReadonlySet<string>> {
    const names = await readdir(this.#folder).catch(() => []);
    return new Set(await Promise.all(names.filter((name) => name.endsWith('.js')).map(async (name) => hashOf(await readFile(join(this.#folder, name), 'utf8')))));
  }
}

const hashOf = (source: string): string => `sha256-${createHash('sha256').update(source).digest('hex')}`;

export interface BuiltInComponents {
  /** Provides the protocols of a domain's message node and its URL. @default the runtime's configuration decides */
  readonly domains?: { info(domain: string): Promise<DomainInfo> };
}

/**
 * The protostubs of the installation, offered under any domain's name. A domain's `default` is the stub for the first
 * protocol of its message node for which there is one.
 */
export class BuiltInCatalogue implements StubCatalogue {
  readonly #domains: BuiltInComponents['domains'];
  readonly #folder = builtInFolder();
  readonly #known = new Map<string, Promise<StubPackage>>();

  constructor({ domains }: BuiltInComponents = {}) {
    this.#domains = domains;
  }

  async find(origin: Address): Promise<StubPackage> {
    const [, type, name = ''] = partsOf(origin).path.split('/');
    if (type !== 'protocolstub') throw new ProtoflyError('E_NOT_FOUND', `no protostub of this installation has the address ${origin}`);
    return name === 'default' ? this.#default(domainOf(origin)) : this.#named(name);
  }

  async describe(origin: Address): Promise<Descriptor> {
    const domain = domainOf(origin);
    if (origin !== catalogueAddress(domain, 'runtime', 'default')) return (await this.find(origin)).descriptor;
    return parseDescriptor({
      cguid: 'runtime/default', type: 'runtime', version: '1', objectName: 'default',
      p2pHandlerStub: catalogueAddress(domain, 'protocolstub', 'p2p-handler'),
      p2pRequesterStub: catalogueAddress(domain, 'protocolstub', 'p2p-requester'),
    });
  }

  async #default(domain: string): Promise<StubPackage> {
    if (this.#domains === undefined) return this.#named(USUAL);
    const { messageNode } = await this.#domains.info(domain);
    for (const [protocol, url] of Object.entries(messageNode)) {
      const found = await this.#named(`msg-node-${protocol}`).catch((thrown: unknown) => {
        if (asProtoflyError(thrown).code === 'E_NOT_FOUND') return undefined;
        throw thrown;
      });
      if (found === undefined) continue;
      const { descriptor } = found;
      return { ...found, descriptor: { ...descriptor, objectName: 'default', configuration: { ...descriptor.configuration, url } } };
    }
    throw new ProtoflyError('E_NOT_FOUND', `no protostub that comes with this installation speaks to the message node of ${domain} (${Object.keys(messageNode).join(', ') || 'it names no protocol'})`, { hint: 'see protofly config get stubs' });
  }

  #named(name: string): Promise<StubPackage> {
    if (!/^[a-z0-9-]+$/.test(name)) return Promise.reject(new ProtoflyError('E_NOT_FOUND', `no protostub of this installation has the name ${JSON.stringify(name)}`));
    const known = this.#known.get(name) ?? this.#read(name);
    this.#known.set(name, known);
    return known;
  }

  async #read(name: string): Promise<StubPackage> {
    let descriptor: Descriptor;
    let source: string;
    try {
      const [text, code] = await Promise.all([
        readFile(join(this.#folder, `${name}.descriptor.json`), 'utf8'),
        readFile(join(this.#folder, `${name}.js`), 'utf8'),
      ]);
      descriptor = parseDescriptor(JSON.parse(text));
      source = code;
    } catch (cause) {
      this.#known.delete(name);
      throw new ProtoflyError('E_NOT_FOUND', `no usable protostub ${name} comes with this installation`, { hint: 'build it: npm run build', cause });
    }
    return { descriptor, source, hash: hashOf(source), from: 'built-in' };
  }
}
