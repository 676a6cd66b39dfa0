import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { ProtoflyError, type Clock, type Timer } from '../../../protocol/index.js';
import { decodeStun, encodeStun, type Credentials, type Endpoint, type StunMessage, type StunRequest } from './packet.js';

export interface StunAnswer {
  readonly message: StunMessage;
  readonly rttMs: number;
}

/** Times of the repetitions of an unanswered request, and its timeout, in milliseconds. */
const AGAIN_MS = [250, 750, 1750] as const;
const PATIENCE_MS = 3000;

interface Pending {
  readonly to: Endpoint;
  readonly settle: (message: StunMessage) => void;
}

/** A UDP socket for requests to STUN and TURN servers. */
export class StunSocket {
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #pending = new Map<string, Pending>();
  #failure: Error | undefined;
  #closed = false;

  private constructor(socket: Socket, clock: Clock) {
    this.#socket = socket;
    this.#clock = clock;
    socket.on('message', (packet, { address, port }) => {
      const message = decodeStun(packet);
      const pending = message && this.#pending.get(message.transaction.toString('hex'));
      // Ignore packets from other senders than the server asked.
      if (message === undefined || pending?.to.address !== address || pending.to.port !== port) return;
      pending.settle(message);
    });
    socket.on('error', (error) => { this.#failure = error; });
    socket.unref();
  }

  /** Opens a socket. @throws ProtoflyError `E_PLATFORM` if the system provides none */
  static open(family: 4 | 6, clock: Clock): Promise<StunSocket> {
    return new Promise((resolve, reject) => {
      const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
      const failed = (cause: Error): void => {
        socket.close();
        reject(new ProtoflyError('E_PLATFORM', `no UDP socket: ${cause.message}`, { cause }));
      };
      socket.once('error', failed).bind(0, () => {
        socket.off('error', failed);
        resolve(new StunSocket(socket, clock));
      });
    });
  }

  /** The local port. */
  get port(): number {
    return this.#socket.address().port;
  }

  /**
   * Sends a request, and repeats it until it is answered.
   * @throws ProtoflyError `E_TIMEOUT` without an answer, `E_PLATFORM` if it can't be sent, `E_ABORTED`
   */
  async request(to: Endpoint, request: Omit<StunRequest, 'transaction'>): Promise<StunAnswer> {
    if (this.#closed) throw new ProtoflyError('E_ABORTED', 'the socket is closed');
    const transaction = randomBytes(12);
    const packet = encodeStun({ ...request, transaction });
    const id = transaction.toString('hex');
    const timers: Timer[] = [];
    const started = performance.now();
    try {
      const message = await new Promise<StunMessage>((resolve, reject) => {
        this.#pending.set(id, { to, settle: resolve });
        const send = (): void => {
          if (this.#closed) { reject(new ProtoflyError('E_ABORTED', 'the socket is closed')); return; }
          this.#socket.send(packet, to.port, to.address, (cause) => {
            if (cause !== null) reject(new ProtoflyError('E_PLATFORM', `not sent: ${cause.message}`, { cause }));
          });
        };
        for (const at of AGAIN_MS) timers.push(this.#clock.setTimeout(send, at));
        timers.push(this.#clock.setTimeout(() => {
          reject(new ProtoflyError('E_TIMEOUT', `no answer within ${String(PATIENCE_MS)} ms${this.#failure === undefined ? '' : `: ${this.#failure.message}`}`));
        }, PATIENCE_MS));
        send();
      });
      return { message, rttMs: Math.round((performance.now() - started) * 100) / 100 };
    } finally {
      for (const timer of timers) timer.cancel();
      this.#pending.delete(id);
    }
  }

  /**
   * Requests a relay from a TURN server, and releases it again.
   * @returns the relay's address
   * @throws ProtoflyError `E_UNAUTHENTICATED` if the credentials are rejected, `E_REFUSED`, `E_TIMEOUT`, `E_PLATFORM`
   */
  async allocate(to: Endpoint, { username, password }: Pick<Credentials, 'username' | 'password'>): Promise<{ readonly relayed: Endpoint; readonly rttMs: number }> {
    let { message, rttMs } = await this.request(to, { method: 'allocate' });
    let credentials: Credentials | undefined;
    // An expired nonce is replaced once.
    for (let round = 0; round < 2 && !message.success && message.realm !== undefined && message.nonce !== undefined; round += 1) {
      if (round > 0 && message.error !== 438) break;
      credentials = { username, password, realm: message.realm, nonce: message.nonce };
      ({ message, rttMs } = await this.request(to, { method: 'allocate', credentials }));
    }
    if (!message.success || message.relayed === undefined) {
      const why = `${String(message.error ?? 'no relay')} ${message.reason ?? ''}`.trim();
      throw new ProtoflyError(message.error === 401 ? 'E_UNAUTHENTICATED' : 'E_REFUSED', why);
    }
    // Without this, it would expire in ten minutes.
    if (credentials !== undefined) await this.request(to, { method: 'refresh', lifetime: 0, credentials }).catch(() => undefined);
    return { relayed: message.relayed, rttMs };
  }

  /** Closes the socket. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.close();
  }
}
