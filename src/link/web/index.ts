/**
 * Web servers of domains that nobody on this machine has configured. Their names come from addresses, so they must lead
 * to the public internet: not to this machine, and not into its network.
 */
export { PublicWeb, type Lookup } from './public-web.js';
export { isPublicAddress, isPublicHost } from './public-hosts.js';
