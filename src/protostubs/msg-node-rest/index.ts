/**
 * The message-node stub for REST over HTTP. Keeps one session with a message node, posts messages in batches,
 * and receives them over an event stream. It uses long polling if an intermediary holds the stream back. It
 * connects at the first message, and again whenever the node stops answering. It doesn't interpret messages.
 */
import { ProtoflyError, systemClock, type Activate, type StubSandbox } from '../../protocol/index.js';
import { MessageNodeStub } from '../msg-node/index.js';
import type { Receive } from './receiver.js';
import { RestTransport } from './transport.js';

const receiveOf = (setting: unknown): Receive | undefined => {
  if (setting === undefined || setting === 'stream' || setting === 'poll') return setting;
  throw new ProtoflyError('E_USAGE', "receive is 'stream' or 'poll'");
};

const activate: Activate = (url, bus, config, sandbox: Partial<StubSandbox> = {}) => {
  const { clock = systemClock, log = () => undefined } = sandbox;
  const fetch = sandbox.fetch ?? (globalThis as Partial<Pick<typeof globalThis, 'fetch'>>).fetch;
  if (fetch === undefined) throw new ProtoflyError('E_PLATFORM', 'the message-node stub needs fetch, which this sandbox does not grant');
  if (config.url === undefined) throw new ProtoflyError('E_USAGE', 'the message-node stub needs the url of its message node');
  const transport = new RestTransport({ clock, log, fetch }, { url: config.url, receive: receiveOf(config['receive']) });
  return { name: 'msg-node-rest', instance: new MessageNodeStub({ bus, clock, log, transport }, { ...config, address: url, url: config.url }) };
};

export default activate;
