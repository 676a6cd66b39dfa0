import type { Link } from '../../link/link.js';
import { listenControl, type ControlServer } from '../../link/socket/index.js';
import {
  asProtoflyError, child, isResponse, ProtoflyError, recipientsOf, refuse, respond, SESSION,
  type Address, type Message, type Request, type Response,
} from '../../protocol/index.js';
import type { Catalogue } from '../catalogue/catalogue.js';
import { checkOverlap, OVERLAP_MS, type Publisher } from '../publisher/index.js';
import type { Membership } from './membership.js';

export interface AdminComponents {
  readonly catalogue: Pick<Catalogue, 'publish'>;
  readonly publisher: Pick<Publisher, 'keyId' | 'rotate'>;
  readonly membership: Membership;
  readonly status: () => Record<string, unknown>;
  readonly stop: () => void;
  readonly log: (text: string, details?: Record<string, unknown>) => void;
}

export interface AdminInit {
  readonly domain: string;
  /** Path of the unix socket. */
  readonly path: string;
}

/**
 * Returns the address of the admin function on the domain server's local socket.
 * @see docs/control.md, "The domain server's socket"
 */
const adminAddress = (domain: string): Address => `domain://msg-node.${domain}/admin` as Address;

/**
 * Listens on a local socket for the operator of this server.
 * @throws ProtoflyError `E_CONFLICT` if another server has that socket
 */
export const serveAdmin = async ({ catalogue, publisher, membership, status, stop, log }: AdminComponents, { domain, path }: AdminInit): Promise<ControlServer> => {
  const address = adminAddress(domain);

  const publish = async (descriptor: unknown): Promise<Record<string, unknown>> => {
    const { keyId } = publisher;
    const published = await catalogue.publish({ descriptor });
    log('published', { ...published });
    return { domain, ...published, keyId };
  };

  const rotate = async (value: unknown): Promise<Record<string, unknown>> => {
    const { overlapMs = OVERLAP_MS } = (value ?? {}) as { readonly overlapMs?: unknown };
    const rotated = await publisher.rotate(checkOverlap(overlapMs));
    log('a new publisher key signs', { ...rotated });
    return { domain, ...rotated };
  };

  const remove = async (value: unknown): Promise<Record<string, unknown>> => {
    const removed = await membership.remove(value);
    log('removed a user', { ...removed });
    return { domain, ...removed };
  };

  const run = async (request: Request): Promise<Response> => {
    const { resource, value } = request.body ?? {};
    if (recipientsOf(request)[0] !== address) throw new ProtoflyError('E_NOT_FOUND', `there is no ${String(request.to)} here`);
    if (request.type === 'ping') return respond(request, 200);
    if (request.type === 'read' && resource === 'status') return respond(request, 200, { value: status() });
    if (request.type === 'create' && resource === 'catalogue') return respond(request, 200, { value: await publish(value) });
    if (request.type === 'execute' && resource === 'rotate-key') return respond(request, 200, { value: await rotate(value) });
    if (request.type === 'create' && resource === 'invitation') return respond(request, 200, { value: await membership.invite(value) });
    if (request.type === 'read' && resource === 'members') return respond(request, 200, { value: membership.list() });
    if (request.type === 'delete' && resource === 'member') return respond(request, 200, { value: await remove(value) });
    if (isStop(request)) {
      log('asked to stop');
      return respond(request, 200);
    }
    throw new ProtoflyError('E_MESSAGE', `there is no ${request.type} of ${JSON.stringify(resource ?? null)}`);
  };

  const serve = (link: Link<Message>, number: number): void => {
    let open = false;
    const answer = async (request: Request): Promise<Response> => {
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
      const response = await attempt(() => answer(message), message);
      await link.send(response);
      if (response.body.code !== 200) return;
      if (message.type === 'close') void link.close('closed by the client');
      if (isStop(message)) stop();
    });
  };

  let count = 0;
  return listenControl(path, (link) => { serve(link, ++count); }, {
    name: 'admin',
    onRefuse: (error) => { log('a connection to the admin socket was refused', { error }); },
    onReject: (error) => { log('a frame on the admin socket was refused', { error }); },
    onError: (error) => { log('the admin socket failed', { error }); },
  });
};

const isStop = ({ type, body }: Request): boolean => type === 'execute' && body?.resource === 'stop';

const attempt = async (run: () => Promise<Response>, request: Request): Promise<Response> => {
  try {
    return await run();
  } catch (thrown) {
    return refuse(request, asProtoflyError(thrown));
  }
};
