import { ProtoflyError } from '../../protocol/index.js';
import { isPublicHost } from './public-hosts.js';
import { privateHost, publicLookup, type Lookup } from './public-lookup.js';

export interface PublicWebInit {
  /** @default `dns.lookup` */
  readonly lookup?: Lookup;
}

/** Reads documents of the public internet, and nothing else. The address that is connected to is the one that was checked. */
export class PublicWeb {
  readonly #lookup: Lookup | undefined;
  #send: Promise<typeof globalThis.fetch> | undefined;

  constructor({ lookup }: PublicWebInit = {}) {
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
    return fetchWith({ lookup: publicLookup(this.#lookup) });
  }
}
