import { connectSocket } from '../link/socket/connect.js';
import type { Link, LinkEnd } from '../link/link.js';
import {
  child, isProvisional, isResponse, isSuccess, parseAddress, ProtoflyError, responseError, SESSION, systemClock, UNNAMED_CLIENT,
  type Address, type Body, type Clock, type Message, type Backpressure, type Request, type RequestType, type Response,
} from '../protocol/index.js';
import type { Session } from './documents.js';
import { readToken } from './token.js';

export interface ClientComponents {
  readonly link: Link<Message>;
  /** @default the system clock */
  readonly clock?: Clock;
}

export interface ClientInit {
  /** Name of the other end, for error messages. @default 'the runtime' */
  readonly name?: string;
  /** Timeout of each response, in milliseconds. @default 10_000 */
  readonly timeoutMs?: number;
  /** Aborts every wait. @default none */
  readonly signal?: AbortSignal;
  /** Path of the control socket to which the link leads, whose token is sent. @default none, for links within this process */
  readonly socket?: string;
}

export interface AskOptions {
  /** Timeout, in milliseconds. @default the client's */
  readonly timeoutMs?: number;
  /** The sender. @default the program's own address */
  readonly from?: Address;
  /** Called for each 1xx response. */
  readonly onProvisional?: (response: Response) => void;
}

interface Pending {
  readonly settle: (response: Response) => void;
  readonly fail: (error: ProtoflyError) => void;
}

/** Returns a random prefix. Doesn't use `node:crypto`: loading it would cost every command some milliseconds. */
const randomPrefix = (): string => Math.random().toString(36).slice(2, 8) + Math.random().toString(36).slice(2, 8);

/**
 * The conversation of one program with a daemon over its socket (docs/control.md): requests, their responses, and
 * other incoming messages. Every wait ends with the link, the signal or its timeout.
 */
export class Client {
  readonly #link: Link<Message>;
  readonly #clock: Clock;
  readonly #name: string;
  readonly #timeoutMs: number;
  readonly #signal: AbortSignal | undefined;
  readonly #prefix: string;
  readonly #pending = new Map<Message['id'], Pending>();
  /** Callbacks of waits for something other than a response. They are called when the link ends. */
  readonly #waiting = new Set<(error: unknown) => void>();
  #next = 1;
  #end: LinkEnd | undefined;
  #address: Address = UNNAMED_CLIENT;
  #onResponse: ((response: Response) => void) | undefined;
  #onMessage: ((message: Request) => Backpressure) | undefined;

