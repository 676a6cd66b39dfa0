import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseDescriptor, type Descriptor } from '../../protocol/descriptor.js';
import { catalogueAddress, domainOf, partsOf, ProtoflyError, type Address } from '../../protocol/index.js';
import type { StubCatalogue, StubPackage } from './loader.js';

/** The folder of the stubs that come with the package, whether this runs compiled or from source. */
const builtInFolder = (): string => fileURLToPath(new URL('../../../dist/protostubs', import.meta.url));

/** Names that a domain gives to a stub of the package. */
const ALIASES: Readonly<Record<string, string>> = { default: 'msg-node-websocket' };

/** The protostubs that come with the package, under whatever domain's name they are asked for. */
export class BuiltInCatalogue implements StubCatalogue {
  readonly #folder: string;
  readonly #known = new Map<string, Promise<StubPackage>>();

  /** @param folder as the build leaves it: `<name>.js` and `<name>.descriptor.json` */
  constructor(folder: string = builtInFolder()) {
    this.#folder = folder;
  }

  find(origin: Address): Promise<StubPackage> {
    const [, type, given = ''] = partsOf(origin).path.split('/');
    const name = ALIASES[given] ?? given;
    if (type !== 'protocolstub' || !/^[a-z0-9-]+$/.test(name)) throw new ProtoflyError('E_NOT_FOUND', `no protostub comes under ${origin}`);
    const known = this.#known.get(name) ?? this.#read(name);
    this.#known.set(name, known);
    return known;
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
    return { descriptor, source, hash: `sha256-${createHash('sha256').update(source).digest('hex')}`, from: 'built-in' };
  }
}
