import { asProtoflyError, ProtoflyError } from '../../protocol/index.js';
import { parseDomainInfo, type DomainInfo } from '../../protocol/descriptor.js';
import type { Collection } from '../../store/index.js';

export interface DomainsComponents {
  /** What was learned, by base URL: a runtime can start while its domain is away. */
  readonly known: Collection<DomainInfo>;
  readonly fetch: typeof fetch;
}

export interface DomainsInit {
  /** Base URLs by domain name, for domains that DNS doesn't say. */
  readonly urls: Readonly<Record<string, string>>;
  /** In milliseconds. @default 5000 */
  readonly timeoutMs?: number;
}

/** Largest description of a domain that is read, in bytes. */
const MAX_INFO = 64 * 1024;

/** What domains say of themselves: where their message node is, and who they are. */
export class Domains {
  readonly #known: Collection<DomainInfo>;
  readonly #fetch: typeof fetch;
  readonly #urls: Readonly<Record<string, string>>;
  readonly #timeoutMs: number;

  constructor({ known, fetch }: DomainsComponents, { urls, timeoutMs = 5000 }: DomainsInit) {
    this.#known = known;
    this.#fetch = fetch;
    this.#urls = urls;
    this.#timeoutMs = timeoutMs;
  }

  /** By name; what was learned earlier serves when the domain is away. @throws ProtoflyError `E_UNREACHABLE`, `E_DESCRIPTOR` */
  async info(domain: string): Promise<DomainInfo> {
    const info = await this.at(this.base(domain)).catch((thrown: unknown) => {
      const error = asProtoflyError(thrown);
      if (error.code !== 'E_UNREACHABLE' || this.#urls[domain] !== undefined) throw error;
      throw new ProtoflyError(error.code, error.message, { hint: `is that its name? where DNS doesn't know it: protofly domain add ${domain} URL`, cause: error });
    });
    if (info.domain !== domain) throw new ProtoflyError('E_DESCRIPTOR', `the server for ${domain} says that it is ${info.domain}`);
    return info;
  }

  /** Base URL of a domain, without a slash at its end. */
  base(domain: string): string {
    return (this.#urls[domain] ?? `https://${domain}`).replace(/\/+$/, '');
  }

  /** By base URL. @throws ProtoflyError `E_UNREACHABLE`, `E_DESCRIPTOR` */
  async at(baseUrl: string): Promise<DomainInfo> {
    const base = baseUrl.replace(/\/+$/, '');
    try {
      const info = await this.#read(`${base}/.well-known/protofly`);
      await this.#known.put(base, info);
      return info;
    } catch (thrown) {
      const known = this.#known.get(base);
      if (known !== undefined && asProtoflyError(thrown).code === 'E_UNREACHABLE') return known;
      throw thrown;
    }
  }

  async #read(url: string): Promise<DomainInfo> {
    let text: string;
    let status: number;
    try {
      const response = await this.#fetch(url, { signal: AbortSignal.timeout(this.#timeoutMs), redirect: 'error' });
      status = response.status;
      text = await limited(response);
    } catch (cause) {
      throw new ProtoflyError('E_UNREACHABLE', `no domain server answers at ${url}`, { hint: 'is it running? (protofly domain start)', cause });
    }
    if (status >= 500) throw new ProtoflyError('E_UNREACHABLE', `the domain server at ${url} answered ${String(status)}`);
    if (status !== 200) throw new ProtoflyError('E_DESCRIPTOR', `${url} answered ${String(status)}: not a domain server`);
    try {
      return parseDomainInfo(JSON.parse(text));
    } catch (cause) {
      throw cause instanceof ProtoflyError ? cause : new ProtoflyError('E_DESCRIPTOR', `${url} is not a domain server: its answer isn't JSON`, { cause });
    }
  }
}

const limited = async (response: Response): Promise<string> => {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > MAX_INFO) throw new Error('the answer is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
};
