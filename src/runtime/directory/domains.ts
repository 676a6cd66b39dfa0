import { asProtoflyError, domainUrlOf, noDomainAt, notDomainAt, objectionTo, parseJson, ProtoflyError } from '../../protocol/index.js';
import { parseDomainInfo, type DomainInfo } from '../../protocol/descriptor.js';
import type { Collection } from '../../store/index.js';

export interface DomainsComponents {
  /** Domain documents by base URL, so that a runtime can start while its domain is away. */
  readonly known: Collection<DomainInfo>;
  /** For the own domain, and those that the user has added. */
  readonly fetch: typeof fetch;
  readonly log: (level: 'warn', text: string) => void;
  /** For all others. */
  readonly web: PublicWebPort;
}

/** Web servers of the public internet. */
export interface PublicWebPort {
  /** Throws ProtoflyError `E_PRIVATE` for hosts that aren't public. */
  readonly fetch: typeof fetch;
  /** @throws ProtoflyError `E_PRIVATE` */
  check(hostname: string): void;
}

export interface DomainsInit {
  /** Base URLs by domain name, for domains without DNS. */
  readonly urls: Readonly<Record<string, string>>;
  /** Timeout of a request, in milliseconds. @default 5000 */
  readonly timeoutMs?: number;
}

/** Maximum size of a domain document, in bytes. */
const MAX_INFO = 64 * 1024;

/** Reads the documents of domains: their names, and where their message nodes are. */
export class Domains {
  readonly #known: Collection<DomainInfo>;
  readonly #fetch: typeof fetch;
  readonly #web: PublicWebPort;
  readonly #log: DomainsComponents['log'];
  readonly #urls: Readonly<Record<string, string>>;
  readonly #timeoutMs: number;

  constructor({ known, fetch, web, log }: DomainsComponents, { urls, timeoutMs = 5000 }: DomainsInit) {
    this.#known = known;
    this.#fetch = fetch;
    this.#web = web;
    this.#log = log;
    this.#urls = urls;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Returns the document of a domain, given by name. If the domain is away, returns the last one known.
   * @throws ProtoflyError `E_UNREACHABLE`, `E_DESCRIPTOR`, `E_PRIVATE`
   */
  async info(domain: string): Promise<DomainInfo> {
    if (!this.#isAdded(domain)) this.#web.check(hostOf(this.base(domain)));
    const info = await this.#at(this.base(domain), this.fetchFor(domain)).catch((thrown: unknown) => {
      const error = asProtoflyError(thrown);
      if (error.code !== 'E_UNREACHABLE' || this.#isAdded(domain)) throw error;
      throw new ProtoflyError(error.code, error.message, { hint: `${error.hint ?? 'is that its name?'} If DNS doesn't know it: protofly domain add ${domain} URL`, cause: error });
    });
    if (info.domain !== domain) throw new ProtoflyError('E_DESCRIPTOR', `the server for ${domain} says that it is ${info.domain}`);
    return info;
  }

  /** Returns the `fetch` for a domain's documents: only an added domain may lie in a private network. */
  fetchFor(domain: string): typeof fetch {
    return this.#isAdded(domain) ? this.#fetch : this.#web.fetch;
  }

  /** Checks a server that a domain's stub asks for: only an added domain may name a private one. @throws ProtoflyError `E_PRIVATE` */
  checkServer(domain: string, url: string): void {
    if (!this.#isAdded(domain)) this.#web.check(hostOf(url));
  }

  /** True if the servers of a domain must be on the public internet, because nobody has added it. */
  isPublicOnly(domain: string): boolean {
    return !this.#isAdded(domain);
  }

  /** Returns the base URL of a domain, without a slash at its end. */
  base(domain: string): string {
    return (this.#isAdded(domain) ? this.#urls[domain]! : `https://${domain}`).replace(/\/+$/, '');
  }

  /**
   * Returns the document of a domain, given by base URL. If the domain is away, returns the last one known.
   * @throws ProtoflyError `E_UNREACHABLE` if no domain server can be reached there, `E_DESCRIPTOR` if something else
   * answers, `E_USAGE` if the URL is invalid
   */
  at(baseUrl: string): Promise<DomainInfo> {
    return this.#at(baseUrl, this.#fetch);
  }

  #isAdded(domain: string): boolean {
    return Object.hasOwn(this.#urls, domain);
  }

  async #at(baseUrl: string, get: typeof fetch): Promise<DomainInfo> {
    const base = domainUrlOf(baseUrl);
    try {
      const info = await this.#read(`${base}/.well-known/protofly`, get);
      this.#known.put(base, info).catch((thrown: unknown) => { this.#log('warn', `the description of ${info.domain} can't be kept: ${asProtoflyError(thrown).message}`); });
      return info;
    } catch (thrown) {
      const known = this.#known.get(base);
      if (known !== undefined && asProtoflyError(thrown).code === 'E_UNREACHABLE') return known;
      throw thrown;
    }
  }

  async #read(url: string, get: typeof fetch): Promise<DomainInfo> {
    let text: string;
    try {
      const response = await get(url, { signal: AbortSignal.timeout(this.#timeoutMs), redirect: 'manual' });
      const objection = objectionTo(response, url);
      if (objection !== undefined) {
        await response.body?.cancel();
        throw objection;
      }
      text = await limited(response, url);
    } catch (thrown) {
      throw thrown instanceof ProtoflyError ? thrown : noDomainAt(url, thrown);
    }
    let answer: unknown;
    try {
      answer = parseJson(text);
    } catch (cause) {
      throw notDomainAt(url, 'its answer isn\'t JSON', cause);
    }
    return parseDomainInfo(answer);
  }
}

const hostOf = (url: string): string => (URL.canParse(url) ? new URL(url).hostname : '');

const limited = async (response: Response, url: string): Promise<string> => {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_INFO) throw notDomainAt(url, `its answer is longer than ${String(MAX_INFO)} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
};
