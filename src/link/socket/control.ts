import { systemClock, type Message } from '../../protocol/index.js';
import type { Link } from '../link.js';
import { SocketGuard, type GuardInit } from './guard.js';
import { listenSocket, type ListenInit, type SocketServer } from './listen.js';
import { SocketToken } from './token.js';

export interface ControlServer extends SocketServer {
  /** Number of connections that were refused before they had a session. */
  readonly refused: number;
}

/**
 * Listens on a control socket. Makes its token, and gives `onLink` only links whose first message is an `open` with
 * that token. The token goes when the server closes.
 * @throws ProtoflyError as `listenSocket`, `E_PLATFORM` if the token can't be written
 * @see docs/control.md, "Opening"
 */
export const listenControl = async (path: string, onLink: (link: Link<Message>) => void, init: ListenInit & GuardInit = {}): Promise<ControlServer> => {
  let guard: SocketGuard | undefined;
  let token: SocketToken | undefined;
  const server = await listenSocket(path, onLink, {
    ...init,
    onListening: () => {
      token = SocketToken.create(path);
      guard = new SocketGuard({ token, clock: init.clock ?? systemClock }, init);
    },
    check: (socket, enter) => { guard?.check(socket, enter); },
  });
  return {
    path: server.path,
    links: server.links,
    get refused() { return guard?.refused ?? 0; },
    close: async (reason) => {
      guard?.close();
      token?.remove();
      await server.close(reason);
    },
  };
};
