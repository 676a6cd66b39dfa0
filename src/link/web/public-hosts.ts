import ipaddr from 'ipaddr.js';

/** The prefix of NAT64 (RFC 6052): the last four bytes are the IPv4 address that is meant. */
const NAT64 = 'rfc6052';

/** True if an IP address is one of the public internet. */
export const isPublicAddress = (address: string): boolean => {
  if (!ipaddr.isValid(address)) return false;
  // An IPv4 address inside an IPv6 one counts as itself.
  const parsed = ipaddr.process(address);
  const range = parsed.range();
  if (range === NAT64) return ipaddr.fromByteArray(parsed.toByteArray().slice(12)).range() === 'unicast';
  return range === 'unicast';
};

/** Last labels of names that never belong to the public internet (RFC 6761, RFC 6762, RFC 8375, RFC 9476). */
const PRIVATE_NAMES: ReadonlySet<string> = new Set(['localhost', 'local', 'internal', 'intranet', 'lan', 'home', 'corp', 'alt', 'onion']);

/**
 * True if a host name, as a URL has it, may lead to the public internet. False for IP addresses, names of one label and
 * names that are kept for private networks. Says nothing about the addresses that DNS has for the name.
 */
export const isPublicHost = (hostname: string): boolean => {
  const name = hostname.toLowerCase().replace(/\.$/, '');
  if (ipaddr.isValid(name.replace(/^\[|\]$/g, ''))) return false;
  const labels = name.split('.');
  return labels.length > 1 && !labels.includes('') && !PRIVATE_NAMES.has(labels.at(-1)!) && !name.endsWith('.home.arpa');
};
