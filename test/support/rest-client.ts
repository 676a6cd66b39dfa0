import { Client, type Frame } from './domain-client.js';

type Receiving = 'poll' | 'stream';

/** Parses the events of an event stream. */
export async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<{ readonly id: number; readonly data: string }[]> {
  let rest = '';
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split('\n\n');
    rest = parts.pop() ?? '';
    yield parts.flatMap((part) => {
      const match = /^id: (\d+)\ndata: (.*)$/.exec(part);
      return match === null ? [] : [{ id: Number(match[1]), data: match[2] ?? '' }];
    });
  }
}

const SESSION_TYPES = new Set(['open', 're-open', 'close']);
const isSessionRequest = (frame: unknown): frame is Frame => {
  const { type, to } = (frame ?? {}) as Partial<Frame>;
  return to === 'mn:/session' && typeof type === 'string' && SESSION_TYPES.has(type.toLowerCase());
};

/** A client with plain HTTP requests and JSON, using only `fetch`. It acknowledges received messages and numbers its POSTs. */
export class RestClient extends Client {
  readonly #url: string;
  readonly #receiving: Receiving;
  readonly #abort = new AbortController();
  #queue: unknown[] = [];
  #posting = false;
  #acknowledging = false;
  #hears = false;
  #cursor = 0;
  #acknowledged = 0;
  #batch = 0;

  private constructor(url: string, runtime: string, receiving: Receiving) {
    super(runtime);
    this.#url = url;
    this.#receiving = receiving;
  }

  /** Creates a client. It sends nothing before its first request. */
  static connect(url: string, runtime: string, receiving: Receiving): RestClient {
    return new RestClient(url, runtime, receiving);
  }

  send(frame: unknown): void {
    this.#queue.push(frame);
    this.#run(this.#post());
  }

  async vanish(): Promise<void> {
    this.end({ code: 0, reason: 'it vanished' });
    this.#abort.abort();
    await this.closed;
  }

  #run(work: Promise<void>): void {
    work.catch((thrown: unknown) => { this.end({ code: 0, reason: String(thrown) }); });
  }

  #fetch(path: string, init: { method?: string; body?: string | Uint8Array; headers?: Record<string, string> } = {}): Promise<Response> {
    const authorization: Record<string, string> = this.token === '' ? {} : { authorization: `Bearer ${this.token}` };
    return fetch(`${this.#url}/rest/${path}`, { ...init, headers: { ...authorization, ...init.headers }, signal: this.#abort.signal });
  }

  /** Posts gathered messages, one POST after the other. */
  async #post(): Promise<void> {
    if (this.#posting) return;
    this.#posting = true;
    try {
      while (!this.isClosed && this.#queue.length > 0) {
        const [first] = this.#queue;
        if (isSessionRequest(first)) await this.#session(this.#queue.shift() as Frame);
        else if (typeof first === 'string' || Buffer.isBuffer(first)) await this.#messages([this.#queue.shift()], first);
        else await this.#batchOf();
      }
    } finally {
      this.#posting = false;
    }
  }

  async #batchOf(): Promise<void> {
    const end = this.#queue.findIndex((frame) => isSessionRequest(frame) || typeof frame === 'string' || Buffer.isBuffer(frame));
    const frames = this.#queue.splice(0, Math.min(1000, end < 0 ? this.#queue.length : end));
    await this.#messages(frames, JSON.stringify(frames.length === 1 ? frames[0] : frames));
  }

  async #session(frame: Frame): Promise<void> {
    const response = await this.#fetch('session', { method: 'POST', body: JSON.stringify(frame) });
    const answer = await response.json() as Frame;
    if (answer.body?.code !== response.status) throw new Error(`${String(response.status)} with ${JSON.stringify(answer)}`);
    const type = frame.type.toLowerCase();
    if (response.status === 200 && type !== 'close') {
      this.token = type === 'open' ? String(answer.body['runtimeToken']) : frame.from.slice(frame.from.lastIndexOf('/') + 1);
      // The numbers of messages and POSTs start anew with each token.
      if (type === 'open') [this.#cursor, this.#acknowledged, this.#batch] = [0, 0, 0];
      else this.#batch = Math.max(this.#batch, Number(answer.body['batch']));
    }
    this.take(answer);
    if (response.status !== 200) return;
    if (type === 'close') this.end({ code: response.status, reason: 'the session was closed' });
    else if (!this.#hears) this.#run(this.#hear());
  }

  async #messages(frames: readonly unknown[], body: string | Uint8Array): Promise<void> {
    const cursor = this.#cursor;
    this.#batch += 1;
    const response = await this.#fetch(`messages?after=${String(cursor)}`, { method: 'POST', body, headers: this.token === '' ? {} : { 'protofly-batch': String(this.#batch) } });
    const answer = await response.json() as { readonly accepted?: number; readonly error?: string; readonly description?: string };
    if (response.status === 202) { this.#acknowledged = cursor; return; }
    if (response.status === 401 && this.token !== '') { this.end({ code: 401, reason: String(answer.description) }); return; }
    for (const frame of frames) {
      const { id = 0, type = '', from = '', to = '' } = (typeof frame === 'object' && frame !== null ? frame : {}) as Partial<Frame>;
      if (type !== 'response') this.take({ id, type: 'response', from: to, to: from, body: { ...answer, code: response.status } });
    }
  }

  async #hear(): Promise<void> {
    this.#hears = true;
    while (!this.isClosed) {
      const token = this.token;
      const response = await this.#fetch(`messages?wait=20&after=${String(this.#cursor)}`, this.#receiving === 'stream' ? { headers: { accept: 'text/event-stream' } } : {});
      if (response.status === 401 && token !== this.token) continue;
      if (response.status !== 200) { this.end({ code: response.status, reason: await response.text() }); return; }
      if (this.#receiving === 'poll') {
        const frames = await response.json() as Frame[];
        if (token !== this.token) continue;
        this.#cursor = Number(response.headers.get('protofly-cursor'));
        for (const frame of frames) this.take(frame);
        continue;
      }
      for await (const events of eventsOf(response.body as ReadableStream<Uint8Array>)) {
        if (token !== this.token) break;
        for (const { id, data } of events) {
          this.#cursor = id;
          this.take(JSON.parse(data) as Frame);
        }
        this.#run(this.#acknowledge());
      }
    }
  }

  /** Acknowledges without waiting for a running POST: the node may hold back its answer until something is acknowledged. */
  async #acknowledge(): Promise<void> {
    if (this.#acknowledging) return;
    this.#acknowledging = true;
    try {
      while (!this.isClosed && this.#cursor > this.#acknowledged) {
        const cursor = this.#cursor;
        const response = await this.#fetch(`messages?after=${String(cursor)}`, { method: 'POST', body: '[]' });
        await response.arrayBuffer();
        // The receiving side finds out whether the session has ended.
        if (response.status !== 202) return;
        this.#acknowledged = cursor;
      }
    } finally {
      this.#acknowledging = false;
    }
  }
}
