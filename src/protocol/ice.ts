import { ProtoflyError } from './errors.js';
import { shownUrl } from './web.js';

/**
 * A STUN or TURN server as the web standard writes it, or its bare URL. `iceEndpoints` selects the usable ones;
 * `checkIceUrl` checks a URL that a person configures.
 */
export type IceServer = string | {
  readonly urls: string | readonly string[];
  readonly username?: string;
  readonly credential?: string;
};

/** `relay`: connections use TURN servers only. */
export const ICE_POLICIES = ['all', 'relay'] as const;
export type IceTransportPolicy = (typeof ICE_POLICIES)[number];

/** One server, reached over UDP. */
export interface IceEndpoint {
  readonly kind: 'stun' | 'turn';
  readonly host: string;
  readonly port: number;
  readonly username?: string;
  readonly credential?: string;
}

const DEFAULT_PORT = 3478;
const MAX_URL = 512;
/** Maximum number of servers used from a list: each costs packets at every set-up. */
export const MAX_ICE_SERVERS = 20;

const URL_SHAPE = /^(stuns?|turns?):(?:([^@?\s]+)@)?(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?(?:\?([^\s]*))?$/i;

interface ParsedUrl {
  readonly scheme: string;
  readonly userInfo: string | undefined;
  readonly host: string;
  readonly port: number;
  readonly query: string | undefined;
}

const parseUrl = (text: string): ParsedUrl | undefined => {
  const match = text.length > MAX_URL ? null : URL_SHAPE.exec(text);
  const [, scheme = '', userInfo, v6, name, port] = match ?? [];
  const host = v6 ?? name;
  const number = port === undefined ? DEFAULT_PORT : Number(port);
  if (match === null || host === undefined || number < 1 || number > 65_535) return undefined;
  return { scheme: scheme.toLowerCase(), userInfo, host, port: number, query: match[6] };
};

const isUdp = (query: string | undefined): boolean => query === undefined || query === '' || query.toLowerCase() === 'transport=udp';

const unfit = (text: string, why: string, hint?: string): ProtoflyError =>
  new ProtoflyError('E_USAGE', `${JSON.stringify(text.slice(0, 100))} ${why}`, hint === undefined ? {} : { hint });

/**
 * Checks a configured URL, so that an unusable one is refused now and not at a set-up. It must hold no
 * credentials.
 * @throws ProtoflyError `E_USAGE`
 */
export const checkIceUrl = (text: string): IceEndpoint => {
  const url = parseUrl(text);
  if (url === undefined) throw unfit(shownUrl(text), 'is no STUN or TURN server', 'it looks like stun:stun.example.com:3478 or turn:turn.example.com:3478');
  const { scheme, userInfo, host, port, query } = url;
  const shown = `${scheme}:${host.includes(':') ? `[${host}]` : host}:${String(port)}${query === undefined ? '' : `?${query}`}`;
  if (userInfo !== undefined) throw unfit(shown, 'is written with credentials, which don\'t belong on a command line', 'domain start takes --turn-secret-file, a profile the setting turnCredentials');
  if (scheme === 'stuns' || scheme === 'turns') throw unfit(shown, `can't be used: connections are made over UDP, ${scheme}: is TLS`, `use ${scheme.slice(0, 4)}:`);
  if (!isUdp(query)) throw unfit(shown, 'can\'t be used: servers are reached over UDP alone', 'leave out what follows the "?"');
  return { kind: scheme === 'turn' ? 'turn' : 'stun', host, port };
};

/** Returns the servers that a set-up can use, and drops invalid ones. Accepts `turn:user:password@host`. */
export const iceEndpoints = (servers: readonly IceServer[]): IceEndpoint[] => {
  const endpoints = servers.flatMap((server): IceEndpoint[] => {
    const { urls, username, credential } = typeof server === 'string' ? { urls: server } as Exclude<IceServer, string> : server;
    return (typeof urls === 'string' ? [urls] : urls).flatMap((text): IceEndpoint[] => {
      const url = typeof text === 'string' ? parseUrl(text) : undefined;
      if (url === undefined || !isUdp(url.query)) return [];
      const { scheme, host, port, userInfo } = url;
      if (scheme === 'stun') return [{ kind: 'stun', host, port }];
      const [user = username, password = credential] = userInfo === undefined ? [] : [userInfo.split(':', 1)[0], userInfo.slice(userInfo.indexOf(':') + 1)];
      return scheme === 'turn' && user !== undefined && password !== undefined ? [{ kind: 'turn', host, port, username: user, credential: password }] : [];
    });
  });
  return endpoints.slice(0, MAX_ICE_SERVERS);
};

const isText = (value: unknown, most: number): value is string => typeof value === 'string' && value.length <= most;

/** Returns the well-formed entries of a received list of servers. */
export const parseIceServers = (value: unknown): IceServer[] => {
  if (!Array.isArray(value)) return [];
  return value.slice(0, MAX_ICE_SERVERS).flatMap((item: unknown): IceServer[] => {
    if (isText(item, MAX_URL)) return [item];
    if (typeof item !== 'object' || item === null) return [];
    const { urls, username, credential } = item as Readonly<Record<string, unknown>>;
    const list = Array.isArray(urls) ? urls.slice(0, MAX_ICE_SERVERS) : [urls];
    if (!list.every((url) => isText(url, MAX_URL))) return [];
    return [{ urls: list, ...(isText(username, 512) ? { username } : {}), ...(isText(credential, 512) ? { credential } : {}) }];
  });
};

/** The `body.resource` of an `update` with which a runtime gives its P2P stubs new servers or credentials. */
export const ICE_RESOURCE = '/ice';
