import {
  asProtoflyError, isProvisional, isResponse, isSuccess, combinedBackpressure, ProtoflyError, recipientsOf, refuse, respond, responseError,
  type Address, type Clock, type Message, type Request, type Backpressure, type Response,
} from '../protocol/index.js';
import { Listeners, type Entry, type Listener, type Origin } from './listeners.js';

/**
 * Finds a route to an address that has no local listener. `resolve` must settle in bounded time: until then, later
 * messages to the same address queue up behind it.
 * @throws ProtoflyError whose code and text are returned to the sender
 */
export interface Resolver {
  resolve(message: Message, to: Address, origin: Origin | undefined): Listener | Promise<Listener>;
}

export interface BusComponents {
  readonly clock: Clock;
}

export interface BusInit {
  /** Id of the first request made by this bus. Ids must not repeat after a restart. @default 1 */
  readonly firstId?: number;
  /** Timeout of `request`, in milliseconds. @default 10_000 */
  readonly timeoutMs?: number;
  /** The maximum number of messages queued for one address while it is being resolved. @default 10_000 */
  readonly maxWaiting?: number;
  /**
   * Called for each dropped message: an unexpected response, or an error response with no route back. Must not throw.
   */
  readonly onDrop?: (message: Message, why: string) => void;
}

export interface RequestOptions {
  /** Timeout, in milliseconds. @default the bus's */
  readonly timeoutMs?: number;
  /** Aborts the wait. @default none */
  readonly signal?: AbortSignal;
  /** Called for each 1xx response. If it throws, the request fails with that error. */
  readonly onProvisional?: (response: Response) => void;
  /** The origin of the request. The message is never delivered back to it. @default the bus's owner */
  readonly origin?: Origin;
}

interface Posted {
  readonly message: Message;
  readonly origin: Origin | undefined;
}

/** The messages queued for one address while a route for an earlier message is being found, in order. */
interface Waiting {
  readonly queue: Posted[];
  /** Settles when the queue is empty again. */
  released: Promise<void>;
}

interface Pending {
  readonly asked: readonly Address[];
  readonly settle: (response: Response) => void;
}

const nothing = (): void => undefined;

/**
 * The message bus. Delivers a message to the listeners of its address, else to the nearest listener above it. If there
 * is none, it asks the resolver. Messages from one sender to one address keep the order in which they were
 * posted. The cost of a delivery doesn't depend on the number of listeners.
 */
export class MessageBus {
  readonly #clock: Clock;
  #resolver: Resolver | undefined;
  readonly #timeoutMs: number;
  readonly #maxWaiting: number;
  readonly #onDrop: (message: Message, why: string) => void;
  readonly #listeners = new Listeners();
  readonly #pending = new Map<string, Pending>();
  readonly #waiting = new Map<string, Waiting>();
  #nextId: number;
  #dropped = 0;

  constructor({ clock }: BusComponents, init: BusInit = {}) {
    this.#clock = clock;
    this.#nextId = init.firstId ?? 1;
    this.#timeoutMs = init.timeoutMs ?? 10_000;
    this.#maxWaiting = init.maxWaiting ?? 10_000;
    this.#onDrop = init.onDrop ?? nothing;
  }

  /** Sets the resolver, which itself may need the bus. Until then, nobody is found elsewhere. */
  resolveBy(resolver: Resolver): void {
    this.#resolver = resolver;
  }

  /** The number of messages dropped so far. */
  get dropped(): number {
    return this.#dropped;
  }

  /**
   * Adds a listener for exactly `address`. Several listeners of one address each get every message.
   * @param owner the link behind the listener; messages from that link are not delivered to it
   * @returns a function that removes the listener; idempotent
   */
  addListener(address: Address, listener: Listener, owner?: Origin): () => void {
    return this.#listeners.add(address, { listener, owner });
  }

