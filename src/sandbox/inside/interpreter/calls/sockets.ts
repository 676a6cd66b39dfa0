import { ProtoflyError, type StubSandbox } from '../../../../protocol/index.js';
import { hostCall, objectIn, Open } from '../host-call.js';
import type { CallGroup, Tell } from './group.js';

/** Of all sockets of one stub. */
const MAX_SOCKETS = 64;
/** Bytes that may wait in one socket, unless one message alone is larger. */
const MAX_BUFFERED = 16 * 1024 * 1024;

interface Socket {
  readonly bufferedAmount: number;
  send(data: string | Uint8Array): void;
  close(code?: number, reason?: string): void;
  pause(): void;
  resume(): void;
}

export interface SocketCallsComponents {
  readonly tell: Tell;
}

export interface SocketKinds {
  WebSocket?: NonNullable<StubSandbox['WebSocket']>;
  TcpSocket?: NonNullable<StubSandbox['TcpSocket']>;
}

/** WebSockets and TCP connections of one stub, to its permitted servers. */
export class SocketCalls implements CallGroup {
  readonly #tell: Tell;
  readonly #kinds: SocketKinds;
  readonly #sockets = new Open<Socket>('sockets', MAX_SOCKETS);
  readonly calls;

  constructor({ tell }: SocketCallsComponents, kinds: SocketKinds) {
    this.#tell = tell;
    this.#kinds = kinds;
    this.calls = {
      openSocket: hostCall(['number', 'text', 'text', 'text'], (id, kind, url, protocols) => {
        this.#sockets.checkRoom(id);
        this.#sockets.add(id, kind === 'tcp' ? this.#tcp(id, url) : this.#webSocket(id, url, Object.values(objectIn(protocols)).map(String)));
      }),
      sendText: hostCall(['number', 'text'], (id, text) => { this.#open(id).send(text); }),
      sendBytes: hostCall(['number', 'bytes'], (id, bytes) => { this.#open(id).send(bytes); }),
      closeSocket: hostCall(['number', 'number', 'text'], (id, code, reason) => {
        if (code === 0) this.#sockets.get(id)?.close();
        else this.#sockets.get(id)?.close(code, reason);
      }),
      pauseSocket: hostCall(['number', 'number'], (id, isPaused) => {
        if (isPaused === 0) this.#sockets.get(id)?.resume();
        else this.#sockets.get(id)?.pause();
      }),
      bufferedAmount: hostCall(['number'], (id) => this.#sockets.get(id)?.bufferedAmount ?? 0),
    };
  }

  close(): void {
    for (const socket of this.#sockets.takeAll()) socket.close();
  }

  #get(id: number): Socket {
    const socket = this.#sockets.get(id);
    if (socket === undefined) throw new ProtoflyError('E_LINK_CLOSED', 'the connection has ended');
    return socket;
  }

  /** @throws ProtoflyError `E_TOO_MANY`, and as `#get` */
  #open(id: number): Socket {
    const socket = this.#get(id);
    if (socket.bufferedAmount > MAX_BUFFERED) throw new ProtoflyError('E_TOO_MANY', 'too much waits for the server to read it');
    return socket;
  }

  #ended(id: number, detail: Readonly<Record<string, unknown>>): void {
    this.#sockets.delete(id);
    this.#tell('socket', id, 'close', JSON.stringify(detail));
  }

  #webSocket(id: number, url: string, protocols: string[]): Socket {
    if (this.#kinds.WebSocket === undefined) throw new ProtoflyError('E_REFUSED', 'this stub wasn\'t granted websocket');
    const socket = new this.#kinds.WebSocket(url, protocols);
    Object.assign(socket, { binaryType: 'arraybuffer' });
    socket.onopen = () => { this.#tell('socket', id, 'open', JSON.stringify({ protocol: (socket as unknown as { readonly protocol: string }).protocol })); };
    socket.onmessage = ({ data }) => {
      if (typeof data === 'string') this.#tell('socket', id, 'message', JSON.stringify({ data }));
      else this.#tell('socket-bytes', id, new Uint8Array(data as ArrayBuffer));
    };
    socket.onerror = ({ message = '' }) => { this.#tell('socket', id, 'error', JSON.stringify({ message })); };
    socket.onclose = ({ code, reason }) => { this.#ended(id, { code, reason, wasClean: code !== 1006 }); };
    return socket as unknown as Socket;
  }

  #tcp(id: number, url: string): Socket {
    if (this.#kinds.TcpSocket === undefined) throw new ProtoflyError('E_REFUSED', 'this stub wasn\'t granted tcp');
    const socket = new this.#kinds.TcpSocket(url);
    socket.onopen = () => { this.#tell('socket', id, 'open', '{}'); };
    socket.onmessage = ({ data }) => { this.#tell('socket-bytes', id, data); };
    socket.onclose = ({ reason }) => { this.#ended(id, { reason }); };
    return socket;
  }
}
