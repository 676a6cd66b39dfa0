import type { Link } from '../link/link.js';
import { listenSocket, type SocketServer } from '../link/socket/index.js';
import {
  asProtoflyError, child, isResponse, ProtoflyError, recipientsOf, refuse, respond, SESSION,
  type Address, type Message, type Request, type Response,
} from '../protocol/index.js';

export interface AdminComponents {
  readonly status: () => Record<string, unknown>;
  readonly stop: () => void;
  readonly log: (text: string, details?: Record<string, unknown>) => void;
}

export interface AdminInit {
  readonly domain: string;
  /** Path of the unix socket. */
  readonly path: string;
}

/** The function of the domain server's local socket. @see docs/control.md, "The domain server's socket" */
export const adminAddress = (domain: string): Address => `domain://msg-node.${domain}/admin` as Address;

/**
 * Listens on a local socket for whoever runs this server.
 * @throws ProtoflyError `E_CONFLICT` when another server has that socket
 */
export const serveAdmin = async ({ status, stop, log }: AdminComponents, { domain, path }: AdminInit): Promise<SocketServer> => {
  const address = adminAddress(domain);

  const run = (request: Request): Response => {
    const { resource } = request.body ?? {};
    if (recipientsOf(request)[0] !== address) throw new ProtoflyError('E_NOT_FOUND', `there is no ${String(request.to)} here`);
    if (request.type === 'ping') return respond(request, 200);
    if (request.type === 'read' && resource === 'status') return respond(request, 200, { value: status() });
    if (request.type === 'execute' && resource === 'stop') {
      log('asked to stop');
      return respond(request, 200);
    }
    throw new ProtoflyError('E_MESSAGE', `there is no ${request.type} of ${JSON.stringify(resource ?? null)}`);
  };

  const serve = (link: Link<Message>, number: number): void => {
    let open = false;
    const answer = (request: Request): Response => {
      if (request.to === SESSION && request.type === 'open') {
        open = true;
        return respond(request, 200, { value: { domain, address: child(address, String(number)) } });
      }
      if (!open) throw new ProtoflyError('E_UNAUTHENTICATED', 'open a session first');
      if (request.to === SESSION && request.type === 'close') return respond(request, 200);
      return run(request);
    };
    link.receive(async (message) => {
      if (isResponse(message)) return;
      const response = attempt(() => answer(message), message);
      await link.send(response);
      if (response.body.code !== 200) return;
      if (message.type === 'close') void link.close('closed by the client');
      if (message.type === 'execute') stop();
    });
  };

  let count = 0;
  return listenSocket(path, (link) => { serve(link, ++count); }, {
    name: 'admin',
    onReject: (error) => { log('a frame on the admin socket was refused', { error }); },
    onError: (error) => { log('the admin socket failed', { error }); },
  });
};

const attempt = (run: () => Response, request: Request): Response => {
  try {
    return run();
  } catch (thrown) {
    return refuse(request, asProtoflyError(thrown));
  }
};
