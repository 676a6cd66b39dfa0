import { lookup as systemLookup, type LookupAddress } from 'node:dns';
import { Agent, fetch as send } from 'undici';
import { ProtoflyError } from '../../protocol/index.js';
import { isPublicAddress, isPublicHost } from './public-hosts.js';

/** Looks up all addresses of a host, as `dns.lookup` does. */
export type Lookup = (hostname: string, options: { readonly all: true }, done: (error: Error | null, addresses: LookupAddress[]) => void) => void;

export interface PublicWebInit {
  /** @default `dns.lookup` */
  readonly lookup?: Lookup;
}

/** Reads documents of the public internet, and nothing else. The address that is connected to is the one that was checked. */
export class PublicWeb {
  /** Like the global `fetch`. Follows no redirection. Throws `E_PRIVATE` for hosts that aren't public. */
  readonly fetch: typeof globalThis.fetch;

  constructor({ lookup = systemLookup }: PublicWebInit = {}) {
    const dispatcher = new Agent({
      // Without connections kept open, each request is checked.
      pipelining: 0,
      connect: {
        lookup: (hostname, options, done) => {
          lookup(hostname, { all: true }, (error, addresses) => {
            const refusal = error ?? refusalOf(hostname, addresses);
            if (refusal !== null) done(refusal, '');
            else if (options.all === true) done(null, addresses);
            else done(null, addresses[0]!.address, addresses[0]!.family);
          });
        },
      },
    });
    this.fetch = async (input, init) => {
      const url = new URL(input instanceof Request ? input.url : input);
      this.check(url.hostname);
      try {
        const response: unknown = await send(url, { ...(init as Parameters<typeof send>[1]), redirect: 'manual', dispatcher });
        // The package's response has the shape of the global one.
        return response as Response;
      } catch (thrown) {
        throw thrown instanceof TypeError && thrown.cause instanceof ProtoflyError ? thrown.cause : thrown;
      }
    };
  }

  /** Checks the name of a host, before DNS is asked. @throws ProtoflyError `E_PRIVATE` */
  check(hostname: string): void {
    if (!isPublicHost(hostname)) throw privateHost(hostname, 'that is no name of the public internet');
  }
}

const refusalOf = (hostname: string, addresses: readonly LookupAddress[]): ProtoflyError | null => {
  const inside = addresses.find(({ address }) => !isPublicAddress(address));
  if (inside !== undefined) return privateHost(hostname, `its address is ${inside.address}`);
  return addresses.length === 0 ? privateHost(hostname, 'it has no address') : null;
};

const privateHost = (hostname: string, why: string): ProtoflyError =>
  new ProtoflyError('E_PRIVATE', `${hostname} isn't asked for a foreign domain: ${why}`, { hint: 'if that domain is meant to be there: protofly domain add NAME URL' });
