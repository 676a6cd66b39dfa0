import { ProtoflyError } from '../protocol/index.js';
import type { CatalogueType } from '../protocol/descriptor.js';
import type { Context } from './context.js';
import { DEFAULT_DOMAIN, domainUrl } from './daemons/runtime.js';
import { readSettings } from './settings.js';

/** Kept in step with the vocabulary by its type: the vocabulary's own list comes with a validator. */
const TYPES: Readonly<Record<CatalogueType, true>> = { hyperty: true, protocolstub: true, runtime: true, dataschema: true, 'idp-proxy': true };

export interface CatalogueInput {
  /** A name, `host:port` or URL; the one that the runtime joins where none is given. */
  readonly domain?: string | undefined;
  readonly timeoutMs: number;
}

/** The largest document that a catalogue may answer with. */
const MAX_BYTES = 16 * 1024 * 1024;

/** @throws ProtoflyError `E_USAGE` */
const checkType = (type: string): CatalogueType => {
  if (Object.hasOwn(TYPES, type)) return type as CatalogueType;
  throw new ProtoflyError('E_USAGE', `there is no catalogue type ${JSON.stringify(type)}`, { hint: `there are ${Object.keys(TYPES).join(', ')}` });
};

const causeOf = (error: unknown): string => {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const { code, message } = cause as NodeJS.ErrnoException;
  return message || code || 'no reason given';
};

const get = async (context: Context, base: string, path: string, timeoutMs: number): Promise<unknown> => {
  const url = `${base}/.well-known/${path}`;
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(timeoutMs)]);
  try {
    const response = await fetch(url, { signal, headers: { accept: 'application/json' } });
    if (response.status === 404) throw new ProtoflyError('E_NOT_FOUND', `the catalogue at ${base} has no ${path}`, { hint: 'see protofly catalogue list' });
    if (!response.ok) throw new ProtoflyError('E_UNREACHABLE', `${url} answers ${String(response.status)}`);
    if (Number(response.headers.get('content-length') ?? 0) > MAX_BYTES) throw new ProtoflyError('E_TOO_LARGE', `${url} is too large`);
    return await response.json();
  } catch (error) {
    if (error instanceof ProtoflyError) throw error;
    context.signal.throwIfAborted();
    if (error instanceof Error && error.name === 'TimeoutError') throw new ProtoflyError('E_TIMEOUT', `no answer from ${base} within ${String(timeoutMs)} ms`);
    if (error instanceof SyntaxError) throw new ProtoflyError('E_DESCRIPTOR', `${url} isn't JSON`, { cause: error });
    throw new ProtoflyError('E_UNREACHABLE', `the catalogue at ${base} can't be reached: ${causeOf(error)}`, { hint: 'is the domain server running? see protofly domain status', cause: error });
  }
};

const baseOf = async (context: Context, domain: string | undefined): Promise<string> => {
  const settings = await readSettings(context.places);
  return domainUrl(domain ?? settings.domain ?? DEFAULT_DOMAIN, settings.domains).url;
};

export interface CatalogueName {
  readonly type: string;
  readonly name: string;
}

/** What a domain's catalogue offers, of one type or of all. @throws ProtoflyError `E_USAGE`, `E_UNREACHABLE`, `E_TIMEOUT` */
export const listCatalogue = async (context: Context, type: string | undefined, { domain, timeoutMs }: CatalogueInput): Promise<readonly CatalogueName[]> => {
  const types = type === undefined ? Object.keys(TYPES) : [checkType(type)];
  const base = await baseOf(context, domain);
  const lists = await Promise.all(types.map(async (each) => {
    const names = await get(context, base, each, timeoutMs).catch((error: unknown) => {
      // A catalogue that has nothing of a type may say so with 404.
      if (error instanceof ProtoflyError && error.code === 'E_NOT_FOUND') return [];
      throw error;
    });
    return (Array.isArray(names) ? names : []).filter((name) => typeof name === 'string').map((name) => ({ type: each, name }));
  }));
  return lists.flat();
};

/** One descriptor. @throws ProtoflyError `E_NOT_FOUND` and as `listCatalogue` */
export const readCatalogue = async (context: Context, type: string, name: string, { domain, timeoutMs }: CatalogueInput): Promise<Readonly<Record<string, unknown>>> =>
  (await get(context, await baseOf(context, domain), `${checkType(type)}/${encodeURIComponent(name)}`, timeoutMs)) as Record<string, unknown>;
