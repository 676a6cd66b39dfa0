import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { RUNTIME_A, Watch } from './stub-harness.js';

export interface Frame {
  readonly id: unknown;
  readonly type: string;
  readonly from: string;
  readonly to: string;
  readonly body?: Record<string, unknown>;
}

export interface Post {
  readonly batch: number;
  readonly after: number;
  readonly frames: readonly Frame[];
}

/**
 * The node's reaction to a POST of messages: take and answer, take and lose the answer, never answer, or answer
 * with a status.
 */
type Fate = 'take' | 'lose' | 'hang' | number;

const bodyOf = async (request: IncomingMessage): Promise<string> => {
  let text = '';
  for await (const chunk of request.setEncoding('utf8')) text += chunk as string;
  return text;
};

/** The REST side of a scripted message node, on real HTTP. */
export class RestNode {
  readonly watch = new Watch();
  /** Requests to the session manager. */
  readonly asked: Frame[] = [];
  /** All POSTs of messages, repeated ones included. */
  readonly posts: Post[] = [];
  /** The messages taken, each once. */
  readonly taken: Frame[] = [];
  readonly gets: { readonly after: number; readonly stream: boolean }[] = [];
  /** Code and body of the answers to session requests; undefined: no answer. */
  answer: (frame: Frame) => Record<string, unknown> | undefined = () => ({ code: 200, runtimeToken: 'token' });
  fate: (post: Post) => Fate = () => 'take';
  /** The answer to stream requests: `flow`; `buffered`, with nothing before the end, as behind a buffering proxy; or a status. */
  streams: 'flow' | 'buffered' | number = 'flow';
  /** True if the token is valid. */
  known = true;
  acknowledged = 0;
  stream: ServerResponse | undefined;
  #poll: { readonly response: ServerResponse; readonly timer: NodeJS.Timeout } | undefined;
  #unacknowledged: { readonly number: number; readonly text: string }[] = [];
  #given = 0;
  #batch = 0;
  #hold: Promise<void> | undefined;
  readonly #sockets = new Set<Socket>();
  readonly #server: Server;
  readonly #port: number;

  constructor(port = 0) {
    this.#port = port;
    this.#server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      this.#serve(request, response).catch(() => { response.destroy(); }).finally(() => { this.watch.poke(); });
    });
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  async listening(): Promise<this> {
    if (!this.#server.listening) await new Promise<void>((resolve) => { this.#server.listen(this.#port, '127.0.0.1', resolve); });
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${String(this.port)}/rest`;
  }

  types(): string[] {
    return this.asked.map(({ type }) => type);
  }

  values(to: string): unknown[] {
    return this.taken.filter((frame) => frame.to === to).map(({ body }) => body?.['value']);
  }

  /** Holds back the answers to POSTs. @returns a function that releases them */
  hold(): () => void {
    let release = (): void => undefined;
    this.#hold = new Promise((resolve) => { release = resolve; });
    return () => { this.#hold = undefined; release(); };
  }

  /** Sends messages to the client. */
  give(...messages: unknown[]): void {
    for (const message of messages) this.#unacknowledged.push({ number: ++this.#given, text: typeof message === 'string' ? message : JSON.stringify(message) });
    const fresh = this.#unacknowledged.slice(-messages.length);
    if (this.stream !== undefined) this.stream.write(fresh.map(eventOf).join(''));
    else this.#answerPoll();
  }

  /** Breaks all connections. A client that reconnects finds the session unchanged. */
  breakConnections(): void {
    this.stream = undefined;
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    clearTimeout(this.#poll?.timer);
    this.breakConnections();
    await new Promise((resolve) => { this.#server.close(resolve); });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    response.on('error', () => undefined);
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://x');
    if (request.method === 'POST' && pathname === '/rest/session') { await this.#session(request, response); return; }
    if (pathname !== '/rest/messages') { json(response, 404, { error: 'E_NOT_FOUND', description: 'no such path' }); return; }
    const after = Number(searchParams.get('after') ?? NaN);
    if (!this.known || request.headers.authorization !== 'Bearer token') { json(response, 401, { error: 'E_UNAUTHENTICATED', description: 'who are you?' }); return; }
    this.#acknowledge(after);
    if (request.method === 'POST') await this.#take(request, response, after);
    else this.#read(request, response, after, Number(searchParams.get('wait') ?? 0));
  }

  async #session(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const frame = JSON.parse(await bodyOf(request)) as Frame;
    this.asked.push(frame);
    const body = this.answer(frame);
    if (body !== undefined && frame.type === 'open') { this.known = true; this.#batch = 0; this.#given = 0; this.acknowledged = 0; }
    if (body !== undefined) json(response, body['code'] as number, { id: frame.id, type: 'response', from: 'mn:/session', to: RUNTIME_A, body });
  }

  async #take(request: IncomingMessage, response: ServerResponse, after: number): Promise<void> {
    const given = JSON.parse(await bodyOf(request)) as Frame | Frame[];
    const post: Post = { batch: Number(request.headers['protofly-batch'] ?? 0), after, frames: Array.isArray(given) ? given : [given] };
    if (post.frames.length > 0) this.posts.push(post);
    const fate = post.frames.length === 0 ? 'take' : this.fate(post);
    if (fate === 'hang') return;
    if (typeof fate === 'number') { json(response, fate, { error: 'E', description: `status ${String(fate)}` }); return; }
    if (post.batch === 0 || post.batch > this.#batch) this.taken.push(...post.frames);
    this.#batch = Math.max(this.#batch, post.batch);
    this.watch.poke();
    if (post.frames.length > 0) await this.#hold;
    if (fate === 'lose') request.socket.destroy();
    else json(response, 202, { accepted: post.frames.length });
  }

  #read(request: IncomingMessage, response: ServerResponse, after: number, wait: number): void {
    const stream = request.headers.accept === 'text/event-stream';
    this.gets.push({ after, stream });
    if (stream && typeof this.streams === 'number') { json(response, this.streams, { error: 'E', description: 'no streams here' }); return; }
    if (stream) {
      response.on('close', () => { if (this.stream === response) this.stream = undefined; this.watch.poke(); });
      this.stream = response;
      if (this.streams === 'buffered') { this.stream = undefined; return; }
      response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
      response.write(`: hello\n\n${this.#unacknowledged.map(eventOf).join('')}`);
      return;
    }
    this.#poll = { response, timer: setTimeout(() => { this.#poll = undefined; json(response, 200, []); }, wait * 1000) };
    this.#answerPoll();
  }

  #answerPoll(): void {
    const poll = this.#poll;
    if (poll === undefined || this.#unacknowledged.length === 0) return;
    clearTimeout(poll.timer);
    this.#poll = undefined;
    poll.response.writeHead(200, { 'content-type': 'application/json', 'protofly-cursor': String(this.#unacknowledged.at(-1)?.number) });
    poll.response.end(`[${this.#unacknowledged.map(({ text }) => text).join(',')}]`);
  }

  #acknowledge(after: number): void {
    if (Number.isNaN(after)) return;
    this.acknowledged = Math.max(this.acknowledged, after);
    this.#unacknowledged = this.#unacknowledged.filter(({ number }) => number > after);
  }
}

const eventOf = ({ number, text }: { number: number; text: string }): string => `id: ${String(number)}\ndata: ${text}\n\n`;

const json = (response: ServerResponse, status: number, value: unknown): void => {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(value));
};
