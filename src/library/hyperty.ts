import { uaOf, type Client } from '../client/client.js';
import { FileReceiver, FileSender, fileSource, isFileMessage, saveFolder, type SavedFile, type SentFile } from '../client/files/index.js';
import {
  asProtoflyError, expectationOf, parseAddress, ProtoflyError, refuse, respond, systemClock,
  type Address, type Message, type Request, type Response,
} from '../protocol/index.js';
import { PendingResponses } from './pending-responses.js';
import type { ProgramSendQueue } from './send-queue.js';
import { receiptOf, type Receipt } from './receipt.js';
import type { UntilEnd } from './until-end.js';

/** A message received by a hyperty. */
export interface Received {
  readonly value: unknown;
  readonly from: Address;
  /** The path by which it came to this runtime. The sender's receipt says the same. */
  readonly path: 'p2p' | 'msg-node' | 'local';
  /** Generation of the P2P connection by which it came. */
  readonly generation: number | undefined;
  /** The complete message. */
  readonly message: Request;
}

export interface SendOptions {
  /**
   * `false`: never P2P. `true`: set up P2P for it. `'require'`: fail without a P2P connection.
   * @default the current route
   */
  readonly p2p?: boolean | 'require';
  /** True to store the message while its receiver is away, at the receiver's domain or here. @default false */
  readonly store?: boolean;
  /** Longest time in storage, in seconds. @default a week, which is the maximum */
  readonly ttl?: number;
  /** Timeout in milliseconds. If given, the message also waits that long for a route. @default 30_000 */
  readonly timeoutMs?: number;
}

export interface ReceiveOptions {
  /**
   * Folder for files sent to this hyperty, created if missing.
   * @default none: the handler gets their messages like other requests
   */
  readonly saveFiles?: string;
  /** Called for each file received: complete, checked and at its final path. */
  readonly onFile?: (file: SavedFile) => void;
}

export interface SendFileOptions {
  /** The name to send. @default the file's own name */
  readonly name?: string;
  /** As in `SendOptions`. @default the current route */
  readonly p2p?: SendOptions['p2p'];
  /** Longest time without progress, in milliseconds. @default 30_000 */
  readonly timeoutMs?: number;
  /** Called with the number of bytes that the receiver has. */
  readonly onProgress?: (sent: number) => void;
  /** Aborts the transfer. The receiver keeps its part for a later attempt. @default none */
  readonly signal?: AbortSignal;
}

export interface HypertyComponents {
  readonly client: Client;
  /** The send queue shared by all hyperties of the program. */
  readonly outlet: ProgramSendQueue;
  readonly runtime: Address;
  /** Resolves user input to an address. */
  readonly find: (typed: string) => Promise<Address>;
  readonly untilEnd: UntilEnd;
}

export interface HypertyInit {
  readonly name: string;
  readonly address: Address;
}

/** Maximum number of messages in flight to this program. */
const WINDOW = 1024;

/**
 * A hyperty, as seen by its own program: sends, requests and receives messages. Messages from one hyperty to another
 * arrive exactly once, in the order in which they were sent.
 */
export class Hyperty {
  readonly name: string;
  readonly address: Address;
  readonly #client: Client;
  readonly #outlet: ProgramSendQueue;
  readonly #runtime: Address;
  readonly #find: HypertyComponents['find'];
  readonly #untilEnd: UntilEnd;
  readonly #addresses = new Map<string, Promise<Address>>();
  readonly #answers: PendingResponses;
  readonly #isAwaited = ({ id }: Message): boolean => this.#answers.has(String(id));
  #next = 1;
  #taken = 0;
  #declared = 0;
  #handler: ((received: Received) => unknown) | undefined;
  #files: FileReceiver | undefined;

  constructor({ client, outlet, runtime, find, untilEnd }: HypertyComponents, { name, address }: HypertyInit) {
    this.#client = client;
    this.#outlet = outlet;
    this.#untilEnd = untilEnd;
    this.#runtime = runtime;
    this.#find = find;
    this.#answers = new PendingResponses({ clock: systemClock, closed: client.closed });
    this.name = name;
    this.address = address;
  }

