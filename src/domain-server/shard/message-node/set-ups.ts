import { isAddress, isBatch, isOfP2pStub, isResponse, parseAddress, ProtoflyError, runtimeOf, type Address, type Message } from '../../../protocol/index.js';

/**
 * Vouches for an invitation to a P2P connection: adds the runtime of the session that sent it, whatever the sender wrote
 * there. Returns any other message unchanged.
 * @throws ProtoflyError `E_REFUSED` if the invitation is made in the name of another runtime, or in a batch
 */
export const vouched = (message: Message, to: Address, runtime: Address): Message => {
  if (isOfP2pStub(to) && isBatch(message)) throw new ProtoflyError('E_REFUSED', 'a P2P stub takes no batches');
  if (!isOfP2pStub(to) || isResponse(message) || message.type !== 'create') return message;
  const { source, value } = message.body ?? {};
  // A Connection object may leave it out.
  const { runtime: named = runtime } = (value ?? {}) as { readonly runtime?: unknown };
  if ((isAddress(source) && runtimeOf(parseAddress(source)) !== runtime) || (named !== '' && named !== runtime)) {
    throw new ProtoflyError('E_REFUSED', `only its own runtime sets up a connection for ${isAddress(source) ? source : String(named).slice(0, 200)}`);
  }
  return { ...message, body: { ...message.body, sender: runtime } };
};
