import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Test } from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import type { Frame } from './domain-client.js';

/** What a message node does with a frame: the frames that go on instead of it. */
export type Tamper = (frame: Frame, toServer: boolean) => readonly Frame[];

/**
 * A message node that lies: it stands between a domain server and its clients, as a bad operator could. Give its `url` to
 * the server as its public URL, then call `standBefore`.
 */
export class EvilNode {
  readonly url: string;
  /** Passes everything on until it is set. */
  tamper: Tamper = (frame) => [frame];
  readonly #server: Server;
  /** Functions that send a frame to the client of a connection, by its runtime. */
  readonly #clients = new Map<string, (frame: Frame) => void>();
  #target = '';

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
    const sockets = new WebSocketServer({ server });
    sockets.on('connection', (client, { url = '' }) => { this.#bridge(client, url); });
    server.on('request', (request, response) => {
      fetch(`${this.#target}${request.url ?? ''}`).then(
        async (answer) => { response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? 'text/plain' }).end(await answer.text()); },
        () => { response.writeHead(502).end(); },
      );
    });
  }

  static async listen(t: Test): Promise<EvilNode> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const node = new EvilNode(server);
    t.teardown(() => { node.#server.close(); node.#server.closeAllConnections(); });
    return node;
  }

  standBefore(target: string): void {
    this.#target = target;
  }

  /** Sends a frame of its own to the runtime that has its receiver. */
  invent(frame: Frame): void {
    for (const [runtime, give] of this.#clients) if (frame.to.startsWith(runtime)) give(frame);
  }

  #bridge(client: WebSocket, path: string): void {
    const server = new WebSocket(`${this.#target.replace('http', 'ws')}${path}`);
    const early: string[] = [];
    const pass = (from: WebSocket, to: WebSocket, toServer: boolean): void => {
      from.on('message', (data: Buffer) => {
        const given = JSON.parse(data.toString()) as Frame;
        if (toServer && given.type === 'open') this.#clients.set(given.from, (frame) => { client.send(JSON.stringify(frame)); });
        for (const frame of this.tamper(given, toServer)) {
          const text = JSON.stringify(frame);
          if (to.readyState === WebSocket.CONNECTING) early.push(text);
          else to.send(text);
        }
      });
      from.on('close', () => { to.close(); });
      from.on('error', () => { to.close(); });
    };
    server.once('open', () => { for (const text of early.splice(0)) server.send(text); });
    pass(client, server, true);
    pass(server, client, false);
  }
}
