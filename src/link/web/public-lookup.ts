import { lookup as systemLookup, type LookupAddress } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { ProtoflyError } from '../../protocol/index.js';
import { isPublicAddress } from './public-hosts.js';

/** Looks up all addresses of a host, as `dns.lookup` does. */
export type Lookup = (hostname: string, options: { readonly all: true }, done: (error: Error | null, addresses: LookupAddress[]) => void) => void;

/**
 * Returns a look-up for connections to the public internet. It fails with `E_PRIVATE` for a host of which any address
 * isn't public. The address that is connected to is the one that was checked. IP addresses aren't looked up.
 */
export const publicLookup = (lookup: Lookup = systemLookup): LookupFunction => (hostname, options, done) => {
  lookup(hostname, { all: true }, (error, addresses) => {
    const refusal = error ?? refusalOf(hostname, addresses);
    if (refusal !== null) done(refusal, '', 0);
    else if (options.all === true) done(null, addresses);
    else done(null, addresses[0]!.address, addresses[0]!.family);
  });
};

const refusalOf = (hostname: string, addresses: readonly LookupAddress[]): ProtoflyError | null => {
  const inside = addresses.find(({ address }) => !isPublicAddress(address));
  if (inside !== undefined) return privateHost(hostname, `its address is ${inside.address}`);
  return addresses.length === 0 ? privateHost(hostname, 'it has no address') : null;
};

/** The refusal of a host that isn't public. */
export const privateHost = (hostname: string, why: string): ProtoflyError =>
  new ProtoflyError('E_PRIVATE', `${hostname} isn't asked for a foreign domain: ${why}`, { hint: 'if that domain is meant to be there: protofly domain add NAME URL' });
