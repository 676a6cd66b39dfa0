import { ProtoflyError, shownUrl, webFailure } from '../protocol/index.js';
import type { CatalogueType } from '../protocol/descriptor.js';
import { fetchOf } from './authorities.js';
import type { Context } from './context.js';
import { DEFAULT_DOMAIN, domainUrl } from '../client/domain-url.js';
import { readSettings } from './settings.js';

/**
 * The type makes the compiler check that all types of the vocabulary are listed. The vocabulary's own list would load
 * a validator.
 */
const TYPES: Readonly<Record<CatalogueType, true>> = { hyperty: true, protocolstub: true, runtime: true, dataschema: true, 'idp-proxy': true };

export interface CatalogueInput {
  /** A name, `host:port` or URL. Defaults to the domain that the runtime joins. */
  readonly domain?: string | undefined;
  readonly timeoutMs: number;
}

/** The maximum size of a catalogue document, in bytes. */
const MAX_BYTES = 16 * 1024 * 1024;

/** @throws ProtoflyError `E_USAGE` */
const checkType = (type: string): CatalogueType => {
  if (Object.hasOwn(TYPES, type)) return type as CatalogueType;
  throw new ProtoflyError('E_USAGE', `there is no catalogue type ${JSON.stringify(type)}`, { hint: `there are ${Object.keys(TYPES).join(', ')}` });
};

/** A domain's web server. */
interface Server {
  readonly base: string;
  readonly fetch: typeof globalThis.fetch;
}

const get = async (context: Context, { base, fetch }: Server, path: string, timeoutMs: number): Promise<unknown> => {
  const url = `${base}/.well-known/${path}`;
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(timeoutMs)]);
  try {
    const response = await fetch(url, { signal, redirect: 'manual', headers: { accept: 'application/json' } });
    if (response.status === 404) throw new ProtoflyError('E_NOT_FOUND', `the catalogue at ${base} has no ${path}`, { hint: 'see protofly catalogue list' });
    const location = response.headers.get('location');
    if (!response.ok) throw new ProtoflyError('E_UNREACHABLE', `${url} answers ${String(response.status)}${location === null ? '' : ` and redirects to ${shownUrl(location)}; redirections are not followed`}`);
    if (Number(response.headers.get('content-length') ?? 0) > MAX_BYTES) throw new ProtoflyError('E_TOO_LARGE', `${url} is too large`);
    return await response.json();
  } catch (error) {
    if (error instanceof ProtoflyError) throw error;
    context.signal.throwIfAborted();
    if (error instanceof Error && error.name === 'TimeoutError') throw new ProtoflyError('E_TIMEOUT', `no answer from ${base} within ${String(timeoutMs)} ms`);
    if (error instanceof SyntaxError) throw new ProtoflyError('E_DESCRIPTOR', `${url} isn't JSON`, { cause: error });
    const { reason, hint } = webFailure(error);
    throw new ProtoflyError('E_UNREACHABLE', `the catalogue at ${base} can't be reached: ${reason}`, { hint, cause: error });
  }
};

const serverOf = async (context: Context, domain: string | undefined): Promise<Server> => {
  const settings = await readSettings(context.places);
  return { base: domainUrl(domain ?? settings.domain ?? DEFAULT_DOMAIN, settings.domains).url, fetch: await fetchOf(settings) };
};

export interface CatalogueEntry {
  readonly type: string;
  readonly name: string;
  readonly version?: string;
  /** Content address of the code. */
  readonly hash?: string;
  /** The id of the key named by the signature. It is unverified; `catalogue verify` checks it. */
  readonly keyId?: string;
}

/** The number of descriptors fetched in parallel. */
const AT_ONCE = 8;

/** Returns the version and origin that a descriptor claims. They are unverified. */
export const claimsOf = ({ version, sourceHash, signature }: Readonly<Record<string, unknown>>): Pick<CatalogueEntry, 'version' | 'hash' | 'keyId'> => {
  const keyId = signerOf(signature);
  return {
    ...(typeof version === 'string' ? { version } : {}),
    ...(typeof sourceHash === 'string' ? { hash: sourceHash } : {}),
    ...(keyId === undefined ? {} : { keyId }),
  };
};

/** Returns the id of the key that a signature names. */
const signerOf = (signature: unknown): string | undefined => {
  if (typeof signature !== 'string' || signature === '') return undefined;
  try {
    const { kid } = JSON.parse(Buffer.from(signature.split('.', 1)[0] ?? '', 'base64url').toString('utf8')) as { readonly kid?: unknown };
    return typeof kid === 'string' ? kid : undefined;
  } catch {
    // An unreadable signature names no key.
    return undefined;
  }
};

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> => typeof value === 'object' && value !== null && !Array.isArray(value);

/**
 * Lists the entries of a domain's catalogue, of one type or of all.
 * @throws ProtoflyError `E_USAGE`, `E_UNREACHABLE`, `E_TIMEOUT`
 */
export const listCatalogue = async (context: Context, type: string | undefined, { domain, timeoutMs }: CatalogueInput): Promise<readonly CatalogueEntry[]> => {
  const types = type === undefined ? Object.keys(TYPES) : [checkType(type)];
  const server = await serverOf(context, domain);
  const lists = await Promise.all(types.map(async (each) => {
    const names = await get(context, server, each, timeoutMs).catch((error: unknown) => {
      // A catalogue may answer 404 for a type without entries.
      if (error instanceof ProtoflyError && error.code === 'E_NOT_FOUND') return [];
      throw error;
    });
    return (Array.isArray(names) ? names : []).filter((name) => typeof name === 'string').map((name) => ({ type: each, name }));
  }));
  const names = lists.flat();
  const entries: CatalogueEntry[] = [];
  for (let at = 0; at < names.length; at += AT_ONCE) {
    entries.push(...await Promise.all(names.slice(at, at + AT_ONCE).map(async (entry) => ({ ...entry, ...(await claimsAt(context, server, entry, timeoutMs)) }))));
  }
  return entries;
};

const claimsAt = async (context: Context, server: Server, { type, name }: CatalogueEntry, timeoutMs: number): Promise<ReturnType<typeof claimsOf>> => {
  const descriptor = await get(context, server, `${type}/${encodeURIComponent(name)}`, timeoutMs).catch((error: unknown) => {
    // The entry was removed after it was listed.
    if (error instanceof ProtoflyError && error.code === 'E_NOT_FOUND') return {};
    throw error;
  });
  return isRecord(descriptor) ? claimsOf(descriptor) : {};
};

/** Fetches one descriptor. @throws ProtoflyError `E_NOT_FOUND`, `E_DESCRIPTOR` and as `listCatalogue` */
export const readCatalogue = async (context: Context, type: string, name: string, { domain, timeoutMs }: CatalogueInput): Promise<Readonly<Record<string, unknown>>> => {
  const server = await serverOf(context, domain);
  const descriptor = await get(context, server, `${checkType(type)}/${encodeURIComponent(name)}`, timeoutMs);
  if (isRecord(descriptor)) return descriptor;
  throw new ProtoflyError('E_DESCRIPTOR', `the catalogue at ${server.base} has no valid descriptor for ${type} ${name}`);
};
