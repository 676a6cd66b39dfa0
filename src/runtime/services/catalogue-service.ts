import type { MessageBus } from '../../bus/index.js';
import { CATALOGUE_TYPES, NAME_SHAPE, parsePublicKey, type PublicKey } from '../../protocol/descriptor.js';
import { catalogueAddress, child, domainOf, isAddress, ProtoflyError, type Address, type Request } from '../../protocol/index.js';
import type { CheckedCatalogue } from '../stubs/loader/index.js';
import type { Publishers } from '../stubs/policy/index.js';
import { serve } from './connected-programs.js';

export interface CatalogueServiceComponents {
  readonly bus: MessageBus;
  readonly publishers: Publishers;
  readonly catalogue: Pick<CheckedCatalogue, 'verify'>;
  /** Called when the trusted keys have changed. */
  readonly onTrust: () => void;
}

export interface CatalogueServiceInit {
  readonly runtime: Address;
  /** The runtime's own domain, the default of requests. */
  readonly domain: string;
}

/** The body of a program's request, not validated yet. */
interface Said {
  readonly domain?: unknown;
  readonly key?: unknown;
  readonly keyId?: unknown;
  readonly type?: unknown;
  readonly name?: unknown;
}

/** `<runtime>/catalogue`: the publishers that this runtime trusts, and checks of packages. @see docs/control.md */
export class CatalogueService {
  readonly #components: CatalogueServiceComponents;
  readonly #domain: string;
  readonly #address: Address;

  constructor(components: CatalogueServiceComponents, { runtime, domain }: CatalogueServiceInit) {
    this.#components = components;
    this.#domain = domain;
    this.#address = child(runtime, 'catalogue');
    serve(components.bus, this.#address, async (request) => (request.type === 'ping' ? {} : { value: await this.#handle(request) }));
  }

  async #handle({ type, body }: Request): Promise<unknown> {
    const { publishers, catalogue, onTrust } = this.#components;
    const said = (typeof body?.value === 'object' && body.value !== null ? body.value : {}) as Said;
    switch (`${type} ${String(body?.resource)}`) {
      case 'read /trust': return publishers.list();
      case 'create /trust': return publishers.add(domainIn(said), keyIn(said)).finally(onTrust);
      case 'delete /trust': return publishers.remove(domainIn(said)).finally(onTrust);
      case 'execute /verify': return catalogue.verify(entryIn({ ...said, domain: said.domain ?? this.#domain }));
      default: throw new ProtoflyError('E_USAGE', `${this.#address} knows no ${type} of ${JSON.stringify(body?.resource)}`);
    }
  }
}

/** Validates the domain of a request. @throws ProtoflyError `E_USAGE` */
const domainIn = ({ domain }: Said): string => {
  const name = typeof domain === 'string' ? domain.toLowerCase() : '';
  const address = `domain://registry.${name}`;
  if (name !== '' && name.length <= 253 && isAddress(address) && domainOf(address as Address) === name) return name;
  throw new ProtoflyError('E_USAGE', `not the name of a domain: ${JSON.stringify(domain)}`, { hint: 'a domain\'s name looks like example.com' });
};

const keyIn = ({ key, keyId }: Said): PublicKey | string | undefined => {
  if (key !== undefined && key !== null) return parsePublicKey(key);
  if (keyId === undefined || keyId === null) return undefined;
  if (typeof keyId === 'string') return keyId;
  throw new ProtoflyError('E_USAGE', 'keyId is not a string');
};

const entryIn = (said: Said): Address => {
  const { type, name } = said;
  if (!CATALOGUE_TYPES.some((known) => known === type)) throw new ProtoflyError('E_USAGE', `there is no catalogue type ${JSON.stringify(type)}`, { hint: `there are ${CATALOGUE_TYPES.join(', ')}` });
  if (typeof name !== 'string' || !NAME_SHAPE.test(name)) throw new ProtoflyError('E_USAGE', `not the name of a catalogue entry: ${JSON.stringify(name)}`);
  return catalogueAddress(domainIn(said), String(type), name);
};
