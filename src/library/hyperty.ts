import { uaOf, type Client } from '../client/client.js';
import { FileReceiver, FileSender, fileSource, isFileMessage, saveFolder, type SavedFile, type SentFile } from '../client/files/index.js';
import {
  asProtoflyError, expectationOf, parseAddress, ProtoflyError, refuse, respond, systemClock,
  type Address, type Message, type Request, type Response,
} from '../protocol/index.js';
import { PendingResponses } from './answers.js';
import type { ProgramSendQueue } from './outlet.js';
import { receiptOf, type Receipt } from './receipt.js';
import { untilEnd } from './until-end.js';

/** What has come for a hyperty. */
export interface Received {
  readonly value: unknown;
  readonly from: Address;
  /** How it came to this runtime; its sender's receipt says the same. */
  readonly path: 'p2p' | 'msg-node' | 'local';
  /** Of the P2P connection by which it came. */
  readonly generation: number | undefined;
  /** The whole message. */
  readonly message: Request;
}

export interface SendOptions {
  /** `false`: never P2P; `true`: set P2P up for it; `'require'`: refuse when there is no P2P connection. @default as it comes */
  readonly p2p?: boolean | 'require';
  /** Keep it on disk while its receiver is away, at the receiver's domain or here. @default false */
  readonly store?: boolean;
  /** For how long it may be kept, in seconds. @default a week, which is the most */
  readonly ttl?: number;
  /** How long to wait, in milliseconds; where it is said, a message waits as long for a way. @default 30_000 */
  readonly timeoutMs?: number;
}

export interface ReceiveOptions {
  /** Folder for files that are sent to this hyperty; made where it isn't there. @default they are requests like others, for the handler */
  readonly saveFiles?: string;
  /** Is told of each file that has come: whole, checked, in its place. */
  readonly onFile?: (file: SavedFile) => void;
}

export interface SendFileOptions {
  /** What it is to be called. @default its own name */
  readonly name?: string;
  readonly p2p?: SendOptions['p2p'];
  /** How long there may be no progress, in milliseconds. @default 30_000 */
  readonly timeoutMs?: number;
  /** Is told how much the receiver has, in bytes. */
  readonly onProgress?: (sent: number) => void;
  readonly signal?: AbortSignal;
}

export interface HypertyComponents {
  readonly client: Client;
  /** Of all hyperties of the program. */
  readonly outlet: ProgramSendQueue;
  readonly runtime: Address;
  /** What a person types, as an address. */
  readonly find: (typed: string) => Promise<Address>;
}

export interface HypertyInit {
  readonly name: string;
  readonly address: Address;
}

/** How many messages may be under way to this program. */
const WINDOW = 1024;

/**
 * A hyperty as the program that is it sees it: sends, asks, and takes what comes. Messages from one hyperty to
 * another arrive once and in the order in which they were sent.
 */
export class Hyperty {
  readonly name: string;
  readonly address: Address;
  readonly #client: Client;
  readonly #outlet: ProgramSendQueue;
  readonly #runtime: Address;
  readonly #find: HypertyComponents['find'];
  readonly #addresses = new Map<string, Promise<Address>>();
  readonly #answers: PendingResponses;
  readonly #isAwaited = ({ id }: Message): boolean => this.#answers.has(String(id));
  #next = 1;
  #taken = 0;
  #declared = 0;
  #handler: ((received: Received) => unknown) | undefined;
  #files: FileReceiver | undefined;

  constructor({ client, outlet, runtime, find }: HypertyComponents, { name, address }: HypertyInit) {
    this.#client = client;
    this.#outlet = outlet;
    this.#runtime = runtime;
    this.#find = find;
    this.#answers = new PendingResponses({ clock: systemClock, closed: client.closed });
    this.name = name;
    this.address = address;
  }

