import { ProtoflyError } from './errors.js';

/** URLs of web servers, and reasons for requests that got no answer. */

/** Returns a URL for display, without its user name and password. */
export const shownUrl = (text: string): string => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.host !== undefined && url.host !== '' && url.username === '' && url.password === '') return text;
  return text.replace(/^([a-z][a-z0-9+.-]*:(?:\/\/)?)?.*@/is, '$1…@');
};

/** Removes user names and passwords from all URLs in a text. */
export const hideCredentials = (text: string): string => text
  .replace(/([a-z][a-z0-9+.-]*:\/\/)[^\s/"'`]*@/gi, '$1…@')
  // Without a scheme, as in an argument that a command doesn't take.
  .replace(/(^|[\s"'`])[^\s"'`:@/]+:[^\s"'`@/]+@/g, '$1…@');

/**
 * Checks the URL of a domain's web server.
 * @returns the normalised URL, without a trailing slash
 * @throws ProtoflyError `E_USAGE` for an invalid URL, and for one with a user name or password
 */
export const domainUrlOf = (text: string): string => {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw new ProtoflyError('E_USAGE', `not the URL of a domain: ${JSON.stringify(shownUrl(text).slice(0, 100))}`, { hint: 'it looks like https://example.com or http://localhost:9090' });
  }
  if (url.username === '' && url.password === '') return url.href.replace(/\/+$/, '');
  throw new ProtoflyError('E_USAGE', `the URL of a domain can't hold a user name or password: ${shownUrl(text).slice(0, 100)}`, { hint: 'a domain server asks for none: leave out what is before the "@"' });
};

/**
 * Checks the public URL of a domain server, which documents name and clients append paths to.
 * @returns the normalised URL, without a trailing slash
 * @throws ProtoflyError `E_USAGE`
 */
export const publicUrlOf = (text: string): string => {
  const url = domainUrlOf(text);
  if (!/[?#]/.test(url)) return url;
  throw new ProtoflyError('E_USAGE', `a public URL has no query and no fragment: ${url.slice(0, 100)}`, { hint: 'it looks like https://example.com or https://example.com/path' });
};

export interface WebFailure {
  /** Why there was no answer. */
  readonly reason: string;
  /** The next step for the user. */
  readonly hint: string;
}

const CERTIFICATE = 'if it is of a certificate authority of your own: protofly runtime start --ca FILE';
const NO_TLS = 'is it http:// instead of https://?';
const NO_HTTP = 'is it https:// instead of http://, and the port right?';
const NETWORK = 'is this machine connected, and the name right?';
const RUNNING = 'is it running? (protofly domain start)';
const ANYTHING = 'is it running, and its URL right?';

/** Failures by the error codes of Node, its TLS and its HTTP client. */
const FAILURES: Readonly<Record<string, WebFailure>> = {
  ECONNREFUSED: { reason: 'the connection was refused', hint: RUNNING },
  ECONNRESET: { reason: 'the connection was reset', hint: NO_HTTP },
  ENOTFOUND: { reason: 'nobody knows that name', hint: NETWORK },
  EAI_AGAIN: { reason: 'names can\'t be looked up now', hint: NETWORK },
  EHOSTUNREACH: { reason: 'there is no way to that machine', hint: NETWORK },
  ENETUNREACH: { reason: 'there is no way to that network', hint: NETWORK },
  ETIMEDOUT: { reason: 'it took too long', hint: NETWORK },
  UND_ERR_CONNECT_TIMEOUT: { reason: 'it took too long', hint: NETWORK },
  UND_ERR_HEADERS_TIMEOUT: { reason: 'it took too long', hint: ANYTHING },
  UND_ERR_SOCKET: { reason: 'the connection was closed without an answer', hint: NO_HTTP },
  EPROTO: { reason: 'it doesn\'t speak TLS', hint: NO_TLS },
  ERR_SSL_WRONG_VERSION_NUMBER: { reason: 'it doesn\'t speak TLS', hint: NO_TLS },
  ERR_SSL_PACKET_LENGTH_TOO_LONG: { reason: 'it doesn\'t speak TLS', hint: NO_TLS },
};

/** Error codes of refused certificates: OpenSSL's reasons, and a mismatch of the host name. */
const OF_CERTIFICATES = /^(?:CERT_|CRL_|ERR_TLS_CERT|DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT|UNABLE_TO_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_EXCEEDED|HOSTNAME_MISMATCH|ERR_SSL_TLSV1_ALERT|ERR_SSL_SSLV3_ALERT)/;

interface Cause {
  readonly name?: unknown;
  readonly code?: unknown;
  readonly message?: unknown;
  readonly cause?: unknown;
}

/** Maximum number of nested causes that are followed. */
const MOST_CAUSES = 10;

/** Returns the innermost cause of a thrown value. */
const causeOf = (thrown: unknown): Cause => {
  let found: Cause = {};
  let next = thrown;
  for (let depth = 0; depth < MOST_CAUSES && typeof next === 'object' && next !== null; depth++) {
    found = next as Cause;
    next = found.cause;
  }
  return found;
};

/** Explains why a request got no answer, from the innermost cause of the error that `fetch` threw. */
export const webFailure = (thrown: unknown): WebFailure => {
  const { name, code, message } = causeOf(thrown);
  if (name === 'TimeoutError') return { reason: 'it took too long', hint: NETWORK };
  const words = typeof message === 'string' && message !== '' ? message : 'no reason given';
  if (typeof code !== 'string') return { reason: words, hint: ANYTHING };
  if (OF_CERTIFICATES.test(code)) return { reason: `its certificate isn't accepted: ${words} (${code})`, hint: CERTIFICATE };
  if (code.startsWith('HPE_')) return { reason: 'it doesn\'t speak HTTP', hint: NO_HTTP };
  return Object.hasOwn(FAILURES, code) ? FAILURES[code]! : { reason: words, hint: ANYTHING };
};

/** Creates the error for a URL at which no domain server answers. @param thrown the error that `fetch` threw */
export const noDomainAt = (url: string, thrown: unknown): ProtoflyError => {
  const { reason, hint } = webFailure(thrown);
  return new ProtoflyError('E_UNREACHABLE', `no domain server answers at ${shownUrl(url)}: ${reason}`, { cause: thrown, hint });
};

/** Creates the error for a URL at which something other than a domain server answers. */
export const notDomainAt = (url: string, why: string, cause?: unknown): ProtoflyError =>
  new ProtoflyError('E_DESCRIPTOR', `${shownUrl(url)} is not a domain server's: ${why}`, { hint: 'is that the URL of the domain server itself, and not of something in front of it?', ...(cause === undefined ? {} : { cause }) });

/** Checks the head of a domain server's answer. Returns the error, or undefined if the body may hold the requested data. */
export const objectionTo = ({ status, headers }: { readonly status: number; readonly headers: { get(name: string): string | null } }, url: string): ProtoflyError | undefined => {
  if (status >= 500) return new ProtoflyError('E_UNREACHABLE', `the domain server at ${shownUrl(url)} answered ${String(status)}`, { hint: 'see its log, and that of what is in front of it' });
  if (status >= 300 && status < 400) {
    const to = headers.get('location');
    return new ProtoflyError('E_UNREACHABLE', `${shownUrl(url)} answered ${String(status)}${to === null ? '' : ` and sends to ${shownUrl(to).slice(0, 200)}`}`, { hint: 'that isn\'t followed: if the domain is there, give that URL' });
  }
  const isPage = /^text\/html\b/i.test(headers.get('content-type') ?? '');
  return status === 200 && !isPage ? undefined : notDomainAt(url, `it answered ${String(status)}${isPage ? ' with a web page' : ''}`);
};
