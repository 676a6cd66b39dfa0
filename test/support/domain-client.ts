import { WebSocket } from 'ws';

/** A frame as it came: nothing of ours has looked at it. */
export interface Frame {
  readonly id: number | string;
  readonly type: string;
  readonly from: string;
  readonly to: string;
  readonly body?: Record<string, unknown> & { readonly code?: number };
}

/** A program that nobody here wrote: a WebSocket and JSON. */
export class DomainClient {
  readonly runtime: string;
  readonly ws: WebSocket;
  readonly received: Frame[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  token = '';
  #nextId = 1;
  readonly #asked = new Map<string, { resolve: (frame: Frame) => void; reject: (error: Error) => void }>();
  #waiting: (() => void)[] = [];

  private constructor(ws: WebSocket, runtime: string) {
    this.ws = ws;
    this.runtime = runtime;
    this.closed = new Promise((resolve) => {
      ws.on('close', (code, reason) => {
        resolve({ code, reason: reason.toString() });
        for (const { reject } of this.#asked.values()) reject(new Error(`the connection was closed: ${reason.toString()}`));
        this.#wake();
      });
    });
    ws.on('error', () => undefined);
    ws.on('message', (data: Buffer) => {
      const frame = JSON.parse(data.toString()) as Frame;
      const asked = frame.type === 'response' ? this.#asked.get(String(frame.id)) : undefined;
      if (asked !== undefined) {
        this.#asked.delete(String(frame.id));
        asked.resolve(frame);
        return;
      }
      this.received.push(frame);
      this.#wake();
    });
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
    const client = await DomainClient.connect(url, runtime);
    const answer = await client.ask('open', 'mn:/session');
    if (answer.body?.code !== 200) throw new Error(`open: ${JSON.stringify(answer)}`);
    client.token = String(answer.body['runtimeToken']);
    return client;
  }

  send(frame: unknown): void {
    this.ws.send(typeof frame === 'string' || Buffer.isBuffer(frame) ? frame : JSON.stringify(frame));
  }

  /** Sends a request and returns its response. */
  ask(type: string, to: string | string[], body?: unknown, from = this.runtime): Promise<Frame> {
    const id = `q${String(this.#nextId++)}`;
    this.send({ id, type, from, to, ...(body === undefined ? {} : { body }) });
    return new Promise((resolve, reject) => { this.#asked.set(id, { resolve, reject }); });
  }

  /** The code of the response. */
  async code(type: string, to: string | string[], body?: unknown, from = this.runtime): Promise<number | undefined> {
    return (await this.ask(type, to, body, from)).body?.code;
  }

  /** Takes the first frame that fits, now or when it comes. */
  async next(fits: (frame: Frame) => boolean): Promise<Frame> {
    for (;;) {
      const at = this.received.findIndex(fits);
      if (at >= 0) return this.received.splice(at, 1)[0]!;
      if (this.ws.readyState === WebSocket.CLOSED) throw new Error('the connection was closed');
      await new Promise<void>((resolve) => { this.#waiting.push(resolve); });
    }
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async allocate(number = 1, scheme = 'hyperty'): Promise<string[]> {
    const answer = await this.ask('create', `domain://msg-node.${domainOf(this.runtime)}/address-allocation`, { scheme, value: { number } });
    return (answer.body?.['value'] as { allocated: string[] }).allocated;
  }

  /** Drops the connection without a word. */
  async vanish(): Promise<void> {
    this.ws.terminate();
    await this.closed;
  }
}

const domainOf = (runtime: string): string => runtime.split('/')[2] ?? '';
