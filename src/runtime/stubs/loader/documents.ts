import { parseJson, ProtoflyError, webFailure } from '../../../protocol/index.js';

export interface DocumentRequest {
  readonly url: string;
  /** Description of the document, for errors. */
  readonly what: string;
  /** Maximum size of the answer, in bytes. */
  readonly limit: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** ETag of a known version: the document is only wanted if it has changed. */
  readonly etag?: string | undefined;
  /** True if intermediate caches are to be bypassed. @default false */
  readonly fresh?: boolean;
}

export interface Document {
  readonly value: unknown;
  readonly etag: string | undefined;
}

const JSON_TYPE = /^application\/(?:[a-z0-9.+-]+\+)?json\s*(?:;|$)/i;
const MAX_ETAG = 256;

/**
 * Fetches a JSON document of a domain's catalogue. Reads no more than the limit, and follows no redirection.
 * @returns undefined if it still has the given ETag
 * @throws ProtoflyError `E_UNREACHABLE`, `E_NOT_FOUND`, `E_PACKAGE_SIZE`, `E_PACKAGE_TYPE`, `E_DESCRIPTOR`
 */
export const getDocument = async (fetch: typeof globalThis.fetch, request: DocumentRequest): Promise<Document | undefined> => {
  const { url, what, limit, timeoutMs, etag, fresh } = request;
  const signal = AbortSignal.any([request.signal, AbortSignal.timeout(timeoutMs)]);
  let text: string;
  let response: Response;
  try {
    response = await fetch(url, { signal, redirect: 'manual', headers: { accept: 'application/json', ...(etag === undefined ? {} : { 'if-none-match': etag }), ...(fresh === true ? { 'cache-control': 'no-cache' } : {}) } });
    if (response.status !== 200) {
      await response.body?.cancel();
      if (response.status === 304 && etag !== undefined) return undefined;
      throw unusable(response.status, request);
    }
    const type = response.headers.get('content-type') ?? '';
    if (!JSON_TYPE.test(type)) {
      await response.body?.cancel();
      throw new ProtoflyError('E_PACKAGE_TYPE', `${what}: ${url} is not JSON but ${JSON.stringify(type.slice(0, 100))}`);
    }
    text = await limited(response, limit, what);
  } catch (thrown) {
    if (thrown instanceof ProtoflyError) throw thrown;
    throw new ProtoflyError('E_UNREACHABLE', `${what} can't be fetched from ${url}: ${webFailure(thrown).reason}`, { cause: thrown });
  }
  const tag = response.headers.get('etag') ?? undefined;
  try {
    return { value: parseJson(text), etag: tag !== undefined && tag.length <= MAX_ETAG ? tag : undefined };
  } catch (cause) {
    throw new ProtoflyError('E_DESCRIPTOR', `${what}: ${url} says that it is JSON, but it isn't`, { cause });
  }
};

const unusable = (status: number, { url, what }: DocumentRequest): ProtoflyError => {
  if (status === 404 || status === 410) return new ProtoflyError('E_NOT_FOUND', `${what}: the catalogue has nothing at ${url}`);
  if (status >= 500 || status === 408 || status === 429) return new ProtoflyError('E_UNREACHABLE', `${what} can't be fetched: ${url} answered ${String(status)}`);
  if (status >= 300 && status < 400) return new ProtoflyError('E_DESCRIPTOR', `${what}: ${url} redirects (${String(status)}); redirections are not followed`);
  return new ProtoflyError('E_DESCRIPTOR', `${what}: ${url} answered ${String(status)}`);
};

const limited = async (response: Response, limit: number, what: string): Promise<string> => {
  const tooLarge = (): ProtoflyError => new ProtoflyError('E_PACKAGE_SIZE', `${what} is larger than ${String(limit)} bytes`);
  if (Number(response.headers.get('content-length') ?? 0) > limit) {
    await response.body?.cancel();
    throw tooLarge();
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Leaving the loop ends the transfer.
  for await (const chunk of response.body ?? []) {
    size += chunk.byteLength;
    if (size > limit) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
};
