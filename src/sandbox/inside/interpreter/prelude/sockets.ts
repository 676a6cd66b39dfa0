import { ProtoflyError } from '../../../../protocol/index.js';
import { Event, EventTarget } from './events.js';
import { attempt, bytesIn, counter, host } from './host.js';

type Handler<E = Event> = ((event: E) => void) | null;

interface Open {
  onEvent(event: string, detail: Readonly<Record<string, unknown>>): void;
  onBytes(bytes: ArrayBuffer): void;
}

const nextId = counter();
const open = new Map<number, Open>();

const send = (id: number, data: unknown): void => {
  const bytes = bytesIn(data);
  if (bytes === undefined) host.sendText(id, String(data));
  else host.sendBytes(id, bytes);
};

export const onSocket = (id: number, event: string, detail: string): void => {
  const socket = open.get(id);
  if (event === 'close') open.delete(id);
  socket?.onEvent(event, JSON.parse(detail) as Readonly<Record<string, unknown>>);
};

export const onSocketBytes = (id: number, bytes: ArrayBuffer): void => { open.get(id)?.onBytes(bytes); };

/** The web's WebSocket. Binary messages are always ArrayBuffers. Beyond the standard: `pause` and `resume`. */
export class WebSocket extends EventTarget {
  static readonly CONNECTING = 0;
  static readonly OPEN = 1;
  static readonly CLOSING = 2;
  static readonly CLOSED = 3;
  readonly CONNECTING = 0;
  readonly OPEN = 1;
  readonly CLOSING = 2;
  readonly CLOSED = 3;
  readonly url: string;
  readonly extensions = '';
  binaryType = 'arraybuffer';
  onopen: Handler = null;
  onmessage: Handler = null;
  onerror: Handler = null;
  onclose: Handler = null;
  readonly #id = nextId();
  #protocol = '';
  #readyState = 0;

  constructor(url: unknown, protocols: unknown = []) {
    super();
    this.url = String(url);
    const names = Array.isArray(protocols) ? protocols.map(String) : [String(protocols)];
    host.openSocket(this.#id, 'websocket', this.url, JSON.stringify(names));
    open.set(this.#id, { onEvent: (event, detail) => { this.#onEvent(event, detail); }, onBytes: (data) => { this.dispatchEvent(new Event('message', { data })); } });
  }

  get readyState(): number { return this.#readyState; }
  get protocol(): string { return this.#protocol; }
  get bufferedAmount(): number { return host.bufferedAmount(this.#id); }
  send(data: unknown): void {
    if (this.#readyState === 0) throw new ProtoflyError('E_LINK_CLOSED', 'the connection isn\'t open yet');
    if (this.#readyState === 1) send(this.#id, data);
  }

  close(code = 0, reason = ''): void {
    if (this.#readyState > 1) return;
    host.closeSocket(this.#id, Number(code), String(reason));
    this.#readyState = 2;
  }

  pause(): void { host.pauseSocket(this.#id, 1); }
  resume(): void { host.pauseSocket(this.#id, 0); }

  #onEvent(event: string, detail: Readonly<Record<string, unknown>>): void {
    if (event === 'open') {
      this.#readyState = 1;
      this.#protocol = String(detail['protocol'] ?? '');
    } else if (event === 'close') this.#readyState = 3;
    this.dispatchEvent(new Event(event, detail));
  }
}

/** A TCP connection, modelled on WebSocket. */
export class TcpSocket {
  onopen: (() => void) | null = null;
  onmessage: ((event: { readonly data: Uint8Array }) => void) | null = null;
  onclose: ((event: { readonly reason: string }) => void) | null = null;
  readonly #id = nextId();

  constructor(url: unknown) {
    host.openSocket(this.#id, 'tcp', String(url), '[]');
    open.set(this.#id, {
      onEvent: (event, { reason }) => {
        attempt(() => {
          if (event === 'open') this.onopen?.();
          else if (event === 'close') this.onclose?.({ reason: String(reason) });
        });
      },
      onBytes: (bytes) => { attempt(() => { this.onmessage?.({ data: new Uint8Array(bytes) }); }); },
    });
  }

  get bufferedAmount(): number { return host.bufferedAmount(this.#id); }
  send(data: unknown): void { send(this.#id, data); }
  pause(): void { host.pauseSocket(this.#id, 1); }
  resume(): void { host.pauseSocket(this.#id, 0); }
  close(): void { host.closeSocket(this.#id, 0, ''); }
}
