import { connectSocket } from '../link/socket/connect.js';
import type { Link, LinkEnd } from '../link/link.js';
import {
  child, isProvisional, isResponse, isSuccess, parseAddress, ProtoflyError, responseError, SESSION, systemClock, UNNAMED_CLIENT,
  type Address, type Body, type Clock, type Message, type Backpressure, type Request, type RequestType, type Response,
} from '../protocol/index.js';
import type { Session } from './documents.js';

export interface ClientComponents {
  readonly link: Link<Message>;
  /** @default the system's */
  readonly clock?: Clock;
}

export interface ClientInit {
  /** What is at the other end, in words, for errors. @default 'the runtime' */
  readonly name?: string;
  /** How long an answer may take, in milliseconds. @default 10_000 */
  readonly timeoutMs?: number;
  /** Ends every wait. */
  readonly signal?: AbortSignal;
  /** What the ids begin with; no other program may use it. It needn't be secret. @default random */
  readonly idPrefix?: string;
}

export interface AskOptions {
  readonly timeoutMs?: number;
  readonly from?: Address;
  readonly onProvisional?: (response: Response) => void;
}

interface Pending {
  readonly settle: (response: Response) => void;
  readonly fail: (error: ProtoflyError) => void;
}

/** Not from `node:crypto`: loading that would cost every command some milliseconds. */
const randomPrefix = (): string => Math.random().toString(36).slice(2, 8) + Math.random().toString(36).slice(2, 8);

/**
 * One program's conversation with a daemon over its socket (docs/control.md): requests with their answers, and
 * whatever else comes. Every wait ends with the link, the signal or its time.
 */
export class Client {
  readonly #link: Link<Message>;
  readonly #clock: Clock;
  readonly #name: string;
  readonly #timeoutMs: number;
  readonly #signal: AbortSignal | undefined;
  readonly #prefix: string;
  readonly #pending = new Map<Message['id'], Pending>();
  /** Who waits for something that isn't an answer, to be told of the end. */
  readonly #waiting = new Set<(error: unknown) => void>();
  #next = 1;
  #end: LinkEnd | undefined;
  #address: Address = UNNAMED_CLIENT;
  #onResponse: ((response: Response) => void) | undefined;
  #onMessage: ((message: Request) => Backpressure) | undefined;

  constructor({ link, clock = systemClock }: ClientComponents, { name = 'the runtime', timeoutMs = 10_000, signal, idPrefix = randomPrefix() }: ClientInit = {}) {
    this.#prefix = idPrefix;
    this.#link = link;
    this.#clock = clock;
    this.#name = name;
    this.#timeoutMs = timeoutMs;
    this.#signal = signal;
    link.receive((message) => this.#receive(message));
    void link.closed.then((end) => { this.#ended(end); });
  }

  /**
   * Connects and opens the session.
   * @throws ProtoflyError `E_NOT_RUNNING`, or what the daemon refuses with
   */
  static async connect(path: string, init: ClientInit & { readonly hint?: string } = {}): Promise<{ client: Client; session: Session }> {
    const link = await connectSocket(path, { name: 'control', ...(init.signal === undefined ? {} : { signal: init.signal }) }).catch((cause: unknown) => {
      init.signal?.throwIfAborted();
      if (!(cause instanceof ProtoflyError) || cause.code !== 'E_NOT_RUNNING') throw cause;
      throw new ProtoflyError('E_NOT_RUNNING', `${init.name ?? 'the runtime'} is not running`, { cause, ...(init.hint === undefined ? {} : { hint: init.hint }) });
    });
    return Client.open(link, init);
  }

  /** Opens the session over a link. @throws ProtoflyError what the daemon refuses with */
  static async open(link: Link<Message>, init: ClientInit = {}): Promise<{ client: Client; session: Session }> {
    const client = new Client({ link }, init);
    try {
      return { client, session: await client.#open() };
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /** What this program is called on the bus. */
  get address(): Address {
    return this.#address;
  }

  get closed(): Promise<LinkEnd> {
    return this.#link.closed;
  }

  /** A part of ids that no other program uses. */
  get idPrefix(): string {
    return this.#prefix;
  }

  /** Takes the responses to what was sent by `post`; a receipt may be for many (`idsOf`). One at a time. */
  onResponse(listener: (response: Response) => void): void {
    this.#onResponse = listener;
  }

  /** Takes the messages that aren't responses. One at a time; while its promise is pending nothing more is read. */
  onMessage(listener: (message: Request) => Backpressure): void {
    this.#onMessage = listener;
  }

  /** Sends without waiting for an answer. @throws ProtoflyError `E_LINK_CLOSED`, `E_TOO_LARGE` */
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

  /** Like `request`, for callers to whom only success is a result. @throws ProtoflyError that stands for the code */
  async ask(to: Address, type: RequestType, body: Body, options?: AskOptions): Promise<Response> {
    const response = await this.request(to, type, body, options);
    if (!isSuccess(response)) throw responseError(response);
    return response;
  }

  /** Waits for something that isn't an answer. @throws ProtoflyError `E_TIMEOUT`, `E_LINK_CLOSED`, or the signal's reason */
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

  /** Idempotent. What was sent before is given to the daemon first. */
  close(): Promise<void> {
    return this.#link.close('the program is done');
  }

  async #open(): Promise<Session> {
    const { value } = (await this.ask(SESSION, 'open', { value: { receipts: 'many' } }, { from: UNNAMED_CLIENT })).body;
    if (typeof value !== 'object' || value === null) throw new ProtoflyError('E_UNREACHABLE', `${this.#name} doesn't speak this version's language`, { hint: 'stop it and start it again' });
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