  constructor({ link, clock = systemClock }: ClientComponents, { name = 'the runtime', timeoutMs = 10_000, signal }: ClientInit = {}) {
    this.#prefix = randomPrefix();
    this.#link = link;
    this.#clock = clock;
    this.#name = name;
    this.#timeoutMs = timeoutMs;
    this.#signal = signal;
    link.receive((message) => this.#receive(message));
    void link.closed.then((end) => { this.#ended(end); });
  }

  /**
   * Connects and opens the session with the daemon's token.
   * @throws ProtoflyError `E_NOT_RUNNING`, or the daemon's refusal
   */
  static async connect(path: string, init: ClientInit & { readonly hint?: string } = {}): Promise<{ client: Client; session: Session }> {
    const link = await connectSocket(path, { name: 'control', ...(init.signal === undefined ? {} : { signal: init.signal }) }).catch((cause: unknown) => {
      init.signal?.throwIfAborted();
      if (!(cause instanceof ProtoflyError) || cause.code !== 'E_NOT_RUNNING') throw cause;
      throw new ProtoflyError('E_NOT_RUNNING', `${init.name ?? 'the runtime'} is not running`, { cause, ...(init.hint === undefined ? {} : { hint: init.hint }) });
    });
    return Client.open(link, { ...init, socket: path });
  }

  /** Opens the session over a link. @throws ProtoflyError `E_REFUSED` if the token can't be read, or the daemon's refusal */
  static async open(link: Link<Message>, init: ClientInit = {}): Promise<{ client: Client; session: Session }> {
    const client = new Client({ link }, init);
    try {
      return { client, session: await client.#open(init.socket === undefined ? undefined : readToken(init.socket)) };
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /** The address of this program on the bus. */
  get address(): Address {
    return this.#address;
  }

  get closed(): Promise<LinkEnd> {
    return this.#link.closed;
  }

  /** A prefix for ids that no other program uses. */
  get idPrefix(): string {
    return this.#prefix;
  }

  /**
   * Sets the listener for responses to messages sent by `post`. A receipt may stand for many messages (`idsOf`).
   * Replaces the previous listener.
   */
  onResponse(listener: (response: Response) => void): void {
    this.#onResponse = listener;
  }

  /**
   * Sets the listener for all messages except responses. While its promise is pending, nothing more is read. Replaces
   * the previous listener.
   */
  onMessage(listener: (message: Request) => Backpressure): void {
    this.#onMessage = listener;
  }

  /** Sends without waiting for a response. @throws ProtoflyError `E_LINK_CLOSED`, `E_TOO_LARGE` */
  post(message: Message): Backpressure {
    if (this.#end !== undefined) throw this.#gone(this.#end);
    return this.#link.send(message);
  }

  /**
   * Sends a request and waits for its final response, whatever its code.
   * @throws ProtoflyError `E_TIMEOUT`, `E_LINK_CLOSED`, `E_TOO_LARGE`, or the signal's reason
   */
  async request(to: Address, type: RequestType, body: Body, { timeoutMs = this.#timeoutMs, from = this.#address, onProvisional }: AskOptions = {}): Promise<Response> {
    this.#signal?.throwIfAborted();
    const id = `${this.#prefix}.${String(this.#next++)}`;
    let stop = (): void => undefined;
    try {
      return await new Promise<Response>((resolve, reject) => {
        const fail = (error: unknown): void => { reject(error as Error); };
        const onAbort = (): void => { fail(this.#signal?.reason); };
        const timer = this.#clock.setTimeout(() => { fail(new ProtoflyError('E_TIMEOUT', `no answer from ${this.#name} within ${String(timeoutMs)} ms`, { hint: 'give it longer with --timeout' })); }, timeoutMs);
        this.#signal?.addEventListener('abort', onAbort);
        stop = () => {
          timer.cancel();
          this.#signal?.removeEventListener('abort', onAbort);
          this.#pending.delete(id);
        };
        const settle = (response: Response): void => { if (isProvisional(response)) onProvisional?.(response); else resolve(response); };
        this.#pending.set(id, { settle, fail });
        void this.post({ id, type, from, to, body });
      });
    } finally {
      stop();
    }
  }

  /** Like `request`, but throws unless the response is a success. @throws ProtoflyError for the response's code */
  async ask(to: Address, type: RequestType, body: Body, options?: AskOptions): Promise<Response> {
    const response = await this.request(to, type, body, options);
    if (!isSuccess(response)) throw responseError(response);
    return response;
  }

  /**
   * Waits for something other than a response.
   * @throws ProtoflyError `E_TIMEOUT`, `E_LINK_CLOSED`, or the signal's reason
   */
  async until<T>(what: Promise<T>, timeoutMs?: number): Promise<T> {
    let stop = (): void => undefined;
    const ended = new Promise<never>((_, reject) => {
      const fail = (error: unknown): void => { reject(error as Error); };
      const onAbort = (): void => { fail(this.#signal?.reason); };
      if (this.#signal?.aborted === true) onAbort();
      this.#signal?.addEventListener('abort', onAbort);
      const timer = timeoutMs === undefined ? undefined : this.#clock.setTimeout(() => { fail(new ProtoflyError('E_TIMEOUT', `the time is up: ${String(timeoutMs)} ms`)); }, timeoutMs);
      stop = () => {
        this.#waiting.delete(fail);
        this.#signal?.removeEventListener('abort', onAbort);
        timer?.cancel();
      };
      if (this.#end !== undefined) fail(this.#gone(this.#end));
      this.#waiting.add(fail);
    });
    try {
      return await Promise.race([what, ended]);
    } finally {
      stop();
    }
  }

  /** Closes the link after everything sent so far was handed to the daemon. Idempotent. */
  close(): Promise<void> {
    return this.#link.close('the program is done');
  }

  async #open(token: string | undefined): Promise<Session> {
    const { value } = (await this.ask(SESSION, 'open', { value: { receipts: 'many', ...(token === undefined ? {} : { token }) } }, { from: UNNAMED_CLIENT })).body;
    if (typeof value !== 'object' || value === null) throw new ProtoflyError('E_UNREACHABLE', `${this.#name} is of another version, and can't be talked to`, { hint: 'stop it and start it again' });
    const session = value as Partial<Session>;
    if (session.address !== undefined) this.#address = parseAddress(session.address);
    return session as Session;
  }

  #receive(message: Message): Backpressure {
    if (!isResponse(message)) return this.#onMessage?.(message);
    const pending = this.#pending.get(message.id);
    if (pending === undefined) this.#onResponse?.(message);
    else pending.settle(message);
    return undefined;
  }

  #ended(end: LinkEnd): void {
    this.#end = end;
    for (const { fail } of [...this.#pending.values()]) fail(this.#gone(end));
    for (const fail of [...this.#waiting]) fail(this.#gone(end));
  }

  #gone({ reason }: LinkEnd): ProtoflyError {
    return new ProtoflyError('E_LINK_CLOSED', `${this.#name} has gone${reason === '' ? '' : `: ${reason}`}`);
  }
}

export const uaOf = (runtime: Address): Address => child(runtime, 'ua');
export const registryOf = (runtime: Address): Address => child(runtime, 'registry');
