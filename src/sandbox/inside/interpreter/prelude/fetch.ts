import { isErrorCode, ProtoflyError } from '../../../../protocol/index.js';
import type { FetchHead, FetchRequest } from '../border.js';
import type { AbortSignal } from './events.js';
import { bytesIn, counter, host } from './host.js';
import { joined, TextDecoder } from './text.js';

type Pair = readonly [string, string];

export class Headers {
  readonly #pairs = new Map<string, string>();

  constructor(init?: unknown) {
    const entries = init instanceof Headers ? [...init] : typeof init === 'object' && init !== null ? Symbol.iterator in init ? [...(init as Iterable<Pair>)] : Object.entries(init) : [];
    for (const [name, value] of entries) this.append(name, value);
  }

  append(name: unknown, value: unknown): void {
    const key = String(name).toLowerCase();
    const before = this.#pairs.get(key);
    this.#pairs.set(key, before === undefined ? String(value) : `${before}, ${String(value)}`);
  }

  set(name: unknown, value: unknown): void { this.#pairs.set(String(name).toLowerCase(), String(value)); }
  get(name: unknown): string | null { return this.#pairs.get(String(name).toLowerCase()) ?? null; }
  has(name: unknown): boolean { return this.#pairs.has(String(name).toLowerCase()); }
  delete(name: unknown): void { this.#pairs.delete(String(name).toLowerCase()); }
  forEach(run: (value: string, name: string) => void): void { for (const [name, value] of this.#pairs) run(value, name); }
  entries(): IterableIterator<[string, string]> { return this.#pairs.entries(); }
  keys(): IterableIterator<string> { return this.#pairs.keys(); }
  values(): IterableIterator<string> { return this.#pairs.values(); }
  [Symbol.iterator](): IterableIterator<[string, string]> { return this.#pairs.entries(); }
}

type Piece = { readonly done: false; readonly value: Uint8Array } | { readonly done: true; readonly value: undefined };

/** The body of a response: pieces are asked for one by one. */
class Body {
  readonly #id: number;
  #waiting: { readonly resolve: (piece: Piece) => void; readonly reject: (thrown: unknown) => void }[] = [];
  #end: { readonly failure?: unknown } | undefined;
  locked = false;

  constructor(id: number) {
    this.#id = id;
  }

  getReader(): { read(): Promise<Piece>; cancel(): Promise<void>; releaseLock(): void } {
    if (this.locked) throw new TypeError('the body is being read already');
    this.locked = true;
    return { read: () => this.#read(), cancel: () => this.cancel(), releaseLock: () => { this.locked = false; } };
  }

  cancel(): Promise<void> {
    running.delete(this.#id);
    host.abortFetch(this.#id);
    this.finish();
    return Promise.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (let piece = await this.#read(); !piece.done; piece = await this.#read()) yield piece.value;
  }

  take(bytes: ArrayBuffer): void {
    this.#waiting.shift()?.resolve({ done: false, value: new Uint8Array(bytes) });
  }

  finish(failure?: unknown): void {
    this.#end ??= failure === undefined ? {} : { failure };
    for (const { resolve, reject } of this.#waiting.splice(0)) {
      if (failure === undefined) resolve({ done: true, value: undefined });
      else reject(failure);
    }
  }

  #read(): Promise<Piece> {
    if (this.#end !== undefined) return 'failure' in this.#end ? Promise.reject(this.#end.failure as Error) : Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      host.readBody(this.#id);
    });
  }
}

export class Response {
  readonly status: number;
  readonly statusText: string;
  readonly url: string;
  readonly redirected: boolean;
  readonly headers: Headers;
  readonly body: Body;
  bodyUsed = false;

  constructor(head: FetchHead, body: Body) {
    this.status = head.status;
    this.statusText = head.statusText;
    this.url = head.url;
    this.redirected = head.redirected;
    this.headers = new Headers(head.headers);
    this.body = body;
  }

  get ok(): boolean { return this.status >= 200 && this.status < 300; }

  async bytes(): Promise<Uint8Array> {
    this.bodyUsed = true;
    const reader = this.body.getReader();
    const pieces: Uint8Array[] = [];
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) pieces.push(piece.value);
    return joined(pieces);
  }

  async arrayBuffer(): Promise<ArrayBuffer> { return (await this.bytes()).buffer as ArrayBuffer; }
  async text(): Promise<string> { return new TextDecoder().decode(await this.bytes()); }
  async json(): Promise<unknown> { return JSON.parse(await this.text()); }
}

interface Exchange {
  readonly onHead: (head: FetchHead) => void;
  readonly onFailure: (thrown: unknown) => void;
  readonly body: Body;
}

const nextId = counter();
const running = new Map<number, Exchange>();

export const onFetchHead = (id: number, head: string): void => { running.get(id)?.onHead(JSON.parse(head) as FetchHead); };
export const onFetchPiece = (id: number, bytes: ArrayBuffer): void => { running.get(id)?.body.take(bytes); };
export const onFetchEnd = (id: number): void => {
  running.get(id)?.body.finish();
  running.delete(id);
};
export const onFetchFailed = (id: number, code: string, message: string): void => {
  running.get(id)?.onFailure(isErrorCode(code) ? new ProtoflyError(code, message) : new TypeError(message));
  running.delete(id);
};

interface FetchInit {
  readonly method?: unknown;
  readonly headers?: unknown;
  readonly body?: unknown;
  readonly redirect?: unknown;
  readonly signal?: AbortSignal | null;
}

/** The web's fetch, for a URL and the usual options. Options that name a connection, like `dispatcher`, mean nothing. */
export const fetch = (url: unknown, init: FetchInit = {}): Promise<Response> => new Promise((resolve, reject) => {
  const { signal } = init;
  if (signal?.aborted === true) throw signal.reason;
  const id = nextId();
  const text = typeof init.body === 'string' ? init.body : undefined;
  const bytes = text === undefined ? bytesIn(init.body) ?? (init.body === undefined || init.body === null ? undefined : host.encode(String(init.body))) : host.encode(text);
  const headers = new Headers(init.headers);
  if (text !== undefined && !headers.has('content-type')) headers.set('content-type', 'text/plain;charset=UTF-8');
  const request: FetchRequest = {
    url: String(url), method: String(init.method ?? 'GET'), headers: [...headers],
    redirect: init.redirect === 'manual' || init.redirect === 'error' ? init.redirect : 'follow', hasBody: bytes !== undefined,
  };
  const body = new Body(id);
  const fail = (thrown: unknown): void => {
    body.finish(thrown);
    reject(thrown as Error);
  };
  host.fetch(id, JSON.stringify(request), bytes ?? new ArrayBuffer(0));
  running.set(id, { onHead: (head) => { resolve(new Response(head, body)); }, onFailure: fail, body });
  signal?.addEventListener('abort', () => {
    if (!running.delete(id)) return;
    host.abortFetch(id);
    fail(signal.reason);
  });
});
