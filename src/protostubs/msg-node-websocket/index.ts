/**
 * The message-node stub for JSON over WebSocket: keeps one session with a message node and carries messages to and from
 * it. It connects when the first message comes, and again whenever the connection drops. It knows nothing of what the
 * messages mean.
 */
import { ProtoflyError, systemClock, type Activate, type StubSandbox, type WebSocketLike } from '../../protocol/index.js';
import { MessageNodeStub } from '../msg-node/index.js';
import { WebSocketTransport } from './connection.js';

const activate: Activate = (url, bus, config, sandbox: Partial<StubSandbox> = {}) => {
  const { clock = systemClock, log = () => undefined } = sandbox;
  const WebSocket = sandbox.WebSocket ?? (globalThis as { readonly WebSocket?: typeof WebSocketLike }).WebSocket;
  if (WebSocket === undefined) throw new ProtoflyError('E_PLATFORM', 'the message-node stub needs WebSocket, which this sandbox does not grant');
  if (config.url === undefined) throw new ProtoflyError('E_USAGE', 'the message-node stub needs the url of its message node');
  const transport = new WebSocketTransport({ clock, log, WebSocket }, { url: config.url });
  return { name: 'msg-node-websocket', instance: new MessageNodeStub({ bus, clock, log, transport }, { ...config, address: url, url: config.url }) };
};

export default activate;
