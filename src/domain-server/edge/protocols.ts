import { ProtoflyError } from '../../protocol/index.js';

/** The protocols that a message node speaks: JSON over WebSocket, and REST over HTTP. */
export const PROTOCOLS = ['websocket', 'rest'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/**
 * Checks the chosen protocols. The list may be empty if `own` isn't.
 * @param own names of protocols added by the server's owner
 * @throws ProtoflyError `E_USAGE` for an unknown, repeated or missing protocol
 */
export const checkProtocols = (given: readonly string[], own: readonly string[] = []): readonly Protocol[] => {
  const known: readonly string[] = PROTOCOLS;
  const unknown = given.find((name) => !known.includes(name));
  const choice = `choose from ${PROTOCOLS.join(', ')}`;
  if (unknown !== undefined) throw new ProtoflyError('E_USAGE', `no message node speaks ${JSON.stringify(unknown)}`, { hint: choice });
  if (given.length + own.length === 0) throw new ProtoflyError('E_USAGE', 'a message node speaks at least one protocol', { hint: choice });
  const all = [...own, ...given];
  if (new Set(all).size < all.length) throw new ProtoflyError('E_USAGE', `a protocol is listed twice: ${all.join(', ')}`);
  return [...given] as Protocol[];
};

/** Returns the URL of a message node. @param base the server's URL, without a trailing slash */
export const endpointOf = (protocol: Protocol, base: string): string =>
  protocol === 'websocket' ? `${base.replace(/^http/, 'ws')}/ws` : `${base}/rest`;

/** Returns the name of the protostub for a protocol. */
export const stubOf = (protocol: Protocol): string => `msg-node-${protocol}`;