  /**
   * Takes what comes from now on, and what has waited. What the handler returns, or resolves with, answers a request;
   * what it throws refuses one. While its promise is pending no more than a window of messages is on its way here.
   * @throws ProtoflyError `E_USAGE` for a folder that can't be written
   */
  receive(handler: (received: Received) => unknown, { saveFiles, onFile = () => undefined }: ReceiveOptions = {}): Promise<void> {
    return untilEnd(async () => {
      const before = this.#files;
      this.#files = saveFiles === undefined ? undefined : new FileReceiver({ answer: (response) => { this.#post(response); } }, { folder: await saveFolder(saveFiles), onFile });
      await before?.close();
      const first = this.#handler === undefined;
      this.#handler = handler;
      if (first) await this.#client.ask(uaOf(this.#runtime), 'subscribe', { resource: this.address, value: { window: WINDOW } });
    });
  }

  /**
   * Sends a value and waits for the receipt. Several may be under way at once. A failure ends no program that doesn't
   * wait for it.
   * @throws ProtoflyError as the receiver refuses; `E_TIMEOUT`, `E_NOT_FOUND`, `E_AMBIGUOUS`, `E_LINK_CLOSED`
   */
  send(to: string, value: unknown, options: SendOptions = {}): Promise<Receipt> {
    const started = performance.now();
    return this.#exchange(to, value, 'receipt', options, (response) => receiptOf(response, started));
  }

  /**
   * Sends a value and waits for the answer of the program at the other end. A failure ends no program that doesn't wait
   * for it.
   * @throws ProtoflyError as `send`; `E_UNAVAILABLE` when no program is attached there
   */
  request(to: string, value: unknown, options: SendOptions = {}): Promise<unknown> {
    return this.#exchange(to, value, 'response', options, ({ body }) => body.value);
  }

  /**
   * Sends a file, and resolves when the receiver has checked and kept it. Where an earlier attempt has left a part of
   * it there, it goes on from there.
   * @throws ProtoflyError as `request`; `E_CONFLICT` when the file changes meanwhile, `E_NOT_FOUND` and `E_USAGE` when it can't be read
   */
  sendFile(to: string, path: string, options: SendFileOptions = {}): Promise<SentFile> {
    return untilEnd(() => this.#sendFile(to, path, options));
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
   * Sends a value to a full address and hears nothing of it.
   * @returns a promise while there is congestion: wait for it
   * @throws ProtoflyError `E_LINK_CLOSED`, `E_TOO_LARGE`
   */
  post(to: Address, value: unknown): void | Promise<void> {
    return this.#outlet.send({ id: this.#id(), type: 'create', from: this.address, to, body: { value } });
  }

  /** For the node: a message has come. @internal */
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

  /** For the node: a response to what this hyperty sent. @internal */
  settle(response: Response): void {
    this.#answers.settle(response);
  }

  /** For the node: lets go of files that aren't complete. @internal */
  async close(): Promise<void> {
    await this.#files?.close();
  }

  #exchange<T>(to: string, value: unknown, expect: 'receipt' | 'response', options: SendOptions, read: (response: Response) => T): Promise<T> {
    const address = this.#addressOf(to);
    if (typeof address === 'string') return this.#ask(address, value, expect, options, read);
    const answer: Promise<T> = address.then((found) => this.#ask(found, value, expect, options, read)).catch((thrown: unknown) => {
      // It may live elsewhere by now.
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

  /** What was found once is believed until a message to it fails. */
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

  /** Answers a request; for the rest it is enough to say that it has been taken. */
  #answer(message: Request, outcome: { readonly value: unknown } | ProtoflyError): void {
    if (expectationOf(message) !== 'response') {
      this.#took();
      return;
    }
    // Whoever can't get rid of his answers gets no more questions.
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

  /** Sends an answer. One that is too large for any link is refused in its place; after the end of the link there is nobody to answer. */
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

  /** After the end of the link there is nobody to tell. */
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

/** The one address that is meant. @throws ProtoflyError `E_AMBIGUOUS` */
export const onlyOne = (typed: string, addresses: readonly Address[]): Address => {
  const [first, ...others] = addresses;
  if (first !== undefined && others.length === 0) return first;
  throw new ProtoflyError('E_AMBIGUOUS', `${typed} can mean ${addresses.join(', ')}`);
};
