import { ProtoflyError } from './errors.js';
import { MAX_ADDRESS_LENGTH } from './limits.js';

declare const brand: unique symbol;
/** A valid address in canonical form: scheme and domain in lower case, no trailing slash. Only `parseAddress` creates one. */
export type Address = string & { readonly [brand]: 'Address' };

export interface AddressParts {
  /** `hyperty`, `hyperty-runtime`, `connection`, `domain`, `user`, … */
  readonly scheme: string;
  /** The host name; the guid of a `user-guid` address. */
  readonly domain: string;
  /** The part after the domain, without its leading slash; may be empty. */
  readonly path: string;
}

/** The session manager at the other end of a connection (docs/protocol.md, "Sessions"). */
export const SESSION = 'mn:/session' as Address;
/** The sender address of a program until its runtime has given it one. */
export const UNNAMED_CLIENT = 'mn:/client' as Address;

// A guid may stand in place of a domain. It is base64url, so it may begin or end with a hyphen.
const SHAPE = /^([A-Za-z][A-Za-z0-9+.-]*):\/\/([A-Za-z0-9_-](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?)((?:\/[^\s\p{Cc}/]+)*)\/?$/u;
const CANONICAL = /^[a-z][a-z0-9+.-]*:\/\/[a-z0-9_-](?:[a-z0-9._-]*[a-z0-9_-])?(?:\/[\x21-\x2e\x30-\x7e]+)*$/;

const tryParse = (text: string): Address | undefined => {
  if (text.length > MAX_ADDRESS_LENGTH) return undefined;
  if (CANONICAL.test(text) && !text.startsWith('runtime:')) return text as Address;
  if (text === SESSION || text === UNNAMED_CLIENT) return text as Address;
  const match = text.isWellFormed() ? SHAPE.exec(text) : null;
  if (match === null) return undefined;
  const [, scheme = '', domain = '', path = ''] = match;
  const given = scheme.toLowerCase();
  const name = given === 'runtime' ? 'hyperty-runtime' : given;
  const address = `${name}://${name === 'user-guid' ? domain : domain.toLowerCase()}${path}` as Address;
  return address.length > MAX_ADDRESS_LENGTH ? undefined : address;
};

/**
 * Parses a full address and brings it into canonical form.
 * @throws ProtoflyError `E_ADDRESS`
 * @see docs/protocol.md, "Addresses"
 */
export const parseAddress = (text: unknown): Address => {
  const address = typeof text === 'string' ? tryParse(text) : undefined;
  if (address !== undefined) return address;
  const shown = typeof text === 'string' ? JSON.stringify(text.slice(0, 80)) : typeof text;
  throw new ProtoflyError('E_ADDRESS', `not an address: ${shown}`, { hint: 'an address looks like hyperty://example.com/alice' });
};

/** True if `text` can be parsed as an address; it may not be in canonical form. */
export const isAddress = (text: unknown): text is string => typeof text === 'string' && tryParse(text) !== undefined;

/** Splits an address into its parts. `mn:/session` has scheme `mn`, no domain, and path `session`. */
export const partsOf = (address: Address): AddressParts => {
  const colon = address.indexOf('://');
  if (colon < 0) return { scheme: 'mn', domain: '', path: address.slice('mn:/'.length) };
  const slash = address.indexOf('/', colon + 3);
  return slash < 0
    ? { scheme: address.slice(0, colon), domain: address.slice(colon + 3), path: '' }
    : { scheme: address.slice(0, colon), domain: address.slice(colon + 3, slash), path: address.slice(slash + 1) };
};

/** Builds an address from its parts. @throws ProtoflyError `E_ADDRESS` if the result isn't an address */
export const formatAddress = ({ scheme, domain, path }: AddressParts): Address =>
  parseAddress(domain === '' ? `${scheme}:/${path}` : path === '' ? `${scheme}://${domain}` : `${scheme}://${domain}/${path}`);

/** Returns the address of a component: `child(runtime, 'sm')` → `hyperty-runtime://example.com/r1/sm`. */
export const child = (parent: Address, name: string): Address => `${parent}/${name}` as Address;

/** True if `address` is `ancestor` or lies below it. */
export const isWithin = (address: Address, ancestor: Address): boolean =>
  address.startsWith(ancestor) && (address.length === ancestor.length || address.charCodeAt(ancestor.length) === 0x2f);

/** Returns the address one segment up, or undefined at the top (`scheme://domain/x` is a top). */
export const parentOf = (address: Address): Address | undefined => {
  const first = address.indexOf('/', address.indexOf('://') + 3);
  const last = address.lastIndexOf('/');
  return first < 0 || last === first ? undefined : (address.slice(0, last) as Address);
};

const RUNTIME_SCHEME = 'hyperty-runtime://';

/** `hyperty-runtime://example.com/r1/sm` → `hyperty-runtime://example.com/r1`; undefined for other schemes. */
export const runtimeOf = (address: Address): Address | undefined => {
  if (!address.startsWith(RUNTIME_SCHEME)) return undefined;
  const id = address.indexOf('/', RUNTIME_SCHEME.length) + 1;
  if (id === 0) return undefined;
  const end = address.indexOf('/', id);
  return end < 0 ? address : (address.slice(0, end) as Address);
};

const FUNCTION_LABELS = ['msg-node.', 'registry.', 'catalogue.', 'admission.'];

/** Returns the domain that an address belongs to: `domain://msg-node.example.com/sm` → `example.com`. */
export const domainOf = (address: Address): string => {
  const { scheme, domain } = partsOf(address);
  if (scheme !== 'domain' && scheme !== 'hyperty-catalogue') return domain;
  const label = FUNCTION_LABELS.find((prefix) => domain.startsWith(prefix));
  return label === undefined ? domain : domain.slice(label.length);
};

/** Addresses of a domain server's functions. */
export const allocationAddress = (domain: string): Address => `domain://msg-node.${domain}/address-allocation` as Address;
export const subscriptionAddress = (domain: string): Address => `domain://msg-node.${domain}/sm` as Address;
export const iceAddress = (domain: string): Address => `domain://msg-node.${domain}/ice` as Address;
export const registryAddress = (domain: string): Address => `domain://registry.${domain}` as Address;
export const catalogueAddress = (domain: string, type: string, name: string): Address =>
  `hyperty-catalogue://catalogue.${domain}/.well-known/${type}/${name}` as Address;
