import { publicLookup } from '../../../link/web/public-lookup.js';
import { ProtoflyError } from '../../../protocol/index.js';
import type { StubContext } from '../../contract/stub.js';
import { serverOf } from '../../contract/sandbox.js';

/**
 * Parses the address of a server that a stub wants to reach.
 * @param protocols with their colon
 * @throws ProtoflyError `E_USAGE` for an invalid address, `E_REFUSED` for a server that this stub may not reach
 */
export const permitted = (address: unknown, protocols: readonly string[], { servers, log }: StubContext): URL => {
  const text = String(address);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !protocols.includes(url.protocol)) throw new ProtoflyError('E_USAGE', `not an address with ${protocols.join(' or ')}`);
  const server = serverOf(url).toLowerCase();
  if (servers.some((allowed) => allowed.toLowerCase() === server)) return url;
  log('warn', `refused a connection to ${server}: it may connect to ${servers.join(', ') || 'no server'}`);
  throw new ProtoflyError('E_REFUSED', `this stub may not connect to ${server}`);
};

/** Options for the connections of a stub. */
export const lookupOf = ({ publicOnly = false }: StubContext): { readonly lookup?: ReturnType<typeof publicLookup> } => (publicOnly ? { lookup: publicLookup() } : {});
