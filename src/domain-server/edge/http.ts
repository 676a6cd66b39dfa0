import { createHash } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { asProtoflyError } from '../../protocol/index.js';
import type { CatalogueType, DomainInfo } from '../../protocol/descriptor.js';
import { isCatalogueType, type Catalogue } from '../catalogue/catalogue.js';
import { endpointOf, type Protocol } from './protocols.js';
import type { ListedKey } from '../publisher/index.js';

export interface HttpComponents {
  readonly catalogue: Catalogue;
  /** The publisher keys that sign the catalogue, the current one first. */
  readonly publisher: { readonly keys: readonly ListedKey[] };
  readonly log: (text: string, details?: Record<string, unknown>) => void;
}

export interface HttpInit {
  readonly domain: string;
  /** The protocols of the message node. If `own` is empty, the domain's default stub is that of the first. */
  readonly protocols: readonly Protocol[];
  /** URLs of the message node over protocols added by the server's owner. They precede `protocols`. */
  readonly own: Readonly<Record<string, string>>;
  /** Returns the URL at which clients reach the server. It never depends on a request: documents are signed and cached. */
  readonly publicUrl: () => string;
  readonly iceServers: readonly string[];
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Record<string, string>;
  /** True if the answer never changes. */
  readonly immutable?: boolean;
}

const MAX_TARGET = 2048;

const failure = (status: number, error: string, description: string, headers: Record<string, string> = {}): Answer => ({ status, body: { error, description }, headers });
const notFound = (description: string): Answer => failure(404, 'E_NOT_FOUND', description);

/** Answers plain HTTP requests: health, domain information, and the catalogue. */
export const httpListener = ({ catalogue, publisher, log }: HttpComponents, init: HttpInit): RequestListener => {
  const endpoints = (): Readonly<Record<string, string>> =>
    ({ ...init.own, ...Object.fromEntries(init.protocols.map((protocol) => [protocol, endpointOf(protocol, init.publicUrl())])) });

  const info = (): DomainInfo => ({
    domain: init.domain,
    messageNode: { ...endpoints() },
    ...keysOf(publisher.keys),
    ...(init.iceServers.length === 0 ? {} : { iceServers: [...init.iceServers] }),
  });

  const entry = async (type: CatalogueType, name: string, [part, hash, ...more]: string[]): Promise<Answer> => {
    if ((part !== undefined && part !== 'sourcePackage') || more.length > 0) return notFound('the catalogue has nothing there');
    const found = part === undefined ? await catalogue.descriptor(type, name, Object.values(endpoints())[0] ?? '') : await catalogue.source(type, name, hash);
    if (found === undefined) return notFound(hash === undefined ? 'the catalogue has no such entry' : 'the catalogue has no such version');
    return { status: 200, body: found, immutable: hash !== undefined };
  };

  const wellKnown = (segments: string[]): Answer | Promise<Answer> => {
    const [type = '', name, ...rest] = segments;
    if (type === 'protofly' && name === undefined) return { status: 200, body: info() };
    if (!isCatalogueType(type)) return notFound('the catalogue has no such type');
    return name === undefined ? { status: 200, body: catalogue.names(type) } : entry(type, name, rest);
  };

  const answerTo = (request: IncomingMessage): Answer | Promise<Answer> => {
    const { method = '', url = '/' } = request;
    if (url.length > MAX_TARGET) return failure(414, 'E_TOO_LARGE', 'the address is too long');
    const [path = '/'] = url.split('?', 1);
    const segments = path.split('/').slice(1);
    if (segments.at(-1) === '') segments.pop();
    if (method !== 'GET' && method !== 'HEAD') return failure(405, 'E_USAGE', 'only GET and HEAD', { allow: 'GET, HEAD' });
    const [first, ...rest] = segments;
    if (first === 'healthz' && rest.length === 0) return { status: 200, body: { status: 'ok', domain: init.domain } };
    if (first === '.well-known' && rest.length > 0) return wellKnown(rest);
    if ((first === undefined || first === 'ws') && rest.length === 0 && init.protocols.includes('websocket')) {
      return failure(426, 'E_USAGE', 'messages travel over WebSocket', { upgrade: 'websocket' });
    }
    return notFound('there is nothing here');
  };

  const answered = async (request: IncomingMessage): Promise<Answer> => {
    try {
      return await answerTo(request);
    } catch (thrown) {
      log('answering a request failed', { url: request.url, error: asProtoflyError(thrown) });
      return failure(500, 'E_INTERNAL', 'the domain server failed');
    }
  };

  return (request, response) => {
    // Bodies are ignored, but must be read so that the connection can be reused.
    request.resume();
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    answered(request).then((answer) => { write(request, response, answer); }).catch((thrown: unknown) => {
      log('writing an answer failed', { url: request.url, error: asProtoflyError(thrown) });
      response.destroy();
    });
  };
};

const keysOf = (keys: readonly ListedKey[]): Pick<DomainInfo, 'publisherKey' | 'publisherKeys'> =>
  (keys[0] === undefined ? {} : { publisherKey: keys[0].key, publisherKeys: keys.map((listed) => ({ ...listed })) });

/**
 * Answers with headers that let pages of any origin read. Documents are public and the same for everybody, and their
 * readers check signatures.
 */
const write = (request: IncomingMessage, response: ServerResponse, { status, body, headers = {}, immutable = false }: Answer): void => {
  const bytes = Buffer.from(JSON.stringify(body));
  const etag = `"${createHash('sha256').update(bytes).digest('base64url')}"`;
  const cache = { etag, 'cache-control': immutable ? 'public, max-age=31536000, immutable' : 'no-cache' };
  const common = { 'access-control-allow-origin': '*', 'x-content-type-options': 'nosniff', ...headers };
  if (status === 200 && matches(request.headers['if-none-match'], etag)) {
    response.writeHead(304, { ...common, ...cache }).end();
    return;
  }
  response.writeHead(status, {
    ...common,
    'content-type': 'application/json; charset=utf-8',
    'content-length': bytes.length,
    ...(status === 200 ? cache : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : bytes);
};

const matches = (header: string | undefined, etag: string): boolean =>
  header !== undefined && header.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag);
