import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { ProtoflyError } from '../../protocol/index.js';

export interface WebAccessInit {
  /** Host names of the server, besides `localhost` and all IP addresses. */
  readonly names: readonly string[];
  /** Origins whose pages may open sessions, or `*` for all of them. The server's own needn't be listed. */
  readonly origins: readonly string[];
  /** Returns the server's own origins. */
  readonly own: () => readonly string[];
}

export interface WebRefusal {
  readonly status: 403 | 421;
  readonly error: ProtoflyError;
}

const HOST = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::\d{1,5})?$/;
const ANY = '*';

/** @throws ProtoflyError `E_USAGE` */
const checkOrigin = (text: string): string => {
  if (text === ANY) return text;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.origin !== undefined && url.origin !== 'null' && url.href === `${url.origin}/`) return url.origin;
  throw new ProtoflyError('E_USAGE', `not the origin of a web page: ${JSON.stringify(text.slice(0, 100))}`, { hint: 'it looks like https://app.example.com or http://localhost:3000; * means every page' });
};

/**
 * Decides which web pages may use a server. A browser lets any page open WebSockets and send requests, also to servers
 * that only its user's machine reaches. Programs send no `Origin`, and are not concerned.
 */
export class WebAccess {
  readonly #names: ReadonlySet<string>;
  readonly #origins: ReadonlySet<string>;
  readonly #own: () => readonly string[];
  readonly #refused = { host: 0, origin: 0 };

  /** @throws ProtoflyError `E_USAGE` for an invalid origin */
  constructor({ names, origins, own }: WebAccessInit) {
    this.#names = new Set(['localhost', ...names.map((name) => name.toLowerCase())]);
    this.#origins = new Set(origins.map(checkOrigin));
    this.#own = own;
  }

  /** The number of refused requests since the start, by what was wrong with them. */
  get refused(): { readonly host: number; readonly origin: number } {
    return { ...this.#refused };
  }

  /**
   * Refuses a request for another host: a page whose name was made to point here (DNS rebinding).
   * @returns the refusal, if any
   */
  checkHost({ headers: { host } }: IncomingMessage): WebRefusal | undefined {
    if (host === undefined) return undefined;
    const [, address, name = ''] = HOST.exec(host) ?? [];
    if (isIP(address ?? name) !== 0 || this.#names.has(name.toLowerCase().replace(/\.$/, ''))) return undefined;
    this.#refused.host += 1;
    return { status: 421, error: new ProtoflyError('E_REFUSED', `this server isn't ${JSON.stringify(host.slice(0, 100))}`, { hint: 'its operator names its host with domain start --public-url URL' }) };
  }

  /** Refuses a request of a page that may not open sessions. @returns the refusal, if any */
  checkOrigin({ headers: { origin } }: IncomingMessage): WebRefusal | undefined {
    if (origin === undefined || this.#allows(origin)) return undefined;
    this.#refused.origin += 1;
    return { status: 403, error: new ProtoflyError('E_REFUSED', `pages of ${JSON.stringify(origin.slice(0, 100))} may not open sessions here`, { hint: 'its operator allows a site with domain start --allow-origin ORIGIN' }) };
  }

  /** Returns the headers that let an allowed page read the answer. */
  headers({ headers: { origin } }: IncomingMessage): Readonly<Record<string, string>> {
    return origin === undefined || !this.#allows(origin) ? {} : { 'access-control-allow-origin': origin, vary: 'origin' };
  }

  #allows(origin: string): boolean {
    return this.#origins.has(ANY) || this.#origins.has(origin) || this.#own().includes(origin);
  }
}

/** Answers a refused request. */
export const refuseRequest = (request: IncomingMessage, response: ServerResponse, { status, error: { code, message, hint } }: WebRefusal): void => {
  request.on('error', () => undefined).resume();
  response.on('error', () => undefined);
  const body = JSON.stringify({ error: code, description: message, hint });
  response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store', connection: 'close' }).end(body);
};
