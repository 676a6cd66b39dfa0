/**
 * Reading from web servers. Names of domains that nobody on this machine has configured come from addresses, so
 * `PublicWeb` follows them to the public internet alone: not to this machine, and not into its network.
 */
export { fetchTrusting } from './authorities.js';
export type { Lookup } from './public-lookup.js';
export { PublicWeb } from './public-web.js';
export { isPublicAddress, isPublicHost } from './public-hosts.js';
