import { ICE_RESOURCE, isResponse, isWithin, parseIceServers, type Address, type IceServer, type Message } from '../../protocol/index.js';

/** Returns the servers in the runtime's `update` for its stubs; undefined for any other message, or another sender. */
export const iceServersIn = (message: Message, runtime: Address): IceServer[] | undefined => {
  if (isResponse(message) || message.type !== 'update' || message.body?.resource !== ICE_RESOURCE || !isWithin(message.from, runtime)) return undefined;
  return parseIceServers((message.body.value as { readonly iceServers?: unknown } | undefined)?.iceServers);
};
