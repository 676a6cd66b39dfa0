import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { takenFrom } from '../../link/throughput.js';
import { WEBSOCKET_OPTIONS, websocketLink } from '../../link/websocket/index.js';
import { asProtoflyError, type Clock } from '../../protocol/index.js';
import type { MessageNode } from '../shard/message-node/node.js';

export interface WebsocketsComponents {
  readonly node: Pick<MessageNode, 'attach'>;
  readonly clock: Clock;
}

export interface WebsocketsInit {
  /** Pings clients this often, sooner those that are sent something and from which nothing comes. */
  readonly keepAliveMs: number;
}

/** How long what was accepted for a client may take to leave when its connection is closed. */
const LINGER_MS = 1000;

/** Makes HTTP connections into WebSockets, and these into links of the message node. */
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

  /** Takes over a connection that asks for an upgrade. */
  accept(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#server.handleUpgrade(request, socket, head, (ws) => { this.#attach(ws, request); });
  }

  /** Takes no more; the links are the message node's to close. */
  close(): void {
    this.#server.close();
  }

  #attach(ws: WebSocket, { socket }: IncomingMessage): void {
    try {
      this.#node.attach(({ onReject }) => ({
        link: websocketLink(ws, {
          name: `websocket ${socket.remoteAddress ?? ''}`,
          clock: this.#clock,
          keepAliveMs: this.#init.keepAliveMs,
          lingerMs: LINGER_MS,
          serverSocket: socket,
          onReject,
        }),
        taken: () => takenFrom(socket),
      }));
    } catch (thrown) {
      ws.on('error', () => undefined);
      ws.close(1013, asProtoflyError(thrown).message);
    }
  }
}

/**
 * Frames are plain JSON whatever a client calls that, and some clients give up when none of their names is chosen.
 * Names of ours stand for framings that both sides must know, so none is agreed to.
 */
const chooseProtocol = (offered: Set<string>): string | false => [...offered].find((name) => !name.startsWith('protofly')) ?? false;

/** Answers a connection that isn't served, and ends it. */
export const refuseSocket = (socket: Duplex, status: string): void => {
  if (!socket.writable) { socket.destroy(); return; }
  const body = JSON.stringify({ error: 'E_USAGE', description: status.slice(4) });
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${String(Buffer.byteLength(body))}\r\n\r\n${body}`, () => socket.destroy());
};
