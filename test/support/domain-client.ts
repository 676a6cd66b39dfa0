import { WebSocket } from 'ws';
import type { IdentityKey } from '../../src/security/index.js';

/** A frame as received, without any of our parsing. */
export interface Frame {
  readonly id: number | string;
  readonly type: string;
  readonly from: string;
  readonly to: string;
  readonly body?: Record<string, unknown> & { readonly code?: number };
}

/** The end of a client's connection, or of its session over HTTP. */
export interface Ended {
  readonly code: number;
  readonly reason: string;
}

/** A third-party client over any protocol: records what it sent, asked and received. */
export abstract class Client {
  readonly runtime: string;
  readonly received: Frame[] = [];
  readonly closed: Promise<Ended>;
  token = '';
  #ended: Ended | undefined;
  #settle: (ended: Ended) => void = () => undefined;
  #nextId = 1;
  readonly #asked = new Map<string, { resolve: (frame: Frame) => void; reject: (error: Error) => void }>();
  readonly #waiting: (() => void)[] = [];

  protected constructor(runtime: string) {
    this.runtime = runtime;
    this.closed = new Promise((resolve) => { this.#settle = resolve; });
  }

  get isClosed(): boolean {
    return this.#ended !== undefined;
  }

  /** Sends a frame, or any other value. */
  abstract send(frame: unknown): void;
  /** Drops the connection without a goodbye. */
  abstract vanish(): Promise<void>;

  protected take(frame: Frame): void {
    const asked = frame.type === 'response' ? this.#asked.get(String(frame.id)) : undefined;
    if (asked !== undefined) {
      this.#asked.delete(String(frame.id));
      asked.resolve(frame);
      return;
    }
    this.received.push(frame);
    this.#wake();
  }

  protected end(ended: Ended): void {
    if (this.#ended !== undefined) return;
    this.#ended = ended;
    this.#settle(ended);
    for (const { reject } of this.#asked.values()) reject(new Error(`the connection was closed: ${ended.reason}`));
    this.#wake();
  }

  /** Opens a session on the connection. `key` signs the challenge of the message node, if it asks, in a claim with `fields`. */
  async openSession(key?: IdentityKey, fields: Record<string, unknown> = {}): Promise<this> {
    const asked = await this.ask('open', 'mn:/session');
    const answer = asked.body?.code === 401 && key !== undefined ? await this.ask('open', 'mn:/session', { identity: await this.claim(key, asked, fields) }) : asked;
    if (answer.body?.code !== 200) throw new Error(`open: ${JSON.stringify(answer)}`);
    this.token = String(answer.body['runtimeToken']);
    return this;
  }

  /** Signs the challenge in an answer. */
  claim(key: IdentityKey, { body }: Frame, fields: Record<string, unknown> = {}, typ = 'protofly-session'): Promise<string> {
    return key.sign(typ, { domain: domainOf(this.runtime), nonce: body?.['challenge'], runtime: this.runtime, ...fields });
  }

  /** Sends a request and returns its response. */
  ask(type: string, to: string | string[], body?: unknown, from = this.runtime): Promise<Frame> {
    const id = `q${String(this.#nextId++)}`;
    const answer = new Promise<Frame>((resolve, reject) => { this.#asked.set(id, { resolve, reject }); });
    this.send({ id, type, from, to, ...(body === undefined ? {} : { body }) });
    return answer;
  }

  /** Sends a request and returns the code of its response. */
  async code(type: string, to: string | string[], body?: unknown, from = this.runtime): Promise<number | undefined> {
    return (await this.ask(type, to, body, from)).body?.code;
  }

  /** Removes and returns the first frame that fits, now or when it comes. */
  async next(fits: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const at = this.received.findIndex(fits);
      if (at >= 0) return this.received.splice(at, 1)[0]!;
      if (this.#ended !== undefined) throw new Error(`the connection was closed: ${this.#ended.reason}`);
      await new Promise<void>((resolve) => { this.#waiting.push(resolve); });
    }
  }

  async allocate(number = 1, scheme = 'hyperty'): Promise<string[]> {
    const answer = await this.ask('create', `domain://msg-node.${domainOf(this.runtime)}/address-allocation`, { scheme, value: { number } });
    return (answer.body?.['value'] as { allocated: string[] }).allocated;
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

const domainOf = (runtime: string): string => runtime.split('/')[2] ?? '';

/** A client over a WebSocket with JSON. */
export class DomainClient extends Client {
  readonly ws: WebSocket;

  private constructor(ws: WebSocket, runtime: string) {
    super(runtime);
    this.ws = ws;
    ws.on('close', (code, reason) => { this.end({ code, reason: reason.toString() }); });
    ws.on('error', () => undefined);
    ws.on('message', (data: Buffer) => { this.take(JSON.parse(data.toString()) as Frame); });
  }

  /** Connects, without a session. */
  static async connect(url: string, runtime: string, path = '/ws'): Promise<DomainClient> {
    const ws = new WebSocket(`${url.replace(/^http/, 'ws')}${path}`);
    const client = new DomainClient(ws, runtime);
    await new Promise((resolve, reject) => { ws.once('open', resolve).once('error', reject); });
    return client;
  }

  /** Connects and opens a session. */
  static async open(url: string, runtime: string): Promise<DomainClient> {
    return (await DomainClient.connect(url, runtime)).openSession();
  }

  send(frame: unknown): void {
    this.ws.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame));
  }

  async vanish(): Promise<void> {
    this.ws.terminate();
    await this.closed;
  }
}
