import { asProtoflyError, isErrorCode, ProtoflyError } from '../../../../protocol/index.js';
import type { FetchHead } from '../border.js';
import { hostCall, objectIn, Open } from '../host-call.js';
import type { CallGroup, Tell } from './group.js';

const MAX_REQUESTS = 64;
/** Of one body, at once. */
const MAX_READS = 1000;

interface Exchange {
  readonly controller: AbortController;
  reader?: ReadableStreamDefaultReader<Uint8Array>;
  /** Number of pieces that the stub waits for. */
  wanted: number;
}

export interface FetchCallsComponents {
  /** Limited to the stub's servers. */
  readonly fetch: typeof globalThis.fetch;
  readonly tell: Tell;
}

/** HTTP requests of one stub. Only method, headers, body and redirect mode come from the stub. */
export class FetchCalls implements CallGroup {
  readonly #fetch: typeof globalThis.fetch;
  readonly #tell: Tell;
  readonly #running = new Open<Exchange>('requests', MAX_REQUESTS);
  readonly calls;

  constructor({ fetch, tell }: FetchCallsComponents) {
    this.#fetch = fetch;
    this.#tell = tell;
    this.calls = {
      fetch: hostCall(['number', 'text', 'bytes'], (id, request, body) => {
        const exchange: Exchange = { controller: new AbortController(), wanted: 0 };
        this.#running.add(id, exchange);
        void this.#run(id, exchange, objectIn(request), body);
      }),
      readBody: hostCall(['number'], (id) => {
        const exchange = this.#running.get(id);
        if (exchange === undefined) return;
        if (exchange.wanted >= MAX_READS) throw new ProtoflyError('E_TOO_MANY', 'too many reads of one body at once');
        exchange.wanted += 1;
        if (exchange.wanted === 1) void this.#read(id, exchange);
      }),
      abortFetch: hostCall(['number'], (id) => { this.#running.delete(id)?.controller.abort(); }),
    };
  }

  close(): void {
    for (const { controller } of this.#running.takeAll()) controller.abort();
  }

  async #run(id: number, exchange: Exchange, { url, method, headers, redirect, hasBody }: Readonly<Record<string, unknown>>, body: Uint8Array): Promise<void> {
    await this.#attempt(id, exchange, async () => {
      const response = await this.#fetch(String(url), {
        method: String(method), signal: exchange.controller.signal,
        headers: (Array.isArray(headers) ? headers : []).map((pair) => [String((pair as unknown[])[0]), String((pair as unknown[])[1])] as [string, string]),
        redirect: redirect === 'manual' || redirect === 'error' ? redirect : 'follow',
        ...(hasBody === true ? { body: body as Uint8Array<ArrayBuffer> } : {}),
      });
      const reader = response.body?.getReader() as ReadableStreamDefaultReader<Uint8Array> | undefined;
      if (reader !== undefined) exchange.reader = reader;
      const head: FetchHead = { status: response.status, statusText: response.statusText, url: response.url, redirected: response.redirected, headers: [...response.headers] };
      if (this.#running.get(id) === exchange) this.#tell('fetch-head', id, JSON.stringify(head));
      if (reader === undefined) this.#end(id);
    });
  }

  async #read(id: number, exchange: Exchange): Promise<void> {
    await this.#attempt(id, exchange, async () => {
      for (; exchange.wanted > 0; exchange.wanted -= 1) {
        const piece = await exchange.reader?.read();
        if (this.#running.get(id) !== exchange) return;
        if (piece?.done === false) this.#tell('fetch-piece', id, piece.value);
        else this.#end(id);
      }
    });
  }

  #end(id: number): void {
    this.#running.delete(id);
    this.#tell('fetch-end', id);
  }

  async #attempt(id: number, exchange: Exchange, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (thrown) {
      if (this.#running.get(id) !== exchange) return;
      this.#running.delete(id);
      const { code, message } = thrown instanceof ProtoflyError ? thrown : { code: '', message: troubleOf(thrown) };
      this.#tell('fetch-failed', id, isErrorCode(code) ? code : '', message);
    }
  }
}

/** The reason that `fetch` keeps in the cause of its error. */
const troubleOf = (thrown: unknown): string => {
  const { cause } = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as { readonly cause?: { readonly message?: unknown; readonly code?: unknown } };
  const words = [cause?.message, cause?.code].find((text) => typeof text === 'string' && text !== '');
  return typeof words === 'string' ? words : asProtoflyError(thrown).message;
};