  /**
   * Adds a listener for `ancestor` and every address below it that has no nearer listener. One address has at most
   * one.
   * @throws ProtoflyError `E_CONFLICT` if there is one already
   */
  addSubtreeListener(ancestor: Address, listener: Listener, owner?: Origin): () => void {
    return this.#listeners.addSubtree(ancestor, { listener, owner });
  }

  /** True if a message to `address` would be delivered without asking the resolver. */
  isLocal(address: Address): boolean {
    return this.#listeners.find(address, undefined) !== undefined;
  }

  /**
   * Delivers a message. Never throws: failures are answered to the sender.
   * @param origin the link or component that the message came from; the message is not sent back there
   */
  post(message: Message, origin?: Origin): Backpressure {
    if (typeof message.to === 'string') return this.#deliver(message, message.to, origin);
    return combinedBackpressure(recipientsOf(message).map((to) => this.#deliver({ ...message, to } as Message, to, origin)));
  }

  /**
   * Sends a request and waits for its final response.
   * @returns the response, whatever its code; for a list of recipients, the first response
   * @throws ProtoflyError `E_ABORTED`. A timeout doesn't throw: it returns a 408 response from this bus
   */
  request(request: Omit<Request, 'id'>, options: RequestOptions = {}): Promise<Response> {
    const id = this.#nextId++;
    const message: Request = { ...request, id };
    const key = keyOf(request.from, id);
    return new Promise<Response>((resolve, reject) => {
      const { signal, timeoutMs = this.#timeoutMs } = options;
      const givenUp = (): ProtoflyError => new ProtoflyError('E_ABORTED', `the request to ${nameOf(message)} was given up`, { cause: signal?.reason });
      if (signal?.aborted === true) { reject(givenUp()); return; }
      const end = (): void => {
        this.#pending.delete(key);
        timer.cancel();
        signal?.removeEventListener('abort', abort);
      };
      const abort = (): void => {
        end();
        reject(givenUp());
      };
      signal?.addEventListener('abort', abort);
      const timer = this.#clock.setTimeout(() => {
        end();
        resolve(respond(message, 408, { description: `no answer from ${nameOf(message)} within ${String(timeoutMs)} ms`, error: 'E_TIMEOUT' }));
      }, timeoutMs);
      this.#pending.set(key, {
        asked: recipientsOf(message),
        settle: (response) => {
          if (!isProvisional(response)) {
            end();
            resolve(response);
            return;
          }
          try {
            options.onProvisional?.(response);
          } catch (thrown) {
            end();
            reject(asProtoflyError(thrown));
          }
        },
      });
      void this.post(message, options.origin);
    });
  }

  /** Like `request`, but throws unless the response is a success. @throws ProtoflyError for the response's code */
  async ask(request: Omit<Request, 'id'>, options: RequestOptions = {}): Promise<Response> {
    const response = await this.request(request, options);
    if (!isSuccess(response)) throw responseError(response);
    return response;
  }

  #deliver(message: Message, to: Address, origin: Origin | undefined): Backpressure {
    if (isResponse(message) && this.#settle(message)) return undefined;
    const waiting = this.#waiting.get(to);
    if (waiting !== undefined) return this.#wait(waiting, message, origin);
    const entries = this.#listeners.find(to, origin);
    return entries === undefined ? this.#resolve(message, to, origin) : this.#handAll(entries, message, origin);
  }

  #handAll(entries: readonly Entry[], message: Message, origin: Origin | undefined): Backpressure {
    if (entries.length === 1) return this.#hand(entries[0]!.listener, message, origin);
    return combinedBackpressure(entries.map((entry) => this.#hand(entry.listener, message, origin)));
  }

  #settle(response: Response): boolean {
    const pending = this.#pending.get(keyOf(response.to, response.id));
    if (pending === undefined || !pending.asked.includes(response.from)) return false;
    pending.settle(response);
    return true;
  }

  #hand(listener: Listener, message: Message, origin: Origin | undefined): Backpressure {
    try {
      return listener(message, origin)?.then(nothing, (thrown: unknown) => { this.#refuse(message, asProtoflyError(thrown)); });
    } catch (thrown) {
      this.#refuse(message, asProtoflyError(thrown));
      return undefined;
    }
  }

  #resolve(message: Message, to: Address, origin: Origin | undefined): Backpressure {
    try {
      const found = this.#askResolver(message, to, origin);
      if (typeof found === 'function') return this.#hand(found, message, origin);
      const waiting: Waiting = { queue: [], released: Promise.resolve() };
      this.#waiting.set(to, waiting);
      waiting.released = this.#release(to, waiting, { message, origin }, found);
      return waiting.released;
    } catch (thrown) {
      this.#refuse(message, asProtoflyError(thrown));
      return undefined;
    }
  }

  #askResolver(message: Message, to: Address, origin: Origin | undefined): Listener | Promise<Listener> {
    if (this.#resolver === undefined) throw new ProtoflyError('E_NOT_FOUND', `nobody has the address ${to}`);
    return this.#resolver.resolve(message, to, origin);
  }

  /**
   * Delivers the first message once its route is found, then the queued messages one by one, each by its own route.
   * Until the queue is empty, all messages to that address go through it. This preserves their order.
   */
  async #release(to: Address, { queue }: Waiting, first: Posted, found: Promise<Listener>): Promise<void> {
    await this.#handWhenFound(found, first);
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      const { message, origin } = next;
      const entries = this.#listeners.find(to, origin);
      const backpressure = entries === undefined ? this.#resolveInTurn(next, to) : this.#handAll(entries, message, origin);
      if (backpressure !== undefined) await backpressure;
    }
    this.#waiting.delete(to);
  }

  #resolveInTurn(posted: Posted, to: Address): Backpressure {
    try {
      const found = this.#askResolver(posted.message, to, posted.origin);
      return typeof found === 'function' ? this.#hand(found, posted.message, posted.origin) : this.#handWhenFound(found, posted);
    } catch (thrown) {
      this.#refuse(posted.message, asProtoflyError(thrown));
      return undefined;
    }
  }

  async #handWhenFound(found: Promise<Listener>, { message, origin }: Posted): Promise<void> {
    let listener: Listener;
    try {
      listener = await found;
    } catch (thrown) {
      this.#refuse(message, asProtoflyError(thrown));
      return;
    }
    await this.#hand(listener, message, origin);
  }

  #wait(waiting: Waiting, message: Message, origin: Origin | undefined): Backpressure {
    if (waiting.queue.length >= this.#maxWaiting) {
      this.#refuse(message, new ProtoflyError('E_TOO_MANY', `${String(waiting.queue.length)} messages wait for that address already`));
      return undefined;
    }
    waiting.queue.push({ message, origin });
    return waiting.released;
  }

  /** Answers a message that can't be delivered with an error. A response that can't be delivered is dropped. */
  #refuse(message: Message, error: ProtoflyError): void {
    if (isResponse(message)) {
      this.#drop(message, error.message);
      return;
    }
    const response = refuse(message, error);
    if (this.#settle(response)) return;
    const entries = this.#listeners.find(response.to, undefined);
    if (entries === undefined) this.#answerAfar(response);
    else void this.#handAll(entries, response, undefined);
  }

  #answerAfar(response: Response): void {
    Promise.resolve()
      .then(() => this.#askResolver(response, response.to, undefined))
      .then((listener) => this.#hand(listener, response, undefined))
      .catch((thrown: unknown) => { this.#drop(response, asProtoflyError(thrown).message); });
  }

  #drop(message: Message, why: string): void {
    this.#dropped += 1;
    this.#onDrop(message, why);
  }
}

// Numbers and strings are distinct ids: 7 differs from "7", and 7 from "#7".
const keyOf = (from: Address, id: Message['id']): string => `${from} ${typeof id === 'number' ? '#' : '"'}${String(id)}`;

const nameOf = (message: Message): string => {
  const [first = '', ...others] = recipientsOf(message);
  return others.length === 0 ? first : `${first} and ${String(others.length)} more`;
};
