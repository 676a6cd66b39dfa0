import { ProtoflyError } from '../../../protocol/index.js';
import type { StubContext } from '../../contract/stub.js';
import { lookupOf, permitted } from './servers.js';

const MAX_REDIRECTS = 10;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Creates the request that follows a redirect, by the rules of the web standard. */
const redirected = (request: Request, status: number, to: URL, body: ArrayBuffer | undefined): Request => {
  const asGet = (status === 303 && request.method !== 'HEAD') || ((status === 301 || status === 302) && request.method === 'POST');
  const headers = new Headers(request.headers);
  if (asGet) for (const name of ['content-type', 'content-length', 'content-encoding', 'content-language', 'content-location']) headers.delete(name);
  if (new URL(request.url).origin !== to.origin) for (const name of ['authorization', 'cookie', 'proxy-authorization']) headers.delete(name);
  return new Request(to, {
    method: asGet ? 'GET' : request.method, headers, signal: request.signal, redirect: 'manual',
    ...(asGet || body === undefined ? {} : { body }),
  });
};

/**
 * The web standard's `fetch` for one stub, limited to its permitted servers, also after redirects. Rejects with
 * ProtoflyError `E_REFUSED` for any other server.
 */
export const confinedFetch = (stub: StubContext): typeof globalThis.fetch => {
  let checking: Promise<typeof globalThis.fetch> | undefined;
  const send = async (request: Request): Promise<Response> => {
    if (stub.publicOnly !== true) return fetch(request);
    checking ??= import('../../../link/web/client.js').then(({ fetchWith }) => fetchWith(lookupOf(stub), { keepsOpen: true }));
    const { url, method, headers, body, signal } = request;
    return (await checking)(url, { method, headers: [...headers], signal, ...(body === null ? {} : { body, duplex: 'half' }) } as RequestInit);
  };
  return async (input, init) => {
    const asked = new Request(input, init);
    permitted(asked.url, ['http:', 'https:'], stub);
    const follow = asked.redirect === 'follow';
    const body = follow && asked.body !== null ? await asked.clone().arrayBuffer() : undefined;
    let request = new Request(asked, { redirect: 'manual' });
    for (let left = MAX_REDIRECTS; ; left--) {
      const response = await send(request);
      const location = response.headers.get('location');
      if (!REDIRECTS.has(response.status) || location === null || asked.redirect === 'manual') return response;
      await response.body?.cancel();
      if (!follow || left === 0) throw new ProtoflyError('E_REFUSED', follow ? 'redirected too often' : 'the server redirects');
      const to = permitted(URL.canParse(location, request.url) ? new URL(location, request.url) : location, ['http:', 'https:'], stub);
      request = redirected(request, response.status, to, body);
    }
  };
};
