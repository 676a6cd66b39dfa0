import { createHash } from 'node:crypto';
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import { asProtoflyError } from '../protocol/index.js';
import type { DomainInfo, PublicKey } from '../protocol/descriptor.js';
import { isCatalogueType, type Catalogue } from './catalogue/catalogue.js';
import { endpointOf, type Protocol } from './protocols.js';

export interface HttpComponents {
  readonly catalogue: Catalogue;
  readonly log: (text: string, details?: Record<string, unknown>) => void;
}

export interface HttpInit {
  readonly domain: string;
  /** The first one is that of the domain's own stub. */
  readonly protocols: readonly Protocol[];
  readonly secure: boolean;
  /** `host:port` where the server can be reached, when a request doesn't say. */
  readonly authority: () => string;
  readonly iceServers: readonly string[];
  readonly publisherKey?: PublicKey;
}

interface Answer {
  readonly status: number;
  readonly body: unknown;
  readonly headers?: Record<string, string>;
}

const MAX_TARGET = 2048;
const HOST = /^[A-Za-z0-9.-]{1,253}(?::\d{1,5})?$|^\[[0-9A-Fa-f:.]{2,45}\](?::\d{1,5})?$/;

const failure = (status: number, error: string, description: string, headers: Record<string, string> = {}): Answer => ({ status, body: { error, description }, headers });
const notFound = (description: string): Answer => failure(404, 'E_NOT_FOUND', description);

/** Answers plain HTTP requests: whether the server is well, what the domain is, and its catalogue. */
export const httpListener = ({ catalogue, log }: HttpComponents, init: HttpInit): RequestListener => {
  /** Where the message node is, as this client reaches it. */
  const endpoint = (request: IncomingMessage, protocol: Protocol): string => {
    const { host } = request.headers;
    return endpointOf(protocol, init.secure, host !== undefined && HOST.test(host) ? host : init.authority());
  };

  const info = (request: IncomingMessage): DomainInfo => ({
    domain: init.domain,
    messageNode: Object.fromEntries(init.protocols.map((protocol) => [protocol, endpoint(request, protocol)])),
    ...(init.publisherKey === undefined ? {} : { publisherKey: init.publisherKey }),
    ...(init.iceServers.length === 0 ? {} : { iceServers: [...init.iceServers] }),
  });

  const wellKnown = (request: IncomingMessage, segments: string[]): Answer => {
    const [type = '', name, part, ...more] = segments;
    if (type === 'protofly' && name === undefined) return { status: 200, body: info(request) };
    if (!isCatalogueType(type)) return notFound('the catalogue has no such type');
    if (name === undefined) return { status: 200, body: catalogue.names(type) };
    if (part !== undefined && (part !== 'sourcePackage' || more.length > 0)) return notFound('the catalogue has nothing there');
    const found = part === undefined ? catalogue.descriptor(type, name, endpoint(request, init.protocols[0]!)) : catalogue.source(type, name);
    return found === undefined ? notFound('the catalogue has no such entry') : { status: 200, body: found };
  };

  const answerTo = (request: IncomingMessage): Answer => {
    const { method = '', url = '/' } = request;
    if (url.length > MAX_TARGET) return failure(414, 'E_TOO_LARGE', 'the address is too long');
    const [path = '/'] = url.split('?', 1);
    const segments = path.split('/').slice(1);
    if (segments.at(-1) === '') segments.pop();
    if (method !== 'GET' && method !== 'HEAD') return failure(405, 'E_USAGE', 'only GET and HEAD', { allow: 'GET, HEAD' });
    const [first, ...rest] = segments;
    if (first === 'healthz' && rest.length === 0) return { status: 200, body: { status: 'ok', domain: init.domain } };
    if (first === '.well-known' && rest.length > 0) return wellKnown(request, rest);
    if ((first === undefined || first === 'ws') && rest.length === 0 && init.protocols.includes('websocket')) {
      return failure(426, 'E_USAGE', 'messages travel over WebSocket', { upgrade: 'websocket' });
    }
    return notFound('there is nothing here');
  };

  return (request, response) => {
    // Bodies aren't wanted: what comes is read and thrown away, so that the connection can be used again.
    request.resume();
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    let answer: Answer;
    try {
      answer = answerTo(request);
    } catch (thrown) {
      log('answering a request failed', { url: request.url, error: asProtoflyError(thrown) });
      answer = failure(500, 'E_INTERNAL', 'the domain server failed');
    }
    write(request, response, answer);
  };
};

const write = (request: IncomingMessage, response: ServerResponse, { status, body, headers = {} }: Answer): void => {
  const bytes = Buffer.from(JSON.stringify(body));
  const etag = `"${createHash('sha256').update(bytes).digest('base64url')}"`;
  const common = { 'access-control-allow-origin': '*', 'x-content-type-options': 'nosniff', ...headers };
  if (status === 200 && matches(request.headers['if-none-match'], etag)) {
    response.writeHead(304, { ...common, etag, 'cache-control': 'no-cache' }).end();
    return;
  }
  response.writeHead(status, {
    ...common,
    'content-type': 'application/json; charset=utf-8',
    'content-length': bytes.length,
    ...(status === 200 ? { etag, 'cache-control': 'no-cache' } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : bytes);
};

const matches = (header: string | undefined, etag: string): boolean =>
  header !== undefined && header.split(',').some((tag) => tag.trim() === '*' || tag.trim().replace(/^W\//, '') === etag);
