/**
 * The message-node stub for JSON over WebSocket: keeps one session with a message node and carries messages to and from
 * it. It connects when the first message comes, and again whenever the connection drops. It knows nothing of what the
 * messages mean.
 */
import { ProtoflyError, type Activate, type WebSocketLike } from '../../protocol/index.js';
import { MessageNodeStub } from './stub.js';

const activate: Activate = (url, bus, config, { WebSocket: granted, clock, log }) => {
  const WebSocket = granted ?? (globalThis as { readonly WebSocket?: typeof WebSocketLike }).WebSocket;
  if (WebSocket === undefined) throw new ProtoflyError('E_PLATFORM', 'the message-node stub needs WebSocket, which this sandbox does not grant');
  if (config.url === undefined) throw new ProtoflyError('E_USAGE', 'the message-node stub needs the url of its message node');
  return { name: 'msg-node-websocket', instance: new MessageNodeStub({ bus, clock, log, WebSocket }, { ...config, address: url, url: config.url }) };
};

export default activate;
