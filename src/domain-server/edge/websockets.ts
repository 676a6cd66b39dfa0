import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { takenFrom } from '../../link/throughput.js';
import { WEBSOCKET_OPTIONS, websocketLink } from '../../link/websocket/index.js';
import { asProtoflyError, type Clock, type ProtoflyError } from '../../protocol/index.js';
import { holderOf, type ShareLimits } from './remote.js';
import { limitStranger } from './strangers.js';
import type { MessageNode } from '../shard/message-node/node.js';

export interface WebsocketsComponents {
  readonly node: Pick<MessageNode, 'attach'>;
  readonly clock: Clock;
}

export interface WebsocketsInit {
  /** Interval of the pings, in milliseconds. A client that is sent something and is silent is pinged sooner. */
  readonly keepAliveMs: number;
  readonly shares: ShareLimits;
}

/** Time for accepted messages to leave when the connection is closed, in milliseconds. */
const LINGER_MS = 1000;

/** Upgrades HTTP connections to WebSockets, and makes them links of the message node. */
export class Websockets {
  readonly #node: WebsocketsComponents['node'];
  readonly #clock: Clock;
  readonly #init: WebsocketsInit;
  readonly #server = new WebSocketServer({ ...WEBSOCKET_OPTIONS, noServer: true, clientTracking: false, handleProtocols: chooseProtocol });

  constructor({ node, clock }: WebsocketsComponents, init: WebsocketsInit) {
    this.#node = node;
    this.#clock = clock;
    this.#init = init;
  }

  /** Accepts a connection that asks for an upgrade. */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#server.handleUpgrade(request, socket, head, (ws) => { this.#attach(ws, request); });
  }

  /** Accepts no more connections. The message node closes the links. */
  close(): void {
    this.#server.close();
  }

  #attach(ws: WebSocket, { socket }: IncomingMessage): void {
    try {
      this.#node.attach(({ onReject, admit, isMember }) => {
        const link = websocketLink(ws, {
          name: `websocket ${socket.remoteAddress ?? ''}`,
          clock: this.#clock,
          keepAliveMs: this.#init.keepAliveMs,
          lingerMs: LINGER_MS,
          serverSocket: socket,
          onReject,
          admit,
        });
        limitStranger(socket, isMember, () => { ws.terminate(); });
        return { link, taken: () => takenFrom(socket), holder: holderOf(socket.remoteAddress, this.#init.shares) };
      });
    } catch (thrown) {
      ws.on('error', () => undefined);
      ws.close(1013, asProtoflyError(thrown).message);
    }
  }
}

/**
 * Chooses a subprotocol. Frames are plain JSON whatever its name, and some clients give up if none is chosen. Names
 * that start with `protofly` stand for framings that both sides must know, so they are never chosen.
 */
const chooseProtocol = (offered: Set<string>): string | false => [...offered].find((name) => !name.startsWith('protofly')) ?? false;

/** Answers a connection that isn't served, and closes it. */
export const refuseSocket = (socket: Duplex, status: string, error?: ProtoflyError): void => {
  if (!socket.writable) { socket.destroy(); return; }
  const body = JSON.stringify({ error: error?.code ?? 'E_USAGE', description: error?.message ?? status.slice(4), ...(error?.hint === undefined ? {} : { hint: error.hint }) });
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${String(Buffer.byteLength(body))}\r\n\r\n${body}`, () => socket.destroy());
};