  /**
   * Starts receiving, including messages already in the inbox. The handler's result, or the value its promise
   * resolves with, answers a request; an error refuses it. While handlers are pending, at most a window of messages
   * is in flight to this program.
   * @throws ProtoflyError `E_USAGE` for a folder that can't be written
   */
  receive(handler: (received: Received) => unknown, { saveFiles, onFile = () => undefined }: ReceiveOptions = {}): Promise<void> {
    return this.#untilEnd.run(async () => {
      const before = this.#files;
      this.#files = saveFiles === undefined ? undefined : new FileReceiver({ answer: (response) => { this.#post(response); } }, { folder: await saveFolder(saveFiles), onFile });
      await before?.close();
      const first = this.#handler === undefined;
      this.#handler = handler;
      if (first) await this.#client.ask(uaOf(this.#runtime), 'subscribe', { resource: this.address, value: { window: WINDOW } });
    });
  }

  /**
   * Sends a value and waits for the receipt. Several may be in flight. If the promise is ignored, its rejection
   * doesn't end the program.
   * @throws ProtoflyError the receiver's refusal, `E_TIMEOUT`, `E_NOT_FOUND`, `E_AMBIGUOUS`, `E_LINK_CLOSED`
   */
  send(to: string, value: unknown, options: SendOptions = {}): Promise<Receipt> {
    const started = performance.now();
    return this.#exchange(to, value, 'receipt', options, (response) => receiptOf(response, started));
  }

  /**
   * Sends a value and waits for the response of the receiving program. If the promise is ignored, its rejection
   * doesn't end the program.
   * @throws ProtoflyError as `send`; `E_UNAVAILABLE` if no program is attached to the receiver
   */
  request(to: string, value: unknown, options: SendOptions = {}): Promise<unknown> {
    return this.#exchange(to, value, 'response', options, ({ body }) => body.value);
  }

  /**
   * Sends a file. Resolves when the receiver has checked and saved it. Continues from the part that an earlier
   * attempt has left at the receiver.
   * @throws ProtoflyError as `request`; `E_CONFLICT` if the file changes while it is sent, `E_NOT_FOUND` and
   * `E_USAGE` if it can't be read
   */
  sendFile(to: string, path: string, options: SendFileOptions = {}): Promise<SentFile> {
    return this.#untilEnd.run(() => this.#sendFile(to, path, options));
  }

  async #sendFile(to: string, path: string, { name, p2p, timeoutMs = 30_000, onProgress, signal }: SendFileOptions): Promise<SentFile> {
    const address = await this.#addressOf(to);
    const source = await fileSource(path, { name, signal });
    const request = (value: unknown, waitMs: number): Promise<Response> =>
      this.#client.request(address, 'create', { value, expect: 'response', ...(p2p === undefined ? {} : { p2p }) }, { from: this.address, timeoutMs: waitMs });
    try {
      return await new FileSender({ source, request }, { timeoutMs, onProgress, signal }).send();
    } finally {
      await source.close();
    }
  }

  /**
   * Sends a value to a full address, without receipt or response.
   * @returns a promise while there is backpressure: await it
   * @throws ProtoflyError `E_LINK_CLOSED`, `E_TOO_LARGE`
   */
  post(to: Address, value: unknown): void | Promise<void> {
    return this.#outlet.send({ id: this.#id(), type: 'create', from: this.address, to, body: { value } });
  }

  /** Takes a message from the node. @internal */
  accept(message: Request): void | Promise<void> {
    const handler = this.#handler;
    if (handler === undefined) return undefined;
    if (this.#files !== undefined && isFileMessage(message)) return this.#files.take(message, this.address).then(() => { this.#took(); });
    let result: unknown;
    try {
      const { value, path, generation } = message.body as { readonly value?: unknown } & Pick<Received, 'path' | 'generation'>;
      result = handler({ value, from: message.from, path, generation, message });
    } catch (thrown) {
      this.#answer(message, asProtoflyError(thrown));
      return undefined;
    }
    if (!(result instanceof Promise)) {
      this.#answer(message, { value: result });
      return undefined;
    }
    return result.then(
      (value: unknown) => { this.#answer(message, { value }); },
      (thrown: unknown) => { this.#answer(message, asProtoflyError(thrown)); },
    );
  }

  /** Takes a response to a message of this hyperty from the node. @internal */
  settle(response: Response): void {
    this.#answers.settle(response);
  }

  /** Closes incomplete files, for the node. @internal */
  async close(): Promise<void> {
    await this.#files?.close();
  }

  #exchange<T>(to: string, value: unknown, expect: 'receipt' | 'response', options: SendOptions, read: (response: Response) => T): Promise<T> {
    const address = this.#addressOf(to);
    if (typeof address === 'string') return this.#ask(address, value, expect, options, read);
    const answer: Promise<T> = address.then((found) => this.#ask(found, value, expect, options, read)).catch((thrown: unknown) => {
      // The hyperty may have moved to another address.
      this.#addresses.delete(to);
      answer.catch(() => undefined);
      throw thrown;
    });
    return answer;
  }

  #ask<T>(to: Address, value: unknown, expect: 'receipt' | 'response', { p2p, store, ttl, timeoutMs }: SendOptions, read: (response: Response) => T): Promise<T> {
    const id = this.#id();
    const wishes = { ...(p2p === undefined ? {} : { p2p }), ...(store === undefined ? {} : { store }), ...(ttl === undefined ? {} : { ttl }), ...(timeoutMs === undefined ? {} : { timeout: timeoutMs }) };
    const answer = this.#answers.wait(id, { from: to, timeoutMs: timeoutMs ?? 30_000 }, read);
    const notSent = (thrown: unknown): void => { this.#answers.fail(id, asProtoflyError(thrown)); };
    try {
      this.#outlet.send({ id, type: 'create', from: this.address, to, body: { value, expect, ...wishes } }, this.#isAwaited)?.catch(notSent);
    } catch (thrown) {
      notSent(thrown);
    }
    return answer;
  }

  /** Resolves user input to an address. The result is cached until a message to it fails. */
  #addressOf(typed: string): Address | Promise<Address> {
    if (typed.includes('://')) return this.#parse(typed);
    const known = this.#addresses.get(typed);
    if (known !== undefined) return known;
    const found = this.#find(typed);
    this.#addresses.set(typed, found);
    found.catch(() => this.#addresses.delete(typed));
    return found;
  }

  #parse(typed: string): Address | Promise<Address> {
    try {
      return parseAddress(typed);
    } catch (thrown) {
      return Promise.reject(asProtoflyError(thrown));
    }
  }

  /** Answers a request. Other messages only count as taken. */
  #answer(message: Request, outcome: { readonly value: unknown } | ProtoflyError): void {
    if (expectationOf(message) !== 'response') {
      this.#took();
      return;
    }
    // A request counts as taken only once its response is sent. So backpressure on responses also limits requests.
    const backpressure = this.#reply(outcome instanceof ProtoflyError ? refuse(message, outcome, this.address) : respond(message, 200, outcome, this.address));
    if (backpressure === undefined) this.#took();
    else void backpressure.then(() => { this.#took(); });
  }

  #took(): void {
    this.#taken += 1;
    if (this.#declared === 0) queueMicrotask(() => { this.#declare(); });
    this.#declared += 1;
  }

  #declare(): void {
    this.#declared = 0;
    this.#post({ id: this.#id(), type: 'update', from: this.#client.address, to: uaOf(this.#runtime), body: { resource: this.address, value: { taken: this.#taken } } });
  }

  /** Sends a response. Replaces one that is too large for any link by a refusal. Ignores a closed link. */
  #reply(response: Response): void | Promise<void> {
    const failed = (thrown: unknown): void => {
      const error = asProtoflyError(thrown);
      if (error.code !== 'E_LINK_CLOSED') this.#post({ ...response, body: { code: error.status, description: error.message, error: error.code } });
    };
    try {
      return this.#outlet.send(response)?.catch(failed);
    } catch (thrown) {
      failed(thrown);
      return undefined;
    }
  }

  /** Posts a message. Ignores a closed link. */
  #post(message: Message): void {
    try {
      void this.#client.post(message);
    } catch (thrown) {
      if (asProtoflyError(thrown).code !== 'E_LINK_CLOSED') throw thrown;
    }
  }

  #id(): string {
    return `${this.#client.idPrefix}:${this.name}:${String(this.#next++)}`;
  }
}

/** Returns the only address. @throws ProtoflyError `E_AMBIGUOUS` if there are several */
export const onlyOne = (typed: string, addresses: readonly Address[]): Address => {
  const [first, ...others] = addresses;
  if (first !== undefined && others.length === 0) return first;
  throw new ProtoflyError('E_AMBIGUOUS', `${typed} can mean ${addresses.join(', ')}`);
};
