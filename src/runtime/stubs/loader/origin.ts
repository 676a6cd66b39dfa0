import { CATALOGUE_TYPES, NAME_SHAPE, type CatalogueType } from '../../../protocol/descriptor.js';
import { domainOf, isAddress, parseAddress, partsOf, ProtoflyError, type Address } from '../../../protocol/index.js';

/** The parts of a catalogue address. */
export interface Origin {
  readonly address: Address;
  readonly domain: string;
  readonly type: CatalogueType;
  readonly name: string;
}

const isType = (text: string): text is CatalogueType => (CATALOGUE_TYPES as readonly string[]).includes(text);

/** Parses the address of a catalogue entry. @throws ProtoflyError `E_NOT_FOUND` for any other address */
export const parseOrigin = (address: Address): Origin => {
  const { scheme, domain: host, path } = partsOf(address);
  const [wellKnown, type = '', name = '', ...more] = path.split('/');
  if (scheme !== 'hyperty-catalogue' || !host.startsWith('catalogue.') || wellKnown !== '.well-known' || more.length > 0 || !isType(type) || !NAME_SHAPE.test(name)) {
    throw new ProtoflyError('E_NOT_FOUND', `${address} is not the address of a catalogue entry`);
  }
  return { address, domain: domainOf(address), type, name };
};

const SEGMENT = /^[A-Za-z0-9._-]{1,160}$/;

/**
 * Returns the path of a package's code below a domain's base URL.
 * @throws ProtoflyError `E_DESCRIPTOR` if the descriptor names another place than its own domain's catalogue
 */
export const sourcePath = ({ address, domain }: Origin, sourcePackageURL: string): string => {
  const url = isAddress(sourcePackageURL) ? parseAddress(sourcePackageURL) : undefined;
  const { scheme, path } = url === undefined ? { scheme: '', path: '' } : partsOf(url);
  const segments = path.split('/');
  if (url === undefined || scheme !== 'hyperty-catalogue' || domainOf(url) !== domain || segments[0] !== '.well-known' || segments.length > 6 || !segments.every((segment) => SEGMENT.test(segment) && segment !== '..' && segment !== '.')) {
    throw new ProtoflyError('E_DESCRIPTOR', `${address}: its code is not in the catalogue of ${domain}: ${JSON.stringify(sourcePackageURL.slice(0, 200))}`);
  }
  return path;
};
