import { connect, type Socket } from 'node:net';
import { ProtoflyError, type StubSandbox } from '../../../protocol/index.js';
import type { StubContext } from '../../contract/stub.js';
import { lookupOf, permitted } from './servers.js';

/** Time for a server to close its side, in milliseconds. */
const LINGER_MS = 1000;

type Handler<Event = void> = ((event: Event) => void) | null;

/** TCP connections for one stub, to its permitted servers. A refused connection ends with a reason, like a failed one. */
export const confinedTcpSocket = (stub: StubContext): NonNullable<StubSandbox['TcpSocket']> =>
  class TcpSocket {
    onopen: Handler = null;
    onmessage: Handler<{ data: Uint8Array }> = null;
    onclose: Handler<{ reason: string }> = null;
    readonly #raw: Socket | undefined;
    #trouble = '';

    constructor(url: string) {
      let to: URL;
      try {
        to = permitted(url, ['tcp:'], stub);
      } catch (thrown) {
        const reason = thrown instanceof ProtoflyError ? thrown.message : 'not an address';
        queueMicrotask(() => { stub.attempt(() => { this.onclose?.({ reason }); }); });
        return;
      }
      const raw = connect({ host: to.hostname.replace(/^\[|\]$/g, ''), port: Number(to.port), noDelay: true, ...lookupOf(stub) });
      this.#raw = raw;
      raw.on('connect', () => { stub.attempt(() => { this.onopen?.(); }); })
        .on('data', (data) => { stub.attempt(() => { this.onmessage?.({ data: new Uint8Array(data) }); }); })
        .on('error', ({ message }) => { this.#trouble = message; })
        .on('close', () => { stub.attempt(() => { this.onclose?.({ reason: this.#trouble || 'the connection ended' }); }); });
    }

    get bufferedAmount(): number {
      return this.#raw?.writableLength ?? 0;
    }

    /** @throws ProtoflyError `E_LINK_CLOSED` */
    send(data: string | Uint8Array): void {
      if (this.#raw === undefined || this.#raw.destroyed || this.#raw.writableEnded) throw new ProtoflyError('E_LINK_CLOSED', 'the connection has ended');
      this.#raw.write(ArrayBuffer.isView(data) ? Buffer.from(data) : String(data));
    }

    pause(): void {
      this.#raw?.pause();
    }

    resume(): void {
      this.#raw?.resume();
    }

    close(): void {
      const raw = this.#raw;
      if (raw === undefined || raw.writableEnded) return;
      raw.end().resume();
      // Not every server closes its side.
      const timer = setTimeout(() => { raw.destroy(); }, LINGER_MS);
      raw.once('close', () => { clearTimeout(timer); });
    }
  };
