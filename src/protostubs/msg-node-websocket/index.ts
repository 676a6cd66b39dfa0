/**
 * The message-node stub for JSON over WebSocket. Keeps one session with a message node and carries messages to
 * and from it. It connects at the first message, and again whenever the connection drops. It doesn't interpret
 * messages.
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
