import { lookup as systemLookup, type LookupAddress } from 'node:dns';
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
  readonly #lookup: Lookup;
  #send: Promise<typeof globalThis.fetch> | undefined;

  constructor({ lookup = systemLookup }: PublicWebInit = {}) {
    this.#lookup = lookup;
  }

  /** Like the global `fetch`. Follows no redirection. Throws `E_PRIVATE` for hosts that aren't public. */
  readonly fetch: typeof globalThis.fetch = async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    this.check(url.hostname);
    this.#send ??= this.#load();
    const send = await this.#send;
    try {
      return await send(url, init);
    } catch (thrown) {
      throw thrown instanceof TypeError && thrown.cause instanceof ProtoflyError ? thrown.cause : thrown;
    }
  };

  /** Checks the name of a host, before DNS is asked. @throws ProtoflyError `E_PRIVATE` */
  check(hostname: string): void {
    if (!isPublicHost(hostname)) throw privateHost(hostname, 'that is no name of the public internet');
  }

  /** Loads the HTTP client when it is first needed: it takes 15 MiB of memory, and most runtimes never need it. */
  async #load(): Promise<typeof globalThis.fetch> {
    const { fetchWith } = await import('./client.js');
    return fetchWith({
      lookup: (hostname, options, done) => {
        this.#lookup(hostname, { all: true }, (error, addresses) => {
          const refusal = error ?? refusalOf(hostname, addresses);
          if (refusal !== null) done(refusal, '');
          else if (options.all === true) done(null, addresses);
          else done(null, addresses[0]!.address, addresses[0]!.family);
        });
      },
    });
  }
}

const refusalOf = (hostname: string, addresses: readonly LookupAddress[]): ProtoflyError | null => {
  const inside = addresses.find(({ address }) => !isPublicAddress(address));
  if (inside !== undefined) return privateHost(hostname, `its address is ${inside.address}`);
  return addresses.length === 0 ? privateHost(hostname, 'it has no address') : null;
};

const privateHost = (hostname: string, why: string): ProtoflyError =>
  new ProtoflyError('E_PRIVATE', `${hostname} isn't asked for a foreign domain: ${why}`, { hint: 'if that domain is meant to be there: protofly domain add NAME URL' });
