import type { Socket } from 'node:net';
import { types } from 'node:util';
import { WebSocket as Raw } from 'ws';
import { asProtoflyError, MAX_MESSAGE_BYTES, type StubSandbox } from '../../../protocol/index.js';
import type { StubContext } from '../../contract/stub.js';
import { lookupOf, permitted } from './servers.js';

type Kind = 'open' | 'message' | 'error' | 'close';
type Event = Readonly<Record<string, unknown>> & { readonly type: Kind };
type Handler = (event: Event) => void;

const bytesOf = (data: unknown): string | Buffer => {
  if (ArrayBuffer.isView(data)) return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return types.isAnyArrayBuffer(data) ? Buffer.from(data) : String(data);
};

/**
 * The web standard's WebSocket for one stub, limited to its permitted servers. A refused connection looks like
 * a failed one. Beyond the standard: `pause` and `resume`.
 */
export const confinedWebSocket = (stub: StubContext): NonNullable<StubSandbox['WebSocket']> => {
  class WebSocket {
    static readonly CONNECTING = 0;
    static readonly OPEN = 1;
    static readonly CLOSING = 2;
    static readonly CLOSED = 3;
    readonly CONNECTING = 0;
    readonly OPEN = 1;
    readonly CLOSING = 2;
    readonly CLOSED = 3;
    readonly url: string;
    binaryType: 'blob' | 'arraybuffer' = 'blob';
    onopen: Handler | null = null;
    onmessage: Handler | null = null;
    onerror: Handler | null = null;
    onclose: Handler | null = null;
    readonly #raw: Raw | undefined;
    #corked = false;
    readonly #listeners = new Map<Kind, Set<Handler>>();

    constructor(url: string, protocols: string | string[] = []) {
      this.url = String(url);
      let raw: Raw | undefined;
      try {
        const to = permitted(url, ['ws:', 'wss:'], stub);
        raw = new Raw(to, typeof protocols === 'string' ? protocols : Array.from(protocols, String), { perMessageDeflate: false, maxPayload: 2 * MAX_MESSAGE_BYTES, followRedirects: false, ...lookupOf(stub) });
      } catch (thrown) {
        const { message } = asProtoflyError(thrown);
        queueMicrotask(() => {
          this.#tell({ type: 'error', message, error: thrown });
          this.#tell({ type: 'close', code: 1006, reason: message, wasClean: false });
        });
      }
      this.#raw = raw;
      raw?.on('open', () => { this.#tell({ type: 'open' }); })
        .on('message', (data: Buffer, binary: boolean) => { this.#tell({ type: 'message', data: binary ? this.#binary(data) : data.toString('utf8') }); })
        .on('error', ({ message }) => { this.#tell({ type: 'error', message }); })
        .on('close', (code, reason) => { this.#tell({ type: 'close', code, reason: reason.toString('utf8'), wasClean: code !== 1006 }); });
    }

    get readyState(): number {
      return this.#raw?.readyState ?? 3;
    }

    get bufferedAmount(): number {
      return this.#raw?.bufferedAmount ?? 0;
    }

    get protocol(): string {
      return this.#raw?.protocol ?? '';
    }

    get extensions(): string {
      return '';
    }

    send(data: unknown): void {
      if (this.#raw === undefined) return;
      this.#together(this.#raw);
      this.#raw.send(bytesOf(data));
    }

    close(code?: number, reason?: string): void {
      this.#raw?.close(code, reason === undefined ? undefined : String(reason));
    }

    pause(): void {
      this.#raw?.pause();
    }

    resume(): void {
      this.#raw?.resume();
    }

    addEventListener(type: Kind, listener: Handler): void {
      const listeners = this.#listeners.get(type) ?? new Set<Handler>();
      this.#listeners.set(type, listeners.add(listener));
    }

    removeEventListener(type: Kind, listener: Handler): void {
      this.#listeners.get(type)?.delete(listener);
    }

    /** Lets all frames of one turn leave in one system call. */
    #together({ _socket: socket }: Raw & { readonly _socket?: Socket | null }): void {
      if (this.#corked || socket === undefined || socket === null) return;
      this.#corked = true;
      socket.cork();
      process.nextTick(() => {
        this.#corked = false;
        socket.uncork();
      });
    }

    #binary(data: Buffer): unknown {
      const bytes = new Uint8Array(data);
      return this.binaryType === 'arraybuffer' ? bytes.buffer : new Blob([bytes]);
    }

    #tell(event: Event): void {
      const own = this[`on${event.type}`];
      const complete = { ...event, target: this };
      if (typeof own === 'function') stub.attempt(() => { own.call(this, complete); });
      for (const listener of this.#listeners.get(event.type) ?? []) stub.attempt(() => { listener.call(this, complete); });
    }
  }
  return WebSocket as unknown as NonNullable<StubSandbox['WebSocket']>;
};
