import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import type { Answer, Frame } from './acceptance.js';

type Draft = Omit<Frame, 'id'> & { readonly id?: number | string };

/**
 * A third-party runtime, written from docs/protocol.md without any of protofly's code: a session with the
 * message node over a plain WebSocket, and a WebRTC library.
 */
export class Outsider {
  readonly runtime: string;
  readonly #socket: WebSocket;
  readonly #pending = new Map<string, (answer: Answer) => void>();
  #next = 1;
  /** Called with requests that come through the message node. */
  onRequest: (frame: Frame) => void = () => undefined;

  private constructor(socket: WebSocket, runtime: string) {
    this.#socket = socket;
    this.runtime = runtime;
    socket.on('message', (data) => {
      const frame = JSON.parse((data as Buffer).toString()) as Frame;
      if (frame.type !== 'response') { this.onRequest(frame); return; }
      if ((frame.body?.code ?? 0) < 200) return;
      this.#pending.get(String(frame.id))?.(frame.body as Answer);
      this.#pending.delete(String(frame.id));
    });
  }

  static async join(url: string, name: string): Promise<Outsider> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`);
    await new Promise((resolve, reject) => { socket.once('open', resolve).once('error', reject); });
    const outsider = new Outsider(socket, `hyperty-runtime://localhost/${name}`);
    const { code } = await outsider.ask('mn:/session', 'open', {}, outsider.runtime);
    if (code !== 200) throw new Error(`no session: ${String(code)}`);
    return outsider;
  }

  post(frame: Draft): void {
    this.#socket.send(JSON.stringify({ id: this.#next++, ...frame }));
  }

  ask(to: string, type: string, body: Record<string, unknown>, from = `${this.runtime}/registry`): Promise<Answer> {
    const id = `o${String(this.#next++)}`;
    return new Promise((resolve) => {
      this.#pending.set(id, resolve);
      this.post({ id, type, from, to, body });
    });
  }

  reply({ id, from, to }: Frame, code: number, body: Record<string, unknown> = {}): void {
    this.post({ id, type: 'response', from: to, to: from, body: { ...body, code } });
  }

  /** Returns the P2P handler of a user's runtime, from the domain registry. */
  async handlerOf(user: string): Promise<string> {
    const { value } = await this.ask('domain://registry.localhost', 'read', { resource: `user://localhost/${user}` });
    return (Object.values(value as Record<string, { p2pHandler?: string }>).find(({ p2pHandler }) => p2pHandler !== undefined))!.p2pHandler!;
  }

  /** Sets up a connection as a requester does. @throws Error if it is refused */
  async connect(handler: string, fields: Record<string, unknown> = {}): Promise<OutsideConnection> {
    const stub = `${this.runtime}/p2prequester/${String(this.#next++)}`;
    const connection = new OutsideConnection();
    try {
      const sdp = await connection.offer;
      const answer = await this.negotiate(stub, handler, {
        name: 'an offer', runtime: this.runtime, status: 'created', connectionDescription: { type: 'offer', sdp }, iceCandidates: [], ...fields,
      });
      await connection.accept(answer);
      return connection;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  /** Runs P2P-1 to P2P-4 with any object. @returns the SDP of the handler's answer @throws Error if it is refused */
  async negotiate(stub: string, handler: string, value: unknown): Promise<string> {
    const allocated = await this.ask('domain://msg-node.localhost/address-allocation', 'create', { scheme: 'connection', value: { number: 1 } });
    const [url] = (allocated.value as { allocated: string[] }).allocated;
    await this.ask('domain://msg-node.localhost/sm', 'subscribe', { subscribe: [url, `${url!}/subscription`, stub], source: `${this.runtime}/sm` }, `${this.runtime}/sm`);
    const answered = new Promise<string>((resolve) => {
      this.onRequest = (frame) => {
        const { type, to, body } = frame;
        if (type === 'subscribe' && to === `${url!}/subscription`) this.reply(frame, 200, { value });
        else if (type === 'create' && to === stub) {
          this.reply(frame, 200);
          resolve((body?.value as { connectionDescription: { sdp: string } }).connectionDescription.sdp);
        }
      };
    });
    const schema = 'hyperty-catalogue://catalogue.localhost/.well-known/dataschema/Connection';
    const invited = await this.ask(handler, 'create', { source: stub, value, schema }, `${url!}/subscription`);
    if (invited.code !== 200) throw new Error(`refused with ${String(invited.code)}: ${String(invited.description)}`);
    return answered;
  }

  close(): void {
    this.#socket.terminate();
  }
}

/** One data channel to a handler. Speaks `rethink/1` unless frames are sent by hand. */
export class OutsideConnection {
  readonly #child: ChildProcess;
  readonly #opened: Promise<void>;
  readonly #ended: Promise<unknown>;
  readonly #pending = new Map<string, (frame: Frame) => void>();
  readonly offer: Promise<string>;
  #next = 1;
  /** Called with each binary frame. */
  onBytes: (frame: Buffer) => void = () => undefined;
  /** Called with requests that come over the channel in `rethink/1` frames. */
  onRequest: (frame: Frame) => void = () => undefined;

  constructor() {
    this.#child = fork(fileURLToPath(new URL('outsider-channel.js', import.meta.url)), { execArgv: [], env: { PATH: process.env['PATH'] ?? '' } });
    this.#ended = once(this.#child, 'exit');
    const told = (wanted: string): Promise<string> => new Promise((resolve, reject) => {
      this.#child.on('message', ({ what, value }: { what: string; value: string }) => { if (what === wanted) resolve(value); });
      void this.#ended.then(() => { reject(new Error(`no ${wanted}: it has ended`)); });
    });
    this.offer = told('offer');
    this.#opened = told('open').then(() => undefined);
    this.#opened.catch(() => undefined);
    this.#child.on('message', ({ what, value }: { what: string; value: string }) => {
      if (what === 'bytes') this.onBytes(Buffer.from(value, 'base64'));
      if (what !== 'text') return;
      const { data: { textMessage: message } } = JSON.parse(value) as { data: { textMessage: Frame } };
      if (message.type === 'response') this.#pending.get(String(message.id))?.(message);
      else this.onRequest(message);
    });
  }

  accept(sdp: string): Promise<void> {
    this.#child.send({ what: 'answer', value: sdp });
    return this.#opened;
  }

  /** Sends a message in a `rethink/1` frame and waits for its answer. */
  ask(message: Draft): Promise<Answer> {
    const id = `c${String(this.#next++)}`;
    return new Promise((resolve) => {
      this.#pending.set(id, ({ body }) => { resolve(body as Answer); });
      this.post({ id, ...message });
    });
  }

  /** Sends a message in a `rethink/1` frame. */
  post(message: object): void {
    const uuid = String(this.#next++).padStart(12, '0');
    this.sendText(JSON.stringify({ uuid, data: { uuid, sendingTime: Date.now(), dataSize: 0, textMessage: message } }));
  }

  sendText(frame: string): void {
    this.#child.send({ what: 'text', value: frame });
  }

  sendBytes(frame: Uint8Array): void {
    this.#child.send({ what: 'bytes', value: Buffer.from(frame).toString('base64') });
  }

  /** Resolves when its process has ended. */
  async close(): Promise<void> {
    if (this.#child.connected) this.#child.send({ what: 'close' });
    await this.#ended;
  }
}
