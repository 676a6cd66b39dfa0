import { ICE_RESOURCE, isResponse, isWithin, parseIceServers, type Address, type IceServer, type Message } from '../../protocol/index.js';

/** The servers that the runtime tells its stubs of, if that is what the message is. Nobody else's word counts. */
export const iceServersIn = (message: Message, runtime: Address): IceServer[] | undefined => {
  if (isResponse(message) || message.type !== 'update' || message.body?.resource !== ICE_RESOURCE || !isWithin(message.from, runtime)) return undefined;
  return parseIceServers((message.body.value as { readonly iceServers?: unknown } | undefined)?.iceServers);
};
